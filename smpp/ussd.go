package smpp

import "switchboard/smpp/pdu"

// Where a USSD message stands in its session, in the fleet's words.
const (
	SessionNew    = "new"
	SessionResume = "resume"
	SessionClose  = "close"
)

// USSDSession returns where a message stands in its session (§5.3.2.44); false
// for one that is no USSD.
func USSDSession(tlvs pdu.TLVs) (event string, isUSSD bool) {
	operation, ok := tlvs.Uint(pdu.TagUSSDServiceOp)
	if !ok {
		return "", false
	}
	if step, ok := tlvs.ITSSession(); ok && step.End {
		return SessionClose, true
	}
	switch uint8(operation) {
	case pdu.USSDPSSDIndication, pdu.USSDPSSRIndication:
		return SessionNew, true
	case pdu.USSDPSSDResponse, pdu.USSDPSSRResponse:
		return SessionClose, true
	}
	return SessionResume, true
}

// USSDParameters returns what a step of a session has: its operation, the two
// octets of its_session_info (none where there are not two), and the
// user_message_reference unless nil.
func USSDParameters(operation uint8, session []byte, reference *uint16) pdu.TLVs {
	tlvs := pdu.TLVs{pdu.Byte(pdu.TagUSSDServiceOp, operation)}
	if len(session) == 2 {
		tlvs = append(tlvs, pdu.TLV{Tag: pdu.TagITSSessionInfo, Value: session})
	}
	if reference != nil {
		tlvs = append(tlvs, pdu.Short(pdu.TagUserMessageReference, *reference))
	}
	return tlvs
}
