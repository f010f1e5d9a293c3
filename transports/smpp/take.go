package smpp

import (
	"errors"
	"time"

	"switchboard/smpp"
	"switchboard/smpp/pdu"
)

var errUnbound = errors.New("the SMSC unbound")

// take handles one PDU from the SMSC. It does not block: what takes long goes
// into the deliveries.
func (b *binder) take(k *link, d *deliveries, p *pdu.PDU) {
	switch body := p.Body.(type) {
	case *pdu.SubmitSMResp:
		b.answered(p, toSubmit, outcome{status: p.Status, id: body.MessageID})
	case *pdu.QuerySMResp:
		b.answered(p, toQuery, outcome{status: p.Status, state: body})
	case *pdu.GenericNack:
		b.answered(p, toAny, outcome{status: p.Status})
	case *pdu.DeliverSM:
		d.add(p, &body.Message)
	case *pdu.DataSM:
		d.add(p, smpp.MessageOf(body))
	case *pdu.EnquireLink:
		_ = k.send(p.Respond(pdu.StatusOK))
	case *pdu.EnquireLinkResp, *pdu.AlertNotification, *pdu.Outbind:
	case *pdu.Unbind:
		_ = k.send(p.Respond(pdu.StatusOK))
		k.drop(errUnbound)
	case *pdu.UnbindResp:
		k.end(errStopped)
	default:
		b.stray(k, p)
	}
}

// stray is a PDU that no SMSC should send.
func (b *binder) stray(k *link, p *pdu.PDU) {
	b.odd("unexpected "+p.Command().String(), "pdu", p.String())
	if !p.Command().IsResponse() {
		_ = k.send(&pdu.PDU{Status: pdu.StatusInvCmdID, Sequence: p.Sequence, Body: new(pdu.GenericNack)})
	}
}

// spoilt is a PDU that cannot be read. Of an answer to submit_sm the header is
// enough to know what became of the submit.
func (b *binder) spoilt(bad *pdu.Error) {
	b.odd(bad.Kind.String(), "error", bad, "link_kept", bad.KeepLink())
	if h := bad.Header; h.Command == pdu.CmdSubmitSMResp && bad.KeepLink() {
		p := &pdu.PDU{Status: h.Status, Sequence: h.Sequence, Body: new(pdu.SubmitSMResp)}
		b.answered(p, toSubmit, outcome{status: h.Status})
	}
}

// answered takes the answer to a submit_sm or a query_sm: in time, late, or to
// nothing.
func (b *binder) answered(p *pdu.PDU, to answerTo, o outcome) {
	if p.Command() == pdu.CmdGenericNack && o.status == pdu.StatusOK {
		o.status = pdu.StatusUnknownErr // a refusal that does not say why
	}
	if b.lane == nil {
		b.odd("answer to nothing", "pdu", p.String())
		return
	}
	if t, o := b.gate.answer(b.lane, p.Sequence, to, o); t != nil {
		switch {
		case o.averse:
			b.logger.Warn("the SMSC bears no user_message_reference, and gets none any more on this bind; set user_message_reference to false",
				"bind", b.name, "status", o.status)
		case o.repeated: // the true answer may come yet
			b.odd("repeated message_id", "message_id", t.part.ID, "pdu", p.String())
			b.keepLate(p.Sequence, t)
		}
		return
	}
	if t := b.takeLate(p.Sequence, to); t != nil {
		b.odd("late answer", "message_id", t.part.ID, "pdu", p.String())
		if o.status == pdu.StatusOK && o.id != "" {
			b.submissions.Given(t.part, o.id)
		}
		b.lately(t, o)
		return
	}
	b.odd("answer to nothing", "pdu", p.String())
}

// oddPause is how long the log is silent about further oddities of one kind;
// the metric counts them all.
const oddPause = time.Minute

// odd takes down that the SMSC sent what it should not have.
func (b *binder) odd(what string, details ...any) {
	b.metrics.protocolError(what)
	b.mu.Lock()
	last, before := b.oddities[what]
	quiet := before && time.Since(last) < oddPause
	if !quiet {
		b.oddities[what] = time.Now()
	}
	b.mu.Unlock()
	if !quiet {
		b.logger.Warn("the SMSC sent what it should not have; others like it are only counted for a while",
			append([]any{"what", what, "bind", b.name}, details...)...)
	}
}
