package pdu

import (
	"fmt"
	"strconv"
	"sync"
)

// Tag is the tag of an optional parameter (§5.3.1).
type Tag uint16

// The parameters of §5.3.2.
const (
	TagDestAddrSubunit          Tag = 0x0005
	TagDestNetworkType          Tag = 0x0006
	TagDestBearerType           Tag = 0x0007
	TagDestTelematicsID         Tag = 0x0008
	TagSourceAddrSubunit        Tag = 0x000D
	TagSourceNetworkType        Tag = 0x000E
	TagSourceBearerType         Tag = 0x000F
	TagSourceTelematicsID       Tag = 0x0010
	TagQosTimeToLive            Tag = 0x0017
	TagPayloadType              Tag = 0x0019
	TagAdditionalStatusInfoText Tag = 0x001D
	TagReceiptedMessageID       Tag = 0x001E // §5.3.2.12
	TagMSMsgWaitFacilities      Tag = 0x0030
	TagPrivacyIndicator         Tag = 0x0201
	TagSourceSubaddress         Tag = 0x0202
	TagDestSubaddress           Tag = 0x0203
	TagUserMessageReference     Tag = 0x0204
	TagUserResponseCode         Tag = 0x0205
	TagSourcePort               Tag = 0x020A
	TagDestinationPort          Tag = 0x020B
	TagSarMsgRefNum             Tag = 0x020C // §5.3.2.22
	TagLanguageIndicator        Tag = 0x020D
	TagSarTotalSegments         Tag = 0x020E // §5.3.2.23
	TagSarSegmentSeqnum         Tag = 0x020F // §5.3.2.24
	TagSCInterfaceVersion       Tag = 0x0210 // §5.3.2.25
	TagCallbackNumPresInd       Tag = 0x0302
	TagCallbackNumAtag          Tag = 0x0303
	TagNumberOfMessages         Tag = 0x0304
	TagCallbackNum              Tag = 0x0381
	TagDPFResult                Tag = 0x0420
	TagSetDPF                   Tag = 0x0421
	TagMSAvailabilityStatus     Tag = 0x0422
	TagNetworkErrorCode         Tag = 0x0423 // §5.3.2.31
	TagMessagePayload           Tag = 0x0424 // §5.3.2.32
	TagDeliveryFailureReason    Tag = 0x0425
	TagMoreMessagesToSend       Tag = 0x0426
	TagMessageState             Tag = 0x0427 // §5.3.2.35
	TagCongestionState          Tag = 0x0428 // SMPP 5.0 §4.8.4.18: 0 idle to 100 congested
	TagUSSDServiceOp            Tag = 0x0501 // §5.3.2.44
	TagDestNetworkID            Tag = 0x060E // SMPP 5.0
	TagSourceNetworkID          Tag = 0x060D // SMPP 5.0
	TagSourceNodeID             Tag = 0x060F // SMPP 5.0
	TagDestNodeID               Tag = 0x0610 // SMPP 5.0
	TagBillingIdentification    Tag = 0x060B // SMPP 5.0
	TagDisplayTime              Tag = 0x1201
	TagSMSSignal                Tag = 0x1203
	TagMSValidity               Tag = 0x1204
	TagAlertOnMessageDelivery   Tag = 0x130C
	TagITSReplyType             Tag = 0x1380
	TagITSSessionInfo           Tag = 0x1383 // §5.3.2.43
)

// The range §5.3.1 leaves to each vendor.
const (
	vendorTagFirst Tag = 0x1400
	vendorTagLast  Tag = 0x3FFF
)

// TagKind is how a parameter's octets are to be read.
type TagKind uint8

// The kinds of parameter.
const (
	KindUnknown TagKind = iota // not defined: octets of any number
	KindInteger                // big-endian
	KindCString                // ends with a NUL
	KindOctets
)

// Kind returns how the parameter is read, and its size in octets: exact for
// integers, at most for strings (NUL included), exact for octets unless 0,
// which stands for any.
func (t Tag) Kind() (kind TagKind, size int) {
	_, kind, size = t.lookup()
	return kind, size
}

// String returns the specification's name, "message_payload", or the number of
// a tag it does not define.
func (t Tag) String() string {
	if name, _, _ := t.lookup(); name != "" {
		return name
	}
	if t >= vendorTagFirst && t <= vendorTagLast {
		return fmt.Sprintf("vendor tag 0x%04X", uint16(t))
	}
	return fmt.Sprintf("tag 0x%04X", uint16(t))
}

// Key returns the specification's name, or the number as 0x1400: ParseTag reads
// both.
func (t Tag) Key() string {
	if name, _, _ := t.lookup(); name != "" {
		return name
	}
	return fmt.Sprintf("0x%04X", uint16(t))
}

// ParseTag reads a tag's name in the specification, or its number in Go's notation.
func ParseTag(text string) (Tag, error) {
	if n, err := strconv.ParseUint(text, 0, 16); err == nil {
		return Tag(n), nil
	}
	if tag, known := tagsByName()[text]; known {
		return tag, nil
	}
	return 0, fmt.Errorf("%q is no tag of a parameter: write a name like destination_port, or a number like 0x1400", text)
}

var tagsByName = sync.OnceValue(func() map[string]Tag {
	names := map[string]Tag{}
	for t := range vendorTagFirst {
		if name, _, _ := t.lookup(); name != "" {
			names[name] = t
		}
	}
	return names
})

// lookup is one long table on purpose.
func (t Tag) lookup() (name string, kind TagKind, size int) {
	switch t {
	case TagDestAddrSubunit:
		return "dest_addr_subunit", KindInteger, 1
	case TagDestNetworkType:
		return "dest_network_type", KindInteger, 1
	case TagDestBearerType:
		return "dest_bearer_type", KindInteger, 1
	case TagDestTelematicsID:
		return "dest_telematics_id", KindInteger, 2
	case TagSourceAddrSubunit:
		return "source_addr_subunit", KindInteger, 1
	case TagSourceNetworkType:
		return "source_network_type", KindInteger, 1
	case TagSourceBearerType:
		return "source_bearer_type", KindInteger, 1
	case TagSourceTelematicsID:
		return "source_telematics_id", KindInteger, 1
	case TagQosTimeToLive:
		return "qos_time_to_live", KindInteger, 4
	case TagPayloadType:
		return "payload_type", KindInteger, 1
	case TagAdditionalStatusInfoText:
		return "additional_status_info_text", KindCString, 256
	case TagReceiptedMessageID:
		return "receipted_message_id", KindCString, 65
	case TagMSMsgWaitFacilities:
		return "ms_msg_wait_facilities", KindInteger, 1
	case TagPrivacyIndicator:
		return "privacy_indicator", KindInteger, 1
	case TagSourceSubaddress:
		return "source_subaddress", KindOctets, 0
	case TagDestSubaddress:
		return "dest_subaddress", KindOctets, 0
	case TagUserMessageReference:
		return "user_message_reference", KindInteger, 2
	case TagUserResponseCode:
		return "user_response_code", KindInteger, 1
	case TagSourcePort:
		return "source_port", KindInteger, 2
	case TagDestinationPort:
		return "destination_port", KindInteger, 2
	case TagSarMsgRefNum:
		return "sar_msg_ref_num", KindInteger, 2
	case TagLanguageIndicator:
		return "language_indicator", KindInteger, 1
	case TagSarTotalSegments:
		return "sar_total_segments", KindInteger, 1
	case TagSarSegmentSeqnum:
		return "sar_segment_seqnum", KindInteger, 1
	case TagSCInterfaceVersion:
		return "SC_interface_version", KindInteger, 1
	case TagCallbackNumPresInd:
		return "callback_num_pres_ind", KindInteger, 1
	case TagCallbackNumAtag:
		return "callback_num_atag", KindOctets, 0
	case TagNumberOfMessages:
		return "number_of_messages", KindInteger, 1
	case TagCallbackNum:
		return "callback_num", KindOctets, 0
	}
	return t.lookupHigh()
}

// lookupHigh is lookup for the tags from 0x0400 on.
func (t Tag) lookupHigh() (name string, kind TagKind, size int) {
	switch t {
	case TagDPFResult:
		return "dpf_result", KindInteger, 1
	case TagSetDPF:
		return "set_dpf", KindInteger, 1
	case TagMSAvailabilityStatus:
		return "ms_availability_status", KindInteger, 1
	case TagNetworkErrorCode:
		return "network_error_code", KindOctets, 3
	case TagMessagePayload:
		return "message_payload", KindOctets, 0
	case TagDeliveryFailureReason:
		return "delivery_failure_reason", KindInteger, 1
	case TagMoreMessagesToSend:
		return "more_messages_to_send", KindInteger, 1
	case TagMessageState:
		return "message_state", KindInteger, 1
	case TagCongestionState:
		return "congestion_state", KindInteger, 1
	case TagUSSDServiceOp:
		return "ussd_service_op", KindInteger, 1
	case TagBillingIdentification:
		return "billing_identification", KindOctets, 0
	case TagSourceNetworkID:
		return "source_network_id", KindCString, 65
	case TagDestNetworkID:
		return "dest_network_id", KindCString, 65
	case TagSourceNodeID:
		return "source_node_id", KindOctets, 6
	case TagDestNodeID:
		return "dest_node_id", KindOctets, 6
	case TagDisplayTime:
		return "display_time", KindInteger, 1
	case TagSMSSignal:
		return "sms_signal", KindInteger, 2
	case TagMSValidity:
		return "ms_validity", KindInteger, 1
	case TagAlertOnMessageDelivery:
		return "alert_on_message_delivery", KindOctets, 0
	case TagITSReplyType:
		return "its_reply_type", KindInteger, 1
	case TagITSSessionInfo:
		return "its_session_info", KindOctets, 2
	}
	return "", KindUnknown, 0
}
