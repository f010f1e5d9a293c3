package smpp

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	"switchboard/message"
	"switchboard/smpp"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/store"
	"switchboard/transports/smpp/submissions"
)

// plan is a message as it goes out: the encoded body of one submit_sm a segment.
type plan struct {
	*submissions.Message
	bodies [][]byte
}

// plan encodes a message, of which concatReference marks the segments where there
// are several. Each error is the message's own fault.
func (s *sender) plan(m *message.Message, concatReference uint16) (*plan, error) {
	w, ignored, err := smpp.ReadMetadata(m.TransportMetadata.String())
	if err != nil {
		return nil, err
	}
	if len(ignored) > 0 {
		s.logger.Debug("transport_metadata that SMPP cannot use is ignored", "message_id", m.ID, "keys", ignored)
	}
	base, err := s.baseSubmit(m, &w)
	if err != nil {
		return nil, err
	}
	text, err := s.write(m, &w, concatReference)
	if err != nil {
		return nil, err
	}
	if base.DataCoding, err = s.dataCoding(text.Coding, &w); err != nil {
		return nil, err
	}
	p := &plan{Message: &submissions.Message{
		ID: m.ID, To: m.To, From: m.From, Routing: json.RawMessage(m.RoutingMetadata.String()), Parts: len(text.Segments),
		Reference: s.reference(m.ID, &base), Attempt: store.Attempt(m),
		NoReceipt: w.RegisteredDelivery != nil && base.RegisteredDelivery&pdu.ReceiptSuccess != pdu.ReceiptFinal,
	}}
	if p.Parts > 1 {
		p.ConcatReference = concatReference
	}
	for i := range text.Segments {
		body, err := segment(base, &text, i, submissions.Part{Message: p.Message, N: i + 1}.Reference(), s.hasParameters())
		if err != nil {
			return nil, err
		}
		p.bodies = append(p.bodies, body)
	}
	return p, nil
}

// baseSubmit is what all segments have in common.
func (s *sender) baseSubmit(m *message.Message, w *smpp.Metadata) (base pdu.Message, err error) {
	o := s.options
	base.ServiceType = o.ServiceType
	if o.RegisteredDelivery {
		base.RegisteredDelivery = pdu.ReceiptFinal
	}
	if base.Dest, err = o.dest(m.To); err != nil {
		return base, err
	}
	if base.Source, err = o.source(m.From); err != nil {
		return base, err
	}
	if !s.hasParameters() && len(w.TLVs) > 0 {
		return base, errors.New("SMPP 3.3 has no optional parameters (tlvs)")
	}
	for _, t := range w.TLVs {
		if slices.Contains(s.parsed.refused, t.Tag) {
			return base, fmt.Errorf("the parameter %s is refused (refused_tlvs)", t.Tag.Key())
		}
	}
	w.Apply(&base)
	if o.isUSSD(m) {
		if !s.hasParameters() {
			return base, errors.New("SMPP 3.3 has no USSD")
		}
		base.TLVs = append(base.TLVs, ussdParameters(m, w)...)
		return base, nil
	}
	if w.UserReference != nil && s.hasParameters() {
		base.TLVs = append(base.TLVs, pdu.Short(pdu.TagUserMessageReference, *w.UserReference))
	}
	return base, nil
}

const typeUSSD = "ussd"

// isUSSD: the message is a step of a session that a person dialled.
func (o *Options) isUSSD(m *message.Message) bool {
	return m.TransportType == typeUSSD || m.TransportType == "" && o.TransportType == typeUSSD
}

// ussdParameters say which step of which session a message is. A reply has in
// its metadata what the person's step had.
func ussdParameters(m *message.Message, w *smpp.Metadata) pdu.TLVs {
	closes := m.SessionEvent == message.SessionClose
	operation := pdu.USSDUSSRRequest
	if closes {
		operation = pdu.USSDPSSRResponse
	}
	if w.USSDServiceOp != nil {
		operation = *w.USSDServiceOp
	}
	var answered smpp.DeliverMetadata
	_ = m.TransportMetadata.Decode(smpp.DeliverKey, &answered) // what has been tampered with counts for nothing
	session, reference := w.Session, cmp.Or(w.UserReference, answered.UserReference)
	if session == nil {
		_ = session.UnmarshalText([]byte(answered.Session))
	}
	if session != nil {
		step, _ := pdu.TLVs{{Tag: pdu.TagITSSessionInfo, Value: session}}.ITSSession()
		step.End = closes
		session = step.TLV().Value
	}
	return smpp.USSDParameters(operation, session, reference)
}

// hasParameters: SMPP 3.3 has no optional parameters.
func (s *sender) hasParameters() bool { return s.queue.Version() >= pdu.Version34 }

// write turns the content, or the data in its place, into segments.
func (s *sender) write(m *message.Message, w *smpp.Metadata, concatReference uint16) (gsm.Message, error) {
	o := s.options
	splitter := s.parsed.splitter
	splitter.Method = o.method(s.queue.Version())
	if o.isUSSD(m) {
		splitter.Method = gsm.Payload // a dialogue has no parts
	}
	if len(w.Payload) > 0 {
		if w.UDHI { // it is cut already
			splitter.Method = gsm.Payload
		}
		return splitter.Data(w.Payload, concatReference)
	}
	if w.DataCoding != nil {
		splitter.Codings = []gsm.Coding{gsm.FromDataCoding(*w.DataCoding)}
	}
	text, err := splitter.Text(m.Content, concatReference)
	if err != nil {
		return text, fmt.Errorf("encoding the content: %w", err)
	}
	return text, nil
}

func (s *sender) dataCoding(c gsm.Coding, w *smpp.Metadata) (pdu.DataCoding, error) {
	switch fixed := s.options.SubmitSMDataCoding; {
	case w.DataCoding != nil:
		return pdu.DataCoding(*w.DataCoding), nil
	case w.Flash:
		flash, ok := c.Flash()
		if !ok {
			return 0, fmt.Errorf("a text in %s cannot be a flash message; gsm0338 and ucs2 can", c)
		}
		return pdu.DataCoding(flash), nil
	case fixed != nil && len(w.Payload) == 0:
		return pdu.DataCoding(*fixed), nil
	}
	return pdu.DataCoding(c.DataCoding()), nil
}

// segment encodes the body of one segment; reference is ours, 0 for none, and
// stands at the end. Without parameters all is in short_message.
func segment(base pdu.Message, text *gsm.Message, i int, reference uint16, parameters bool) ([]byte, error) {
	inline := math.MaxInt
	if parameters && text.Method == gsm.Payload {
		inline = oneMessage(text.Coding)
	}
	s := pdu.SubmitSM{Message: smpp.Segment(base, text, i, inline)}
	if reference != 0 {
		s.TLVs = append(s.TLVs, pdu.Short(pdu.TagUserMessageReference, reference))
	}
	p := &pdu.PDU{Body: &s}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	frame, err := p.AppendTo(make([]byte, 0, frameSize+len(s.ShortMessage)))
	if err != nil {
		return nil, err
	}
	return frame[pdu.HeaderLength:], nil
}

// frameSize is about what a submit_sm has beside its text, in octets.
const frameSize = 96

// oneMessage is how many octets one message on the air has: short_message has no more.
func oneMessage(c gsm.Coding) int {
	if c == gsm.GSM7 || c == gsm.ASCII {
		return 160
	}
	return 140
}

// reference is the first of a message's user_message_references (§5.3.2.17); 0 when it
// gets none of ours.
func (s *sender) reference(id string, base *pdu.Message) uint16 {
	_, own := base.TLVs.Get(pdu.TagUserMessageReference)
	if own || !s.options.UserMessageReference || !s.hasParameters() {
		return 0
	}
	return max(1, referenceOf(id))
}

// referenceOf is the same for each try at a message.
func referenceOf(id string) uint16 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return uint16(h.Sum32() ^ h.Sum32()>>16)
}

// referenceSize is how many octets a reference takes in a submit_sm.
const referenceSize = 6
