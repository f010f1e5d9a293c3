package binds

import (
	"container/list"
	"errors"
	"fmt"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

// Submit is one submit_sm, or query_sm, on its way: it waits in a Queue, is sent
// through a bind, and is answered, each time it is handed in.
type Submit struct {
	Body  pdu.Body
	Plain pdu.Body // Body without our user_message_reference; nil where it has none
	Query bool     // it is a query_sm: nothing is submitted
	// Done gets what became of it, once each time it is handed in, and again for
	// an answer that came late. It must not block.
	Done func(Result)

	// Guarded by the queue's mutex.
	in        *list.List // where it waits; nil while it does not
	at        *list.Element
	attempt   *attempt // nil while no answer is waited for
	refusedAt time.Time
}

func (s *Submit) join(l *list.List) { s.in, s.at = l, l.PushBack(s) }

func (s *Submit) leave() {
	s.in.Remove(s.at)
	s.in, s.at = nil, nil
}

// Result is what became of a Submit.
type Result struct {
	Status     pdu.Status
	ID         string           // the SMSC's message_id
	Query      *pdu.QuerySMResp // the answer to a query_sm
	Unanswered error            // why no answer came; nil when one did
	Late       bool             // the answer is one after Unanswered
}

func resultOf(p *pdu.PDU) Result {
	r := Result{Status: p.Status}
	switch body := p.Body.(type) {
	case *pdu.SubmitSMResp:
		r.ID = body.MessageID
	case *pdu.QuerySMResp:
		r.Query = body
	case *pdu.GenericNack:
		if p.Status == pdu.StatusOK {
			r.Status = pdu.StatusUnknownErr // a refusal that does not say why
		}
	}
	return r
}

// transmitter is a bind that submits, through all its sessions: its window and
// its rate. It is guarded by its queue's mutex.
type transmitter struct {
	queue      *Queue
	name       string
	window     int
	session    *session.Session // nil while not bound
	full       bool             // the session takes no more, until the next answer or look
	inFlight   int
	pace       pacer
	peer       session.Peer // what was agreed at the latest bind
	throttled  bool
	rejectsUMR bool // the SMSC refused our user_message_reference
	unbound    bool // the SMSC says that it is not bound: nothing more is submitted
	metrics    transmitterMetrics
}

// attempt is one sending of a submit.
type attempt struct {
	submit        *Submit
	tx            *transmitter
	session       *session.Session
	sentAt        time.Time
	withReference bool
}

// ready reports whether a submit may be sent at a time when the pace allows it.
func (t *transmitter) ready() bool {
	return t.session != nil && !t.full && !t.unbound && t.inFlight < t.window
}

// send sends a submit. False is to try another bind: this one takes no more.
func (t *transmitter) send(s *Submit, now time.Time) bool {
	a := &attempt{submit: s, tx: t, session: t.session, sentAt: now, withReference: s.Plain != nil && t.peer.Parameters && !t.rejectsUMR}
	body := s.Body
	if s.Plain != nil && !a.withReference {
		body = s.Plain
	}
	s.attempt = a
	if err := t.session.Send(body, a.done); err != nil {
		s.attempt = nil
		if t.full = errors.Is(err, session.ErrWindowFull); !t.full {
			t.session = nil // it is over
		}
		return false
	}
	t.pace.sent(now)
	t.count(1)
	return true
}

// count counts a submit into the window, or out of it.
func (t *transmitter) count(n int) {
	t.inFlight += n
	t.metrics.inUse.Set(float64(t.inFlight))
}

// done takes what became of an attempt: its answer, also a late one, or that none came. It is
// called by the session.
func (a *attempt) done(p *pdu.PDU, err error) {
	q, bind := a.tx.queue, a.tx.name
	o := q.settle(a, p, err)
	if o.throttleChanged {
		q.onThrottle(bind, o.throttled)
	}
	if o.end {
		a.session.Close(errNotBound)
	}
	switch {
	case o.again && err == nil:
		q.settings.Logger.Warn("the SMSC refuses user_message_reference, and gets none any more on this bind; set user_message_reference to false",
			"bind", bind, "status", o.Status)
	case o.again:
	case o.Late:
		a.submit.Done(o.Result)
		q.settings.ProtocolError("late answer")
		q.warn("the SMSC answered submit_sm late", bind)
	case o.waited:
		defer a.submit.Done(o.Result) // also when logging panics: somebody waits
		if o.Unanswered != nil && !a.submit.Query {
			q.warn("the SMSC did not answer submit_sm", bind, "why", o.Unanswered)
		}
	}
}

func (a *attempt) unanswered(err error) error {
	if errors.Is(err, session.ErrTimeout) {
		return fmt.Errorf("no answer within %s", time.Since(a.sentAt).Round(time.Millisecond))
	}
	return fmt.Errorf("the connection was lost before submit_sm was answered: %w", a.session.Reason())
}

// judge learns from an answer about the rate. That one message is refused again
// and again says nothing of it: its recipient's queue may be full. It reports
// whether throttling has begun or ended.
func (t *transmitter) judge(a *attempt, status pdu.Status, now time.Time) (changed bool) {
	refused := status.Throttling()
	if refused && now.Sub(a.submit.refusedAt) < time.Second {
		return false
	}
	if refused {
		a.submit.refusedAt = now
	}
	t.pace.throttle.answered(a.sentAt, refused, &t.pace.recent, now)
	before := t.throttled
	t.throttled = t.pace.throttle.rate(now, float64(t.pace.limit.Most)) > 0
	return t.throttled != before
}
