package simulator

import (
	"time"

	"switchboard/smpp/pdu"
)

// operate answers query_sm, cancel_sm and replace_sm.
func (h handler) operate(b *bind, p *pdu.PDU) {
	answer := p.Respond(pdu.StatusInvCmdID)
	queries := b.account.behaviour.Load().Queries
	switch body := p.Body.(type) {
	case *pdu.QuerySM:
		if b.chance(queries.Lost) {
			b.session.Forgo()
			return
		}
		answer = h.query(b, p, body, queries)
	case *pdu.CancelSM:
		answer = p.Respond(h.cancel(b, body))
	case *pdu.ReplaceSM:
		answer = p.Respond(h.replace(b, body))
	}
	delay := b.account.behaviour.Load().Answers.Delay.draw(b.random)
	h.schedule.after(delay, func() { _ = b.session.Answer(answer) })
	h.misbehave(b, b.account.behaviour.Load().Links)
}

func (h handler) query(b *bind, p *pdu.PDU, q *pdu.QuerySM, conf *Queries) *pdu.PDU {
	if conf.Refuse != 0 && (conf.Rate == 0 || b.chance(conf.Rate)) {
		return p.Respond(pdu.Status(conf.Refuse))
	}
	e := h.store.get(b.account, q.MessageID)
	if e == nil {
		return p.Respond(pdu.StatusInvMsgID)
	}
	answer := p.Respond(pdu.StatusOK)
	body := answer.Body.(*pdu.QuerySMResp)
	e.mu.Lock()
	defer e.mu.Unlock()
	body.MessageID, body.State, body.ErrorCode = q.MessageID, e.state, e.errorCode
	if !e.final.IsZero() {
		body.FinalDate = pdu.FormatAbsolute(e.final)
	}
	return answer
}

// cancel takes messages back that are not delivered (§4.9): they are reported
// as deleted when their time comes.
func (h handler) cancel(b *bind, c *pdu.CancelSM) pdu.Status {
	list := []*entry{h.store.get(b.account, c.MessageID)}
	if c.MessageID == "" {
		list = h.store.between(b.account, c.Source.Addr, c.Dest.Addr)
	}
	status := pdu.StatusCancelFail
	for _, e := range list {
		if e == nil {
			return pdu.StatusInvMsgID
		}
		if _, ended := e.end(pdu.StateDeleted, 0); ended {
			status = pdu.StatusOK
		}
	}
	return status
}

func (h handler) replace(b *bind, r *pdu.ReplaceSM) pdu.Status {
	e := h.store.get(b.account, r.MessageID)
	if e == nil {
		return pdu.StatusInvMsgID
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.final.IsZero() || e.message.Source.Addr != r.Source.Addr {
		return pdu.StatusReplaceFail
	}
	m := *e.message
	m.ShortMessage, m.RegisteredDelivery = r.ShortMessage, r.RegisteredDelivery
	e.message, e.submitted = &m, time.Now()
	return pdu.StatusOK
}
