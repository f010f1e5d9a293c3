package simulator

import (
	"errors"
	"time"

	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

const (
	defaultLateBy  = time.Minute
	defaultEarlyBy = 50 * time.Millisecond
	// wrongBy is how far a wrong sequence_number is from the right one.
	wrongBy = 1 << 20
)

var errDropped = errors.New("the simulator dropped the connection")

// Request does what was asked.
func (h handler) Request(s *session.Session, p *pdu.PDU) {
	b := s.Tag.(*bind)
	switch body := p.Body.(type) {
	case *pdu.SubmitSM:
		h.submit(b, p, &body.Message, body.Dest)
	case *pdu.SubmitMulti:
		h.submit(b, p, &body.Message, addresses(body)...)
	case *pdu.DataSM:
		h.submit(b, p, fromDataSM(body), body.Dest)
	default:
		h.operate(b, p)
	}
}

// addresses leaves distribution lists out: the simulator keeps none.
func addresses(m *pdu.SubmitMulti) (list []pdu.Address) {
	for _, d := range m.Dests {
		if d.List == "" {
			list = append(list, d.Address)
		}
	}
	return list
}

func fromDataSM(d *pdu.DataSM) *pdu.Message {
	return &pdu.Message{
		ServiceType: d.ServiceType, Source: d.Source, Dest: d.Dest, ESMClass: d.ESMClass,
		RegisteredDelivery: d.RegisteredDelivery, DataCoding: d.DataCoding, TLVs: d.TLVs,
	}
}

// text is a message's text as a person would read it, without its user data
// header; what is no text is shown as Latin-1.
func text(m *pdu.Message) string {
	coding := gsm.Encoding{Coding: gsm.FromDataCoding(uint8(m.DataCoding))}
	payload, length := m.Payload(), 0
	if m.ESMClass.UDHI() {
		if part, header, err := gsm.ParsePart(payload); err == nil {
			payload, length, coding.Shift = part.Payload, part.HeaderLength, header.Shift()
		}
	}
	s, err := coding.Decode(payload, length)
	if errors.Is(err, gsm.ErrNotText) {
		s, _ = gsm.Encoding{Coding: gsm.Latin1}.Decode(payload, 0)
	}
	return s
}

// submit takes a message, or not, and answers as was drawn.
func (h handler) submit(b *bind, p *pdu.PDU, m *pdu.Message, dests ...pdu.Address) {
	b.submits++
	behaviour := b.account.behaviour.Load()
	plan := h.plan(b, behaviour, m, dests)
	if plan.drop {
		h.ledger.unanswered(b, p)
		h.drop(b)
		return
	}
	var e *entry
	if plan.status == pdu.StatusOK && !plan.ignored {
		e = h.accept(b, behaviour, m, dests, &plan)
	}
	h.ledger.submitted(b, p, e, &plan)
	if e != nil && plan.early > 0 {
		h.report(b, e, &plan)
		h.schedule.after(plan.early, func() { h.answer(b, p, e, &plan) })
	} else {
		h.schedule.after(plan.delay, func() { h.answer(b, p, e, &plan) })
		if e != nil {
			h.reportLater(b, e, &plan)
		}
	}
	h.misbehave(b, behaviour.Links)
}

// accept stores a message under its id.
func (h handler) accept(b *bind, behaviour *Behaviour, m *pdu.Message, dests []pdu.Address, plan *plan) *entry {
	e := &entry{
		account: b.account, message: m, dests: dests, submitted: time.Now(),
		state: pdu.StateEnroute,
	}
	e.id, e.receiptID = behaviour.IDs.spell(h.settings.Seed, h.nextNumber(b.chance(behaviour.IDs.Repeated)))
	h.store.add(e)
	return e
}

// answer sends what was drawn in place of an answer.
func (h handler) answer(b *bind, p *pdu.PDU, e *entry, plan *plan) {
	if e != nil {
		defer h.prompt(e)
	}
	if plan.lost || plan.ignored {
		b.session.Forgo()
		return
	}
	r := p.Respond(plan.status)
	if plan.nack {
		r = &pdu.PDU{Status: pdu.StatusSysErr, Sequence: p.Sequence, Body: new(pdu.GenericNack)}
	} else if e != nil {
		b.fill(r, e, plan)
	}
	if plan.wrongSequence {
		r.Sequence += wrongBy
	}
	_ = b.session.Answer(r)
	if plan.duplicated {
		_ = b.session.Write(r)
	}
	if plan.ahead {
		ahead := *r
		ahead.Sequence++
		_ = b.session.Write(&ahead)
	}
}

func (b *bind) fill(r *pdu.PDU, e *entry, plan *plan) {
	id := e.id
	if plan.emptyID {
		id = ""
	}
	var tlvs pdu.TLVs
	if plan.unknownTLVs && b.takesTLVs() {
		tlvs = unknownTLVs()
	}
	if plan.congestion != nil && b.session.Peer().Version >= pdu.Version50 {
		tlvs = append(tlvs, pdu.Byte(pdu.TagCongestionState, *plan.congestion))
	}
	switch body := r.Body.(type) {
	case *pdu.SubmitSMResp:
		body.MessageID, body.TLVs = id, tlvs
	case *pdu.SubmitMultiResp:
		body.MessageID, body.TLVs = id, tlvs
	case *pdu.DataSMResp:
		body.MessageID, body.TLVs = id, tlvs
	}
}
