package pdu

// lookup returns the status's name and its meaning in words, empty for one that
// is not defined. It is one long table on purpose.
func (s Status) lookup() (name, words string) {
	switch s {
	case StatusOK:
		return "ESME_ROK", "no error"
	case StatusInvMsgLen:
		return "ESME_RINVMSGLEN", "message length is invalid"
	case StatusInvCmdLen:
		return "ESME_RINVCMDLEN", "command length is invalid"
	case StatusInvCmdID:
		return "ESME_RINVCMDID", "command is not known to the peer"
	case StatusInvBndSts:
		return "ESME_RINVBNDSTS", "command not allowed in this bind state: check the bind type (transmitter, receiver, transceiver)"
	case StatusAlyBnd:
		return "ESME_RALYBND", "already bound: another session uses this system_id, or the last one has not ended yet"
	case StatusInvPrtFlg:
		return "ESME_RINVPRTFLG", "priority flag is invalid"
	case StatusInvRegDlvFlg:
		return "ESME_RINVREGDLVFLG", "registered_delivery flag is invalid"
	case StatusSysErr:
		return "ESME_RSYSERR", "system error at the SMSC"
	case StatusInvSrcAdr:
		return "ESME_RINVSRCADR", "source address is invalid or not allowed"
	case StatusInvDstAdr:
		return "ESME_RINVDSTADR", "destination address is invalid"
	case StatusInvMsgID:
		return "ESME_RINVMSGID", "message id is not known"
	case StatusBindFail:
		return "ESME_RBINDFAIL", "bind failed: check system_id, password, system_type and the allowed IP address"
	case StatusInvPaswd:
		return "ESME_RINVPASWD", "password is wrong"
	case StatusInvSysID:
		return "ESME_RINVSYSID", "system_id is not known"
	case StatusCancelFail:
		return "ESME_RCANCELFAIL", "cancel_sm failed"
	case StatusReplaceFail:
		return "ESME_RREPLACEFAIL", "replace_sm failed"
	case StatusMsgQFul:
		return "ESME_RMSGQFUL", "the SMSC's message queue is full"
	case StatusInvSerTyp:
		return "ESME_RINVSERTYP", "service_type is invalid"
	case StatusInvNumDests:
		return "ESME_RINVNUMDESTS", "number of destinations is invalid"
	case StatusInvDLName:
		return "ESME_RINVDLNAME", "distribution list name is invalid"
	case StatusInvDestFlag:
		return "ESME_RINVDESTFLAG", "destination flag is invalid"
	case StatusInvSubRep:
		return "ESME_RINVSUBREP", "submit with replace is invalid"
	case StatusInvEsmClass:
		return "ESME_RINVESMCLASS", "esm_class is invalid"
	case StatusCntSubDL:
		return "ESME_RCNTSUBDL", "cannot submit to the distribution list"
	case StatusSubmitFail:
		return "ESME_RSUBMITFAIL", "submit failed"
	case StatusInvSrcTON:
		return "ESME_RINVSRCTON", "source address TON is invalid"
	case StatusInvSrcNPI:
		return "ESME_RINVSRCNPI", "source address NPI is invalid"
	case StatusInvDstTON:
		return "ESME_RINVDSTTON", "destination address TON is invalid"
	case StatusInvDstNPI:
		return "ESME_RINVDSTNPI", "destination address NPI is invalid"
	case StatusInvSysTyp:
		return "ESME_RINVSYSTYP", "system_type is invalid"
	case StatusInvRepFlag:
		return "ESME_RINVREPFLAG", "replace_if_present flag is invalid"
	case StatusInvNumMsgs:
		return "ESME_RINVNUMMSGS", "number of messages is invalid"
	case StatusThrottled:
		return "ESME_RTHROTTLED", "throttled: more messages were sent than the SMSC allows"
	case StatusInvSched:
		return "ESME_RINVSCHED", "scheduled delivery time is invalid"
	case StatusInvExpiry:
		return "ESME_RINVEXPIRY", "validity period is invalid"
	case StatusInvDftMsgID:
		return "ESME_RINVDFTMSGID", "predefined message is invalid or not found"
	case StatusRxTAppn:
		return "ESME_RX_T_APPN", "the receiver has a temporary error"
	case StatusRxPAppn:
		return "ESME_RX_P_APPN", "the receiver has a permanent error"
	case StatusRxRAppn:
		return "ESME_RX_R_APPN", "the receiver rejects the message"
	case StatusQueryFail:
		return "ESME_RQUERYFAIL", "query_sm failed"
	case StatusInvOptParStream:
		return "ESME_RINVOPTPARSTREAM", "optional parameters cannot be read"
	case StatusOptParNotAllwd:
		return "ESME_ROPTPARNOTALLWD", "an optional parameter is not allowed"
	case StatusInvParLen:
		return "ESME_RINVPARLEN", "a parameter's length is invalid"
	case StatusMissingOptParam:
		return "ESME_RMISSINGOPTPARAM", "an expected optional parameter is missing"
	case StatusInvOptParamVal:
		return "ESME_RINVOPTPARAMVAL", "an optional parameter's value is invalid"
	case StatusDeliveryFailure:
		return "ESME_RDELIVERYFAILURE", "delivery failed"
	case StatusUnknownErr:
		return "ESME_RUNKNOWNERR", "unknown error"
	}
	return s.lookup5()
}

// lookup5 is lookup for what SMPP 5.0 added.
func (s Status) lookup5() (name, words string) {
	switch s {
	case StatusSerTypUnauth:
		return "ESME_RSERTYPUNAUTH", "not authorised to use this service_type"
	case StatusProhibited:
		return "ESME_RPROHIBITED", "not allowed to use this operation"
	case StatusSerTypUnavail:
		return "ESME_RSERTYPUNAVAIL", "service_type is not available now"
	case StatusSerTypDenied:
		return "ESME_RSERTYPDENIED", "service_type is denied"
	case StatusInvDCS:
		return "ESME_RINVDCS", "data_coding is invalid"
	case StatusInvSrcAddrSubunit:
		return "ESME_RINVSRCADDRSUBUNIT", "source address subunit is invalid"
	case StatusInvDstAddrSubunit:
		return "ESME_RINVDSTADDRSUBUNIT", "destination address subunit is invalid"
	case StatusInvBcastFreqInt:
		return "ESME_RINVBCASTFREQINT", "broadcast frequency interval is invalid"
	case StatusInvBcastAliasName:
		return "ESME_RINVBCASTALIAS_NAME", "broadcast alias name is invalid"
	case StatusInvBcastAreaFmt:
		return "ESME_RINVBCASTAREAFMT", "broadcast area format is invalid"
	case StatusInvNumBcastAreas:
		return "ESME_RINVNUMBCAST_AREAS", "number of broadcast areas is invalid"
	case StatusInvBcastCntType:
		return "ESME_RINVBCASTCNTTYPE", "broadcast content type is invalid"
	case StatusInvBcastMsgClass:
		return "ESME_RINVBCASTMSGCLASS", "broadcast message class is invalid"
	case StatusBcastFail:
		return "ESME_RBCASTFAIL", "broadcast_sm failed"
	case StatusBcastQueryFail:
		return "ESME_RBCASTQUERYFAIL", "query_broadcast_sm failed"
	case StatusBcastCancelFail:
		return "ESME_RBCASTCANCELFAIL", "cancel_broadcast_sm failed"
	case StatusInvBcastRep:
		return "ESME_RINVBCAST_REP", "number of broadcast repeats is invalid"
	case StatusInvBcastSrvGrp:
		return "ESME_RINVBCASTSRVGRP", "broadcast service group is invalid"
	case StatusInvBcastChanInd:
		return "ESME_RINVBCASTCHANIND", "broadcast channel indicator is invalid"
	}
	return "", ""
}
