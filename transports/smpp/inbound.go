package smpp

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"switchboard/message"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
)

// receivedKey is where an inbound message's transport_metadata has what SMPP
// said of it: apart from the wishes of an outbound one, since replies carry it
// back.
const receivedKey = "deliver_sm"

// deliver takes a deliver_sm: a receipt, a message, which gets id, or a part of
// one. It returns when the broker has what came of it.
func (e *engine) deliver(ctx context.Context, m *pdu.Message, id string) error {
	if receipt, is := e.readReceipt(m); is {
		e.metrics.took("receipt")
		return e.takeReceipt(ctx, receipt)
	}
	e.metrics.took("message")
	p, shift := partOf(m)
	if p.Multipart() {
		return e.concat.take(ctx, m, p, shift)
	}
	_, step := m.TLVs.Uint(pdu.TagUSSDServiceOp)
	empty := len(m.Payload()) == 0 && !step // a step of a session may well be empty
	if empty && !e.options.AllowEmptyMessages {
		return errEmpty
	}
	return e.receive(ctx, m, received{id: id, parts: []gsm.Part{p}, encoding: e.encodingOf(m, shift), empty: empty})
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

// partOf finds out whether a message is a part of a longer one, by its user
// data header or by SMPP's parameters.
func partOf(m *pdu.Message) (p gsm.Part, shift gsm.Shift) {
	payload := m.Payload()
	p = gsm.Part{Total: 1, Seq: 1, Payload: payload}
	if m.ESMClass.UDHI() {
		if read, header, err := gsm.ParsePart(payload); err == nil {
			p, shift = read, header.Shift()
		}
	}
	if p.Multipart() {
		return p, shift
	}
	reference, ok := m.TLVs.Uint(pdu.TagSarMsgRefNum)
	total, _ := m.TLVs.Uint(pdu.TagSarTotalSegments)
	seq, _ := m.TLVs.Uint(pdu.TagSarSegmentSeqnum)
	if sar, valid := gsm.SARPart(uint16(reference), uint8(total), uint8(seq), p.Payload); ok && valid {
		sar.HeaderLength = p.HeaderLength
		return sar, shift
	}
	return p, shift
}

// encoding is what a data_coding means to this SMSC.
func (e *engine) encoding(c pdu.DataCoding, shift gsm.Shift) gsm.Encoding {
	coding, overridden := e.overrides[c]
	if !overridden {
		coding = gsm.FromDataCoding(uint8(c))
	}
	return gsm.Encoding{Coding: coding, Shift: shift}
}

// ussdUnspecified is a step's data coding scheme for a text in the default
// alphabet, its language not said (3GPP TS 23.038 §5). In data_coding it means
// nothing else.
const ussdUnspecified = 0x0F

// encodingOf is how a message is written.
func (e *engine) encodingOf(m *pdu.Message, shift gsm.Shift) gsm.Encoding {
	_, overridden := e.overrides[m.DataCoding]
	if _, step := m.TLVs.Get(pdu.TagUSSDServiceOp); step && m.DataCoding == ussdUnspecified && !overridden {
		return gsm.Encoding{Coding: gsm.GSM7, Shift: shift}
	}
	return e.encoding(m.DataCoding, shift)
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
	in.From, in.To = address(m.Source), address(m.Dest)
	in.TransportType = e.options.TransportType
	if event, isUSSD := ussdSession(m.TLVs); isUSSD {
		in.TransportType, in.SessionEvent = typeUSSD, event
	}
	text, err := r.encoding.DecodeParts(r.parts)
	in.Content = text
	in.TransportMetadata.Set(receivedKey, e.describe(m, r, err))
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
func (e *engine) describe(m *pdu.Message, r received, problem error) message.Object {
	var o message.Object
	o.Set("data_coding", int(m.DataCoding))
	o.Set("esm_class", int(m.ESMClass))
	if m.ServiceType != "" {
		o.Set("service_type", m.ServiceType)
	}
	if m.ProtocolID != 0 {
		o.Set("protocol_id", int(m.ProtocolID))
	}
	if m.Priority != 0 {
		o.Set("priority", int(m.Priority))
	}
	if problem != nil {
		o.Set("payload", base64.StdEncoding.EncodeToString(r.octets(m)))
		if !errors.Is(problem, gsm.ErrNotText) {
			o.Set("decoding_error", problem.Error())
		}
	}
	if len(r.parts) > 0 && r.parts[0].Multipart() {
		o.Set("parts", int(r.parts[0].Total))
	}
	if len(r.missing) > 0 {
		o.Set("missing_parts", r.missing)
	}
	noteSession(&o, m.TLVs)
	return o
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
