package smpp

import (
	"time"

	"switchboard/smpp/pdu"
)

// answer takes a submit_sm_resp, a query_sm_resp, or a generic_nack, which
// answers either. It returns the ticket, nil when nobody waited for the answer,
// and its outcome.
func (g *gate) answer(l *lane, sequence uint32, to answerTo, o outcome) (*ticket, outcome) {
	t, began, ended := g.arrived(l, sequence, to, &o)
	if began || ended {
		defer g.news(l, began)
	}
	if t == nil || o.averse {
		return t, o
	}
	defer func() { t.end(o) }() // also when this panics: somebody waits
	if o.status == pdu.StatusOK && o.id != "" {
		t.id = o.id
		o.repeated = g.given(t.part, o.id)
	}
	return t, o
}

// arrived takes the ticket of an answer out of its window, and goes on.
func (g *gate) arrived(l *lane, sequence uint32, to answerTo, o *outcome) (t *ticket, began, ended bool) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if t = l.pending[sequence]; t == nil || !to.fits(t) {
		return nil, false, false
	}
	delete(l.pending, sequence)
	took := now.Sub(t.mark.sentAt)
	l.pace.arrivals.answered(t.mark, now)
	began, ended = l.judge(t, o.status, now)
	if !t.query {
		g.metrics.answered(l, o.status, took)
	}
	switch o.status {
	case pdu.StatusInvBndSts:
		l.unbound = true
	case pdu.StatusInvOptParStream, pdu.StatusOptParNotAllwd, pdu.StatusInvOptParamVal:
		if o.averse = t.refers; o.averse {
			l.averse = true
			g.compare()
			g.urgent.push(t)
		}
	}
	g.pump(now)
	g.metrics.window(l)
	return t, began, ended
}
