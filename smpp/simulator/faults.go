package simulator

import (
	"encoding/binary"

	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

// unknownID is a command SMPP has none of.
const unknownID pdu.CommandID = 0x00000999

// unknownTLVs are unknown parameters, one of a vendor's (§5.3.1).
func unknownTLVs() pdu.TLVs {
	return pdu.TLVs{{Tag: 0x1500, Value: []byte("vendor")}, {Tag: 0x3FFF, Value: nil}}
}

// misbehave does to the connection what was drawn after a request.
func (h handler) misbehave(b *bind, conf *Links) {
	s := b.session
	if b.chance(conf.UnknownCommand) {
		h.raw(s, encode(&pdu.PDU{Sequence: 1 << 30, Body: &pdu.Raw{ID: unknownID, Data: []byte("what?")}}))
	}
	if b.chance(conf.Malformed) {
		h.raw(s, encode(&pdu.PDU{Sequence: 1 << 30, Body: &pdu.Raw{ID: pdu.CmdDeliverSM, Data: []byte{0, 1, 1, '4'}}}))
	}
	if b.chance(conf.Oversized) {
		h.raw(s, oversized())
	}
	if b.chance(conf.Garbage) {
		h.raw(s, []byte("\x00\x00\x00\x03HTTP/1.1 400 Bad Request\r\n\r\n"))
	}
	if b.chance(conf.Truncated) {
		cut := encode(&pdu.PDU{Sequence: 1 << 30, Body: &pdu.DeliverSM{Message: pdu.Message{ShortMessage: []byte("cut off")}}})
		h.raw(s, cut[:len(cut)-5])
		s.Close(errDropped)
	}
	h.end(b, conf)
}

// end drops, unbinds or hangs the connection when its time has come.
func (h handler) end(b *bind, conf *Links) {
	if b.chance(conf.DropRate) || reached(b, conf.DropAfter) {
		h.drop(b)
	}
	if reached(b, conf.UnbindAfter) {
		h.group.Go(func() {
			ctx, cancel := h.context(closeTimeout)
			defer cancel()
			b.session.Unbind(ctx)
		})
	}
	if conf.Hang != "" && reached(b, max(conf.HangAfter, 1)) {
		b.deaf = conf.Hang == "deaf"
		b.hang()
	}
}

func reached(b *bind, n int) bool { return n > 0 && b.submits == n }

// hang lets the connection look alive, and nothing come of it any more.
func (b *bind) hang() {
	b.hung.Store(true)
	b.session.Freeze()
}

func (h handler) raw(s *session.Session, b []byte) {
	h.ledger.count(func(c *tally) { c.garbage++ })
	_ = s.WriteRaw(b)
}

func encode(p *pdu.PDU) []byte {
	b, err := p.AppendTo(nil)
	if err != nil {
		panic("smsc: a PDU of the simulator's own cannot be encoded: " + err.Error())
	}
	return b
}

// oversized is a deliver_sm of a length that no reader should wait for.
func oversized() []byte {
	b := make([]byte, pdu.HeaderLength, pdu.HeaderLength+200_000)
	b = append(b, make([]byte, 200_000)...)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	binary.BigEndian.PutUint32(b[4:], uint32(pdu.CmdDeliverSM))
	binary.BigEndian.PutUint32(b[12:], 1<<30)
	return b
}
