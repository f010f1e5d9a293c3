package pdu

// Address is an SME's address with its numbering (§5.2.5 to §5.2.9).
type Address struct {
	TON  TON
	NPI  NPI
	Addr string // at most 20 characters, 64 in data_sm and alert_notification
}

// fields walks the three fields; they are called prefix_ton, prefix_npi and
// name, as the specification has it.
func (a *Address) fields(c codec, prefix, name string, max int) {
	c.u8(prefix, (*uint8)(&a.TON))
	c.u8(prefix, (*uint8)(&a.NPI))
	c.cstring(name, &a.Addr, max)
}

// Message is what submit_sm and deliver_sm have in common (§4.4.1, §4.6.1).
type Message struct {
	ServiceType          string // at most 5 characters (§5.2.11)
	Source, Dest         Address
	ESMClass             ESMClass
	ProtocolID           uint8  // §5.2.13: the TP-PID of GSM 03.40
	Priority             uint8  // 0 lowest to 3 highest (§5.2.14)
	ScheduleDeliveryTime string // empty: at once (§5.2.15, §7.1.1)
	ValidityPeriod       string // empty: the SMSC's own (§5.2.16, §7.1.1)
	RegisteredDelivery   RegisteredDelivery
	ReplaceIfPresent     uint8 // 1 replaces (§5.2.18)
	DataCoding           DataCoding
	DefaultMsgID         uint8  // a message kept at the SMSC, 1 to 254 (§5.2.20)
	ShortMessage         []byte // at most 254 octets (§5.2.22); longer ones go into TagMessagePayload
	TLVs                 TLVs
}

// Payload returns the message's octets, from short_message or, when that is
// empty, from message_payload (§5.3.2.32).
func (m *Message) Payload() []byte {
	if len(m.ShortMessage) > 0 {
		return m.ShortMessage
	}
	payload, _ := m.TLVs.Get(TagMessagePayload)
	return payload
}

func (m *Message) fields(c codec) {
	c.cstring("service_type", &m.ServiceType, maxServiceType)
	m.Source.fields(c, "source_addr ton/npi", "source_addr", maxAddress)
	m.Dest.fields(c, "dest_addr ton/npi", "destination_addr", maxAddress)
	c.u8("esm_class", (*uint8)(&m.ESMClass))
	c.u8("protocol_id", &m.ProtocolID)
	c.u8("priority_flag", &m.Priority)
	c.time("schedule_delivery_time", &m.ScheduleDeliveryTime)
	c.time("validity_period", &m.ValidityPeriod)
	c.u8("registered_delivery", (*uint8)(&m.RegisteredDelivery))
	c.u8("replace_if_present_flag", &m.ReplaceIfPresent)
	c.u8("data_coding", (*uint8)(&m.DataCoding))
	c.u8("sm_default_msg_id", &m.DefaultMsgID)
	c.octets("short_message", &m.ShortMessage, maxShortMessage)
	c.tlvs(&m.TLVs)
}

// SubmitSM gives the SMSC a message (§4.4.1).
type SubmitSM struct{ Message }

// Command returns CmdSubmitSM.
func (*SubmitSM) Command() CommandID { return CmdSubmitSM }

// DeliverSM brings a message or a receipt from the SMSC (§4.6.1).
type DeliverSM struct{ Message }

// Command returns CmdDeliverSM.
func (*DeliverSM) Command() CommandID { return CmdDeliverSM }

// SubmitSMResp answers SubmitSM (§4.4.2).
type SubmitSMResp struct {
	MessageID string // the SMSC's, at most 64 characters (§5.2.23)
	TLVs      TLVs
}

// Command returns CmdSubmitSMResp.
func (*SubmitSMResp) Command() CommandID { return CmdSubmitSMResp }

func (r *SubmitSMResp) fields(c codec) {
	c.cstring("message_id", &r.MessageID, maxMessageID)
	c.tlvs(&r.TLVs)
}

// DeliverSMResp answers DeliverSM (§4.6.2). Its message_id is unused and empty.
type DeliverSMResp struct {
	MessageID string
	TLVs      TLVs
}

// Command returns CmdDeliverSMResp.
func (*DeliverSMResp) Command() CommandID { return CmdDeliverSMResp }

func (r *DeliverSMResp) fields(c codec) {
	c.cstring("message_id", &r.MessageID, maxMessageID)
	c.tlvs(&r.TLVs)
}

// DataSM carries a message in either direction, its octets in
// TagMessagePayload (§4.7.1).
type DataSM struct {
	ServiceType        string // at most 5 characters
	Source, Dest       Address
	ESMClass           ESMClass
	RegisteredDelivery RegisteredDelivery
	DataCoding         DataCoding
	TLVs               TLVs
}

// Command returns CmdDataSM.
func (*DataSM) Command() CommandID { return CmdDataSM }

func (m *DataSM) fields(c codec) {
	c.cstring("service_type", &m.ServiceType, maxServiceType)
	m.Source.fields(c, "source_addr ton/npi", "source_addr", maxDataAddress)
	m.Dest.fields(c, "dest_addr ton/npi", "destination_addr", maxDataAddress)
	c.u8("esm_class", (*uint8)(&m.ESMClass))
	c.u8("registered_delivery", (*uint8)(&m.RegisteredDelivery))
	c.u8("data_coding", (*uint8)(&m.DataCoding))
	c.tlvs(&m.TLVs)
}

// DataSMResp answers DataSM (§4.7.2).
type DataSMResp struct {
	MessageID string
	TLVs      TLVs
}

// Command returns CmdDataSMResp.
func (*DataSMResp) Command() CommandID { return CmdDataSMResp }

func (r *DataSMResp) fields(c codec) {
	c.cstring("message_id", &r.MessageID, maxMessageID)
	c.tlvs(&r.TLVs)
}

// AlertNotification says that a subscriber can be reached again (§4.12.1). It
// has no answer.
type AlertNotification struct {
	Source, ESME Address
	TLVs         TLVs // TagMSAvailabilityStatus
}

// Command returns CmdAlertNotification.
func (*AlertNotification) Command() CommandID { return CmdAlertNotification }

func (a *AlertNotification) fields(c codec) {
	a.Source.fields(c, "source_addr ton/npi", "source_addr", maxDataAddress)
	a.ESME.fields(c, "esme_addr ton/npi", "esme_addr", maxDataAddress)
	c.tlvs(&a.TLVs)
}
