package smppserver

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"switchboard/message"
	"switchboard/smpp"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

// seenTTL is how long a message that a customer has is recognised when it comes again.
const seenTTL = time.Hour

// takeMessage delivers a person's message to its customer.
func (e *engine) takeMessage(ctx context.Context, in *arrival) {
	m := in.Message
	if m.SessionEvent == message.SessionClose && m.TransportType != typeUSSD {
		in.done(nil) // it means nothing to an ESME
		return
	}
	c := e.owner(m.To)
	if c == nil {
		in.done(message.Permanent(fmt.Errorf("no customer has the address %q the message was sent to; give it to one in addresses", m.To)))
		return
	}
	d, over, err := e.beginMessage(ctx, c, in)
	end := func() { in.done(e.conclude(ctx, c, in, d)) }
	switch {
	case err != nil || over:
		in.done(err)
	case in.from == c: // waits as long as the customer does, and keeps its place in its queue
		go end()
	default:
		e.ends.Go(lane{c.systemID, m.From}, end)
	}
}

// beginMessage begins to deliver a message. It is over where the customer has it; the
// delivery is nil where it is to move to the customer's queue.
func (e *engine) beginMessage(ctx context.Context, c *customer, in *arrival) (d *delivery, over bool, err error) {
	seen := "seen/" + in.Message.ID
	if in.Redelivered || in.from != nil {
		found, err := e.state.Get(ctx, seen)
		if err != nil {
			return nil, false, fmt.Errorf("asking whether message %s came before: %w", in.Message.ID, err)
		}
		if _, over = found[seen]; over {
			return nil, true, nil
		}
	}
	if now, err := e.admit(c, in); err != nil || !now {
		return nil, false, err
	}
	if d = c.flight(kindMessage, in.Message.ID); d != nil {
		return d, false, nil
	}
	list, err := c.deliverSMs(in.Message)
	if err != nil {
		c.release(in)
		return nil, false, message.Permanent(fmt.Errorf("writing the message for customer %s: %w", c.systemID, err))
	}
	d = in.delivery(c, kindMessage)
	e.deliver(c, d, list, func(ctx context.Context) error {
		return e.state.Set(ctx, store.Entry{Key: seen, Value: c.systemID, TTL: seenTTL})
	})
	return d, false, nil
}

// owner returns the first customer in the file with an address.
func (e *engine) owner(addr string) *customer {
	for _, c := range e.inOrder {
		if c.owned.has(addr) {
			return c
		}
	}
	return nil
}

// deliverSMs returns the deliver_sm for a message.
func (c *customer) deliverSMs(m *message.Message) (list []*deliverSM, err error) {
	var had smpp.DeliverMetadata
	_ = m.TransportMetadata.Decode(smpp.DeliverKey, &had) // other transports may use the word
	base := pdu.Message{
		Source: toSMPP(m.From), Dest: toSMPP(m.To), ServiceType: cut(had.ServiceType, smpp.MaxServiceType),
		ProtocolID: had.ProtocolID, Priority: had.Priority,
	}
	had.Apply(&base)
	if m.TransportType == typeUSSD {
		base.TLVs = sessionParameters(m, &had)
	}
	base.TLVs = append(base.TLVs, had.TLVs...)
	var text gsm.Message
	switch {
	case len(had.Payload) == 0:
		splitter := gsm.Splitter{Codings: []gsm.Coding{c.codes, gsm.UCS2}, Method: c.cutting}
		if text, err = splitter.Text(m.Content, c.reference()); err == nil && text.Coding != c.codes {
			base.DataCoding = pdu.DataCoding(text.Coding.DataCoding())
		}
	case had.ESMClass.UDHI() && had.Parts == 0:
		base.ESMClass, base.DataCoding = pdu.ESMUDHI, had.DataCoding
		smpp.SetPayload(&base, had.Payload, smpp.MaxShortMessage)
		return []*deliverSM{{id: m.ID, body: &pdu.DeliverSM{Message: base}}}, nil
	default:
		base.DataCoding = had.DataCoding
		text, err = gsm.Splitter{Method: c.cutting}.Data(had.Payload, c.reference())
	}
	for i := range text.Segments {
		list = append(list, &deliverSM{id: m.ID, body: &pdu.DeliverSM{Message: smpp.Segment(base, &text, i, smpp.MaxShortMessage)}})
	}
	return list, err
}

// sessionParameters returns the USSD parameters of a message: those of the SMSC
// it came from, else the ones for its session event.
func sessionParameters(m *message.Message, had *smpp.DeliverMetadata) pdu.TLVs {
	operation, err := strconv.ParseUint(had.USSDServiceOp, 16, 8)
	if err != nil {
		operation = uint64(pdu.USSDUSSRConfirm)
		if m.SessionEvent == message.SessionNew {
			operation = uint64(pdu.USSDPSSRIndication)
		}
	}
	session, _ := hex.DecodeString(had.Session)
	return smpp.USSDParameters(uint8(operation), session, had.UserReference)
}

// reference returns the reference of a long message's parts. A header has room for
// 8 of its bits: it repeats after 256 messages. Each process begins at random.
func (c *customer) reference() uint16 { return uint16(c.references.Add(1)) }
