package pdu

// The longest strings §5.2 allows, in octets, the final NUL included.
const (
	maxSystemID     = 16
	maxPassword     = 9
	maxSystemType   = 13
	maxAddressRange = 41
	maxServiceType  = 6
	maxAddress      = 21
	maxDataAddress  = 65 // in data_sm and alert_notification
	maxMessageID    = 65
	maxListName     = 21
	maxShortMessage = 254
	maxDests        = 254
)

// newBody returns an empty body for the command, nil when it is not known.
func newBody(c CommandID) Body {
	switch c {
	case CmdSubmitSM:
		return new(SubmitSM)
	case CmdSubmitSMResp:
		return new(SubmitSMResp)
	case CmdDeliverSM:
		return new(DeliverSM)
	case CmdDeliverSMResp:
		return new(DeliverSMResp)
	case CmdEnquireLink:
		return new(EnquireLink)
	case CmdEnquireLinkResp:
		return new(EnquireLinkResp)
	case CmdBindReceiver, CmdBindTransmitter, CmdBindTransceiver:
		return &Bind{ID: c}
	case CmdBindReceiverResp, CmdBindTransmitterResp, CmdBindTransceiverResp:
		return &BindResp{ID: c}
	case CmdUnbind:
		return new(Unbind)
	case CmdUnbindResp:
		return new(UnbindResp)
	case CmdGenericNack:
		return new(GenericNack)
	case CmdOutbind:
		return new(Outbind)
	case CmdAlertNotification:
		return new(AlertNotification)
	}
	return newOperation(c)
}

// newOperation is newBody for the message operations other than submit_sm and
// deliver_sm.
func newOperation(c CommandID) Body {
	switch c {
	case CmdDataSM:
		return new(DataSM)
	case CmdDataSMResp:
		return new(DataSMResp)
	case CmdQuerySM:
		return new(QuerySM)
	case CmdQuerySMResp:
		return new(QuerySMResp)
	case CmdCancelSM:
		return new(CancelSM)
	case CmdCancelSMResp:
		return new(CancelSMResp)
	case CmdReplaceSM:
		return new(ReplaceSM)
	case CmdReplaceSMResp:
		return new(ReplaceSMResp)
	case CmdSubmitMulti:
		return new(SubmitMulti)
	case CmdSubmitMultiResp:
		return new(SubmitMultiResp)
	}
	return nil
}

// Bodies without fields.
type (
	// EnquireLink asks whether the peer is alive (§4.11.1).
	EnquireLink struct{}
	// EnquireLinkResp says it is (§4.11.2).
	EnquireLinkResp struct{}
	// Unbind ends a session (§4.2.1).
	Unbind struct{}
	// UnbindResp agrees (§4.2.2).
	UnbindResp struct{}
	// GenericNack answers what has no response of its own (§4.3.1).
	GenericNack struct{}
	// CancelSMResp answers cancel_sm (§4.9.2).
	CancelSMResp struct{}
	// ReplaceSMResp answers replace_sm (§4.10.2).
	ReplaceSMResp struct{}
)

// Command returns CmdEnquireLink.
func (*EnquireLink) Command() CommandID { return CmdEnquireLink }
func (*EnquireLink) fields(codec)       {}

// Command returns CmdEnquireLinkResp.
func (*EnquireLinkResp) Command() CommandID { return CmdEnquireLinkResp }
func (*EnquireLinkResp) fields(codec)       {}

// Command returns CmdUnbind.
func (*Unbind) Command() CommandID { return CmdUnbind }
func (*Unbind) fields(codec)       {}

// Command returns CmdUnbindResp.
func (*UnbindResp) Command() CommandID { return CmdUnbindResp }
func (*UnbindResp) fields(codec)       {}

// Command returns CmdGenericNack.
func (*GenericNack) Command() CommandID { return CmdGenericNack }
func (*GenericNack) fields(codec)       {}

// Command returns CmdCancelSMResp.
func (*CancelSMResp) Command() CommandID { return CmdCancelSMResp }
func (*CancelSMResp) fields(codec)       {}

// Command returns CmdReplaceSMResp.
func (*ReplaceSMResp) Command() CommandID { return CmdReplaceSMResp }
func (*ReplaceSMResp) fields(codec)       {}
