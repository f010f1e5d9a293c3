package pdu

import "fmt"

// CommandID is the second word of a PDU's header (§5.1.2.1). A response has the
// request's id with the highest bit set.
type CommandID uint32

// The commands of §5.1.2.1.
const (
	CmdGenericNack         CommandID = 0x80000000
	CmdBindReceiver        CommandID = 0x00000001
	CmdBindReceiverResp    CommandID = 0x80000001
	CmdBindTransmitter     CommandID = 0x00000002
	CmdBindTransmitterResp CommandID = 0x80000002
	CmdQuerySM             CommandID = 0x00000003
	CmdQuerySMResp         CommandID = 0x80000003
	CmdSubmitSM            CommandID = 0x00000004
	CmdSubmitSMResp        CommandID = 0x80000004
	CmdDeliverSM           CommandID = 0x00000005
	CmdDeliverSMResp       CommandID = 0x80000005
	CmdUnbind              CommandID = 0x00000006
	CmdUnbindResp          CommandID = 0x80000006
	CmdReplaceSM           CommandID = 0x00000007
	CmdReplaceSMResp       CommandID = 0x80000007
	CmdCancelSM            CommandID = 0x00000008
	CmdCancelSMResp        CommandID = 0x80000008
	CmdBindTransceiver     CommandID = 0x00000009
	CmdBindTransceiverResp CommandID = 0x80000009
	CmdOutbind             CommandID = 0x0000000B
	CmdEnquireLink         CommandID = 0x00000015
	CmdEnquireLinkResp     CommandID = 0x80000015
	CmdSubmitMulti         CommandID = 0x00000021
	CmdSubmitMultiResp     CommandID = 0x80000021
	CmdAlertNotification   CommandID = 0x00000102
	CmdDataSM              CommandID = 0x00000103
	CmdDataSMResp          CommandID = 0x80000103
)

// responseBit marks a response (§5.1.2.1).
const responseBit CommandID = 0x80000000

// IsResponse reports whether the command answers another. generic_nack does.
func (c CommandID) IsResponse() bool { return c&responseBit != 0 }

// Response returns the command that answers c: the response itself when c is
// one, generic_nack when c is a request this package does not know or one that
// is never answered (outbind, alert_notification).
func (c CommandID) Response() CommandID {
	if c.IsResponse() {
		return c
	}
	if r := c | responseBit; r.Known() {
		return r
	}
	return CmdGenericNack
}

// Known reports whether this package can read and write the command's body.
func (c CommandID) Known() bool { return newBody(c) != nil }

// String returns the specification's name, "submit_sm", or the number of an
// unknown command.
func (c CommandID) String() string {
	if c == CmdGenericNack {
		return "generic_nack"
	}
	name := requestName(c &^ responseBit)
	switch {
	case name == "":
		return fmt.Sprintf("command 0x%08X", uint32(c))
	case c.IsResponse():
		return name + "_resp"
	}
	return name
}

// requestName names a request, for the log also those of 3.3 and 5.0 that newBody
// does not know.
func requestName(c CommandID) string {
	switch c {
	case CmdBindReceiver:
		return "bind_receiver"
	case CmdBindTransmitter:
		return "bind_transmitter"
	case CmdQuerySM:
		return "query_sm"
	case CmdSubmitSM:
		return "submit_sm"
	case CmdDeliverSM:
		return "deliver_sm"
	case CmdUnbind:
		return "unbind"
	case CmdReplaceSM:
		return "replace_sm"
	case CmdCancelSM:
		return "cancel_sm"
	case CmdBindTransceiver:
		return "bind_transceiver"
	case CmdOutbind:
		return "outbind"
	case CmdEnquireLink:
		return "enquire_link"
	case CmdSubmitMulti:
		return "submit_multi"
	case CmdAlertNotification:
		return "alert_notification"
	case CmdDataSM:
		return "data_sm"
	case 0x111:
		return "broadcast_sm"
	case 0x112:
		return "query_broadcast_sm"
	case 0x113:
		return "cancel_broadcast_sm"
	}
	return ""
}
