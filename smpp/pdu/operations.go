package pdu

import "fmt"

// QuerySM asks what became of a message (§4.8.1).
type QuerySM struct {
	MessageID string
	Source    Address // as in the submit_sm
}

// Command returns CmdQuerySM.
func (*QuerySM) Command() CommandID { return CmdQuerySM }

func (q *QuerySM) fields(c codec) {
	c.cstring("message_id", &q.MessageID, maxMessageID)
	q.Source.fields(c, "source_addr ton/npi", "source_addr", maxAddress)
}

// QuerySMResp answers QuerySM (§4.8.2).
type QuerySMResp struct {
	MessageID string
	FinalDate string // empty while the state is not final (§7.1.1)
	State     MessageState
	ErrorCode uint8 // the network's
	TLVs      TLVs  // SMPP 5.0
}

// Command returns CmdQuerySMResp.
func (*QuerySMResp) Command() CommandID { return CmdQuerySMResp }

func (q *QuerySMResp) fields(c codec) {
	c.cstring("message_id", &q.MessageID, maxMessageID)
	c.time("final_date", &q.FinalDate)
	c.u8("message_state", (*uint8)(&q.State))
	c.u8("error_code", &q.ErrorCode)
	c.tlvs(&q.TLVs)
}

// CancelSM takes back a message that is not delivered yet (§4.9.1): the one
// named, or with an empty MessageID all between the two addresses.
type CancelSM struct {
	ServiceType  string
	MessageID    string
	Source, Dest Address
}

// Command returns CmdCancelSM.
func (*CancelSM) Command() CommandID { return CmdCancelSM }

func (m *CancelSM) fields(c codec) {
	c.cstring("service_type", &m.ServiceType, maxServiceType)
	c.cstring("message_id", &m.MessageID, maxMessageID)
	m.Source.fields(c, "source_addr ton/npi", "source_addr", maxAddress)
	m.Dest.fields(c, "dest_addr ton/npi", "destination_addr", maxAddress)
}

// ReplaceSM replaces a message that is not delivered yet (§4.10.1).
type ReplaceSM struct {
	MessageID            string
	Source               Address
	ScheduleDeliveryTime string
	ValidityPeriod       string
	RegisteredDelivery   RegisteredDelivery
	DefaultMsgID         uint8
	ShortMessage         []byte
	TLVs                 TLVs // SMPP 5.0
}

// Command returns CmdReplaceSM.
func (*ReplaceSM) Command() CommandID { return CmdReplaceSM }

func (m *ReplaceSM) fields(c codec) {
	c.cstring("message_id", &m.MessageID, maxMessageID)
	m.Source.fields(c, "source_addr ton/npi", "source_addr", maxAddress)
	c.time("schedule_delivery_time", &m.ScheduleDeliveryTime)
	c.time("validity_period", &m.ValidityPeriod)
	c.u8("registered_delivery", (*uint8)(&m.RegisteredDelivery))
	c.u8("sm_default_msg_id", &m.DefaultMsgID)
	c.octets("short_message", &m.ShortMessage, maxShortMessage)
	c.tlvs(&m.TLVs)
}

// The values of dest_flag (§5.2.25).
const (
	destAddress uint8 = 1
	destList    uint8 = 2
)

// Destination is one of submit_multi's: an address, or the name of a
// distribution list kept at the SMSC (§4.5.1.1).
type Destination struct {
	Address
	List string // at most 20 characters; when set, Address is not used
}

func (d *Destination) fields(c codec) {
	flag := destAddress
	if d.List != "" {
		flag = destList
	}
	c.u8("dest_flag", &flag)
	if flag == destList {
		c.cstring("dl_name", &d.List, maxListName)
		return
	}
	d.Address.fields(c, "dest_addr ton/npi", "destination_addr", maxAddress)
}

// SubmitMulti gives the SMSC one message for many (§4.5.1). Message.Dest is not
// used.
type SubmitMulti struct {
	Message
	Dests []Destination // at most 254
}

// Command returns CmdSubmitMulti.
func (*SubmitMulti) Command() CommandID { return CmdSubmitMulti }

func (m *SubmitMulti) fields(c codec) {
	c.cstring("service_type", &m.ServiceType, maxServiceType)
	m.Source.fields(c, "source_addr ton/npi", "source_addr", maxAddress)
	m.Dests = sized(m.Dests, c.count("number_of_dests", len(m.Dests)))
	for i := range m.Dests {
		m.Dests[i].fields(c)
	}
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

// Unsuccessful is a destination submit_multi was refused for (§4.5.2.1).
type Unsuccessful struct {
	Address
	Status Status
}

// SubmitMultiResp answers SubmitMulti (§4.5.2).
type SubmitMultiResp struct {
	MessageID    string
	Unsuccessful []Unsuccessful
	TLVs         TLVs
}

// Command returns CmdSubmitMultiResp.
func (*SubmitMultiResp) Command() CommandID { return CmdSubmitMultiResp }

func (r *SubmitMultiResp) fields(c codec) {
	c.cstring("message_id", &r.MessageID, maxMessageID)
	r.Unsuccessful = sized(r.Unsuccessful, c.count("no_unsuccess", len(r.Unsuccessful)))
	for i := range r.Unsuccessful {
		u := &r.Unsuccessful[i]
		u.fields(c, "dest_addr ton/npi", "destination_addr", maxAddress)
		c.u32("error_status_code", (*uint32)(&u.Status))
	}
	c.tlvs(&r.TLVs)
}

// sized returns list when it has n entries, as when writing, else a new one.
func sized[T any](list []T, n int) []T {
	if len(list) == n {
		return list
	}
	return make([]T, n)
}

// Raw is a body of any command, its octets as they are: for simulators and
// tests that must send what no other body of this package can. It is never read.
type Raw struct {
	ID   CommandID
	Data []byte
}

// Command returns r.ID.
func (r *Raw) Command() CommandID { return r.ID }

// String tells the size, not the content.
func (r *Raw) String() string { return fmt.Sprintf("%s of %d octets", r.ID, len(r.Data)) }

func (r *Raw) fields(c codec) {
	for i := range r.Data {
		c.u8("data", &r.Data[i])
	}
}
