package smpp

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"switchboard/message"
	"switchboard/smpp"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
)

// deliver takes a deliver_sm: a receipt, a message, which gets id, or a part of
// one. It returns when the broker has what came of it.
func (e *engine) deliver(ctx context.Context, m *pdu.Message, id string) error {
	if receipt, is := e.readReceipt(m); is {
		e.metrics.took("receipt")
		return e.takeReceipt(ctx, receipt)
	}
	e.metrics.took("message")
	p, header := smpp.PartOf(m)
	if p.Multipart() {
		return e.concat.take(ctx, m, p, header.Shift())
	}
	_, step := m.TLVs.Uint(pdu.TagUSSDServiceOp)
	empty := len(m.Payload()) == 0 && !step // a step of a session may well be empty
	if empty && !e.options.AllowEmptyMessages {
		return errEmpty
	}
	return e.receive(ctx, m, received{id: id, parts: []gsm.Part{p}, encoding: e.codings.Of(m, header.Shift()), empty: empty})
}

var errEmpty = message.Permanent(errors.New("the message is empty; allow_empty_messages: true takes such"))

// withEmptyText makes a content "" that would be null on the wire: there is a
// text, of no characters.
func withEmptyText(m *message.Message) *message.Message {
	body := bytes.Replace(m.Encode(), []byte(`"content": null`), []byte(`"content": ""`), 1)
	if read, err := message.Decode(body); err == nil {
		return read
	}
	return m
}

// received is what a message from a person consists of.
type received struct {
	id       string // of the message
	parts    []gsm.Part
	encoding gsm.Encoding
	missing  []int // parts that never came
	empty    bool  // without an octet
}

// receive publishes a person's message.
func (e *engine) receive(ctx context.Context, m *pdu.Message, r received) error {
	in := message.New()
	in.ID = r.id
	in.From, in.To = smpp.FormatAddress(m.Source), smpp.FormatAddress(m.Dest)
	in.TransportType = e.options.TransportType
	if event, isUSSD := smpp.USSDSession(m.TLVs); isUSSD {
		in.TransportType, in.SessionEvent = typeUSSD, message.SessionEvent(event)
	}
	text, err := r.encoding.DecodeParts(r.parts)
	in.Content = text
	in.TransportMetadata.Set(smpp.DeliverKey, describe(m, r, err))
	if r.empty {
		in = withEmptyText(in)
	}
	if err := e.line.Inbound(ctx, in); err != nil {
		return fmt.Errorf("receiving a message from %s: %w", in.From, err)
	}
	return nil
}

// describe is what SMPP said of a message beside its text, and the octets where
// they are no text.
func describe(m *pdu.Message, r received, problem error) smpp.DeliverMetadata {
	d := smpp.Describe(m)
	if problem != nil {
		d.Payload = r.octets(m)
		if !errors.Is(problem, gsm.ErrNotText) {
			d.DecodingError = problem.Error()
		}
	}
	if len(r.parts) > 0 && r.parts[0].Multipart() {
		d.Parts = int(r.parts[0].Total)
	}
	d.MissingParts = r.missing
	return d
}

// octets are a message's as they came: with the user data header, which may
// name the ports, where it is one message; else the parts' one after the other.
func (r *received) octets(m *pdu.Message) []byte {
	if len(r.parts) == 1 && !r.parts[0].Multipart() {
		return m.Payload()
	}
	var all []byte
	for _, p := range r.parts {
		all = append(all, p.Payload...)
	}
	return all
}
