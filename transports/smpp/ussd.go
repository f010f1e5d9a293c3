package smpp

import (
	"encoding/hex"
	"fmt"

	"switchboard/message"
	"switchboard/smpp/pdu"
)

const typeUSSD = "ussd"

// isUSSD: the message is a step of a session that a person dialled.
func (o *Options) isUSSD(m *message.Message) bool {
	return m.TransportType == typeUSSD || m.TransportType == "" && o.TransportType == typeUSSD
}

// ussd adds what a step of a session has: which operation it is, and the
// session it belongs to, as the person's step had it.
func (w *wishes) ussd(s *pdu.Message, m *message.Message) {
	closes := m.SessionEvent == message.SessionClose
	operation := pdu.USSDUSSRRequest
	if closes {
		operation = pdu.USSDPSSRResponse
	}
	if w.USSDServiceOp != nil {
		operation = *w.USSDServiceOp
	}
	s.TLVs = append(s.TLVs, pdu.Byte(pdu.TagUSSDServiceOp, operation))
	deliver := m.TransportMetadata.Object(receivedKey)
	session := w.Session
	if session == nil && deliver.Decode("its_session_info", &session) != nil {
		session = nil // it has been tampered with, and is no session
	}
	if session != nil {
		step, _ := pdu.TLVs{{Tag: pdu.TagITSSessionInfo, Value: *session}}.ITSSession()
		step.End = closes
		s.TLVs = append(s.TLVs, step.TLV())
	}
	reference := w.UserReference
	if reference == nil {
		_ = deliver.Decode("user_message_reference", &reference)
	}
	if reference != nil {
		s.TLVs = append(s.TLVs, pdu.Short(pdu.TagUserMessageReference, *reference))
	}
}

// session says where a person's step stands in its session.
func ussdSession(tlvs pdu.TLVs) (event message.SessionEvent, isUSSD bool) {
	operation, ok := tlvs.Uint(pdu.TagUSSDServiceOp)
	if !ok {
		return message.SessionNone, false
	}
	if step, ok := tlvs.ITSSession(); ok && step.End {
		return message.SessionClose, true
	}
	switch uint8(operation) {
	case pdu.USSDPSSDIndication, pdu.USSDPSSRIndication:
		return message.SessionNew, true
	case pdu.USSDPSSDResponse, pdu.USSDPSSRResponse:
		return message.SessionClose, true
	}
	return message.SessionResume, true
}

// noteSession takes down what a reply needs to belong to the session.
func noteSession(o *message.Object, tlvs pdu.TLVs) {
	if operation, ok := tlvs.Uint(pdu.TagUSSDServiceOp); ok {
		o.Set("ussd_service_op", fmt.Sprintf("%02x", operation))
	}
	if info, ok := tlvs.Get(pdu.TagITSSessionInfo); ok {
		o.Set("its_session_info", hex.EncodeToString(info))
	}
	if reference, ok := tlvs.Uint(pdu.TagUserMessageReference); ok {
		o.Set("user_message_reference", reference)
	}
}
