package pdu

import "fmt"

// TON is a type of number (§5.2.5).
type TON uint8

// The types of number.
const (
	TONUnknown TON = iota
	TONInternational
	TONNational
	TONNetworkSpecific
	TONSubscriber
	TONAlphanumeric
	TONAbbreviated
)

// NPI is a numbering plan indicator (§5.2.6).
type NPI uint8

// The numbering plans.
const (
	NPIUnknown    NPI = 0
	NPIE164       NPI = 1 // ISDN: ordinary telephone numbers
	NPIData       NPI = 3
	NPITelex      NPI = 4
	NPILandMobile NPI = 6
	NPINational   NPI = 8
	NPIPrivate    NPI = 9
	NPIERMES      NPI = 10
	NPIInternet   NPI = 14
	NPIWAP        NPI = 18
)

// ESMClass says how a message is to be sent, or what an incoming one is
// (§5.2.12).
type ESMClass uint8

// The parts of an ESMClass; mode, type and features are combined with |.
const (
	ESMDefaultMode     ESMClass = 0x00
	ESMDatagram        ESMClass = 0x01
	ESMForward         ESMClass = 0x02
	ESMStoreAndForward ESMClass = 0x03
	esmModeMask        ESMClass = 0x03

	ESMReceipt           ESMClass = 0x04 // from the SMSC: an SMSC delivery receipt
	ESMDeliveryAck       ESMClass = 0x08 // from or to the ESME: SME delivery acknowledgement
	ESMUserAck           ESMClass = 0x10 // from or to the ESME: SME manual or user acknowledgement
	ESMConversationAbort ESMClass = 0x18 // from the SMSC, Korean CDMA
	ESMIntermediate      ESMClass = 0x20 // from the SMSC: an intermediate notification
	esmTypeMask          ESMClass = 0x3C
	ESMUDHI              ESMClass = 0x40 // the payload begins with a user data header
	ESMReplyPath         ESMClass = 0x80
)

// Mode returns the messaging mode alone.
func (c ESMClass) Mode() ESMClass { return c & esmModeMask }

// Type returns the message type alone: ESMReceipt, ESMIntermediate, ….
func (c ESMClass) Type() ESMClass { return c & esmTypeMask }

// UDHI reports whether the payload begins with a user data header.
func (c ESMClass) UDHI() bool { return c&ESMUDHI != 0 }

// IsReceipt reports whether the message is an SMSC's delivery receipt or
// intermediate notification, rather than something a person wrote.
func (c ESMClass) IsReceipt() bool {
	return c.Type() == ESMReceipt || c.Type() == ESMIntermediate
}

// RegisteredDelivery says which receipts are asked for (§5.2.17); the parts are
// combined with |.
type RegisteredDelivery uint8

// The parts of a RegisteredDelivery.
const (
	ReceiptNone         RegisteredDelivery = 0x00
	ReceiptFinal        RegisteredDelivery = 0x01 // delivered or failed
	ReceiptFailure      RegisteredDelivery = 0x02 // failed only
	ReceiptSuccess      RegisteredDelivery = 0x03 // delivered only, SMPP 5.0
	AckDelivery         RegisteredDelivery = 0x04
	AckUser             RegisteredDelivery = 0x08
	ReceiptIntermediate RegisteredDelivery = 0x10
)

// DataCoding says how a message's octets are to be read (§5.2.19). Other values
// follow GSM 03.38 §4.
type DataCoding uint8

// The codings of §5.2.19.
const (
	DataCodingDefault   DataCoding = 0x00 // the SMSC's default alphabet: mostly GSM 03.38
	DataCodingASCII     DataCoding = 0x01 // IA5
	DataCodingOctets    DataCoding = 0x02
	DataCodingLatin1    DataCoding = 0x03
	DataCodingOctets2   DataCoding = 0x04
	DataCodingJIS       DataCoding = 0x05
	DataCodingCyrillic  DataCoding = 0x06 // ISO 8859-5
	DataCodingHebrew    DataCoding = 0x07 // ISO 8859-8
	DataCodingUCS2      DataCoding = 0x08
	DataCodingPictogram DataCoding = 0x09
	DataCodingISO2022JP DataCoding = 0x0A
	DataCodingKanji     DataCoding = 0x0D
	DataCodingKorean    DataCoding = 0x0E // KS C 5601
)

// The values of TagUSSDServiceOp (§5.3.2.44).
const (
	USSDPSSDIndication     uint8 = 0
	USSDPSSRIndication     uint8 = 1
	USSDUSSRRequest        uint8 = 2
	USSDUSSNRequest        uint8 = 3
	USSDPSSDResponse       uint8 = 16
	USSDPSSRResponse       uint8 = 17
	USSDUSSRConfirm        uint8 = 18
	USSDUSSNConfirm        uint8 = 19
	itsEndOfSession        uint8 = 0x01
	maxITSSequence         uint8 = 0x7F
	itsSessionInfoLength         = 2
	networkErrorCodeLength       = 3
)

// ITSSession is the value of TagITSSessionInfo (§5.3.2.43): one step of an
// interactive session, as USSD gateways use it.
type ITSSession struct {
	Number   uint8
	Sequence uint8 // 0 to 127
	End      bool  // the session ends with this message
}

// ITSSession returns the parameter TagITSSessionInfo; false when it is missing
// or not of two octets.
func (l TLVs) ITSSession() (ITSSession, bool) {
	v, _ := l.Get(TagITSSessionInfo)
	if len(v) != itsSessionInfoLength {
		return ITSSession{}, false
	}
	return ITSSession{Number: v[0], Sequence: v[1] >> 1, End: v[1]&itsEndOfSession != 0}, true
}

// TLV returns the session step as a parameter; the sequence wraps at 128.
func (s ITSSession) TLV() TLV {
	second := (s.Sequence & maxITSSequence) << 1
	if s.End {
		second |= itsEndOfSession
	}
	return TLV{TagITSSessionInfo, []byte{s.Number, second}}
}

// NetworkError is the value of TagNetworkErrorCode (§5.3.2.31).
type NetworkError struct {
	Network uint8 // 1 ANSI-136, 2 IS-95, 3 GSM, 4 reserved; others as the SMSC has it
	Code    uint16
}

// NetworkError returns the parameter TagNetworkErrorCode; false when it is
// missing or not of three octets.
func (l TLVs) NetworkError() (NetworkError, bool) {
	v, _ := l.Get(TagNetworkErrorCode)
	if len(v) != networkErrorCodeLength {
		return NetworkError{}, false
	}
	return NetworkError{Network: v[0], Code: uint16(v[1])<<8 | uint16(v[2])}, true
}

// TLV returns the error as a parameter.
func (n NetworkError) TLV() TLV {
	return TLV{TagNetworkErrorCode, []byte{n.Network, byte(n.Code >> 8), byte(n.Code)}}
}

// MessageState is what became of a message at the SMSC (§5.2.28).
type MessageState uint8

// The states of §5.2.28; StateScheduled and StateSkipped are SMPP 5.0's.
const (
	StateScheduled     MessageState = 0
	StateEnroute       MessageState = 1
	StateDelivered     MessageState = 2
	StateExpired       MessageState = 3
	StateDeleted       MessageState = 4
	StateUndeliverable MessageState = 5
	StateAccepted      MessageState = 6
	StateUnknown       MessageState = 7
	StateRejected      MessageState = 8
	StateSkipped       MessageState = 9
)

// String returns the specification's name, "DELIVERED", or the number of a
// state it does not define.
func (s MessageState) String() string {
	switch s {
	case StateScheduled:
		return "SCHEDULED"
	case StateEnroute:
		return "ENROUTE"
	case StateDelivered:
		return "DELIVERED"
	case StateExpired:
		return "EXPIRED"
	case StateDeleted:
		return "DELETED"
	case StateUndeliverable:
		return "UNDELIVERABLE"
	case StateAccepted:
		return "ACCEPTED"
	case StateUnknown:
		return "UNKNOWN"
	case StateRejected:
		return "REJECTED"
	case StateSkipped:
		return "SKIPPED"
	}
	return fmt.Sprintf("STATE %d", uint8(s))
}
