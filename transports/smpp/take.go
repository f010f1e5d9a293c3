package smpp

import (
	"errors"

	"switchboard/transports/smpp/pdu"
)

var errUnbound = errors.New("the SMSC unbound")

// take handles one PDU from the SMSC. It does not block: what takes long goes
// into the deliveries.
func (b *binder) take(k *link, d *deliveries, p *pdu.PDU) {
	switch body := p.Body.(type) {
	case *pdu.SubmitSMResp:
		b.answered(p, body.MessageID)
	case *pdu.GenericNack:
		b.answered(p, "")
	case *pdu.DeliverSM:
		d.add(p, &body.Message)
	case *pdu.DataSM:
		d.add(p, fromDataSM(body))
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
	b.metrics.oddity("unexpected " + p.Command().String())
	b.logger.Warn("the SMSC sent what is not its to send", "bind", b.name, "pdu", p.String())
	if !p.Command().IsResponse() {
		_ = k.send(&pdu.PDU{Status: pdu.StatusInvCmdID, Sequence: p.Sequence, Body: new(pdu.GenericNack)})
	}
}

func (b *binder) spoilt(bad *pdu.Error) {
	b.metrics.oddity(bad.Kind.String())
	b.logger.Warn("the SMSC sent what is no valid PDU", "bind", b.name, "error", bad, "link_kept", bad.KeepLink())
}

// answered takes the answer to a submit_sm: in time, late, or to nothing.
func (b *binder) answered(p *pdu.PDU, id string) {
	o := outcome{status: p.Status, id: id}
	if p.Command() == pdu.CmdGenericNack && o.status == pdu.StatusOK {
		o.status = pdu.StatusUnknownErr // a refusal that does not say why
	}
	if b.lane != nil && b.gate.answer(b.lane, p.Sequence, o) != nil {
		return
	}
	if t := b.takeLate(p.Sequence); t != nil {
		b.metrics.oddity("late answer")
		b.lately(t.part, o)
		return
	}
	b.metrics.oddity("answer to nothing")
	b.logger.Warn("the SMSC answered what was not asked, or was answered before", "bind", b.name, "pdu", p.String())
}

// fromDataSM makes a data_sm look like the deliver_sm it could have been.
func fromDataSM(d *pdu.DataSM) *pdu.Message {
	return &pdu.Message{
		ServiceType: d.ServiceType, Source: d.Source, Dest: d.Dest, ESMClass: d.ESMClass,
		RegisteredDelivery: d.RegisteredDelivery, DataCoding: d.DataCoding, TLVs: d.TLVs,
	}
}
