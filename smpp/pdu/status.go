package pdu

import "fmt"

// Status is a PDU's command_status (§5.1.3): zero in requests and in answers
// that grant what was asked, otherwise why it was refused.
type Status uint32

// The statuses of §5.1.3, and those that SMPP 5.0 (§4.7.6) added.
const (
	StatusOK              Status = 0x000
	StatusInvMsgLen       Status = 0x001
	StatusInvCmdLen       Status = 0x002
	StatusInvCmdID        Status = 0x003
	StatusInvBndSts       Status = 0x004
	StatusAlyBnd          Status = 0x005
	StatusInvPrtFlg       Status = 0x006
	StatusInvRegDlvFlg    Status = 0x007
	StatusSysErr          Status = 0x008
	StatusInvSrcAdr       Status = 0x00A
	StatusInvDstAdr       Status = 0x00B
	StatusInvMsgID        Status = 0x00C
	StatusBindFail        Status = 0x00D
	StatusInvPaswd        Status = 0x00E
	StatusInvSysID        Status = 0x00F
	StatusCancelFail      Status = 0x011
	StatusReplaceFail     Status = 0x013
	StatusMsgQFul         Status = 0x014
	StatusInvSerTyp       Status = 0x015
	StatusInvNumDests     Status = 0x033
	StatusInvDLName       Status = 0x034
	StatusInvDestFlag     Status = 0x040
	StatusInvSubRep       Status = 0x042
	StatusInvEsmClass     Status = 0x043
	StatusCntSubDL        Status = 0x044
	StatusSubmitFail      Status = 0x045
	StatusInvSrcTON       Status = 0x048
	StatusInvSrcNPI       Status = 0x049
	StatusInvDstTON       Status = 0x050
	StatusInvDstNPI       Status = 0x051
	StatusInvSysTyp       Status = 0x053
	StatusInvRepFlag      Status = 0x054
	StatusInvNumMsgs      Status = 0x055
	StatusThrottled       Status = 0x058
	StatusInvSched        Status = 0x061
	StatusInvExpiry       Status = 0x062
	StatusInvDftMsgID     Status = 0x063
	StatusRxTAppn         Status = 0x064
	StatusRxPAppn         Status = 0x065
	StatusRxRAppn         Status = 0x066
	StatusQueryFail       Status = 0x067
	StatusInvOptParStream Status = 0x0C0
	StatusOptParNotAllwd  Status = 0x0C1
	StatusInvParLen       Status = 0x0C2
	StatusMissingOptParam Status = 0x0C3
	StatusInvOptParamVal  Status = 0x0C4
	StatusDeliveryFailure Status = 0x0FE
	StatusUnknownErr      Status = 0x0FF

	StatusSerTypUnauth      Status = 0x100
	StatusProhibited        Status = 0x101
	StatusSerTypUnavail     Status = 0x102
	StatusSerTypDenied      Status = 0x103
	StatusInvDCS            Status = 0x104
	StatusInvSrcAddrSubunit Status = 0x105
	StatusInvDstAddrSubunit Status = 0x106
	StatusInvBcastFreqInt   Status = 0x107
	StatusInvBcastAliasName Status = 0x108
	StatusInvBcastAreaFmt   Status = 0x109
	StatusInvNumBcastAreas  Status = 0x10A
	StatusInvBcastCntType   Status = 0x10B
	StatusInvBcastMsgClass  Status = 0x10C
	StatusBcastFail         Status = 0x10D
	StatusBcastQueryFail    Status = 0x10E
	StatusBcastCancelFail   Status = 0x10F
	StatusInvBcastRep       Status = 0x110
	StatusInvBcastSrvGrp    Status = 0x111
	StatusInvBcastChanInd   Status = 0x112
)

// The range §5.1.3 leaves to each vendor.
const (
	vendorStatusFirst Status = 0x400
	vendorStatusLast  Status = 0x4FF
)

// String returns the specification's name, "ESME_RTHROTTLED", or the number of
// a status it does not define.
func (s Status) String() string {
	if name, _ := s.lookup(); name != "" {
		return name
	}
	return fmt.Sprintf("0x%08X", uint32(s))
}

// Words says in a few words what the status means, for operators.
func (s Status) Words() string {
	if _, words := s.lookup(); words != "" {
		return words
	}
	if s >= vendorStatusFirst && s <= vendorStatusLast {
		return "vendor-specific error: ask the SMSC's operator what it means"
	}
	return "error not defined by SMPP: ask the SMSC's operator what it means"
}

// Throttling reports whether the peer asks for less traffic for a while:
// nothing is wrong with the message itself.
func (s Status) Throttling() bool { return s == StatusThrottled || s == StatusMsgQFul }

// Temporary reports whether the same request may succeed later, unchanged.
func (s Status) Temporary() bool {
	switch s {
	case StatusThrottled, StatusMsgQFul, StatusSysErr, StatusRxTAppn, StatusSerTypUnavail:
		return true
	}
	return false
}
