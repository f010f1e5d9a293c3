package smpp

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"switchboard/smpp/pdu"
)

// The keys of transport_metadata.
const (
	// SubmitKey is where a message to a person says what it asks of SMPP. The same
	// keys are read beside it, where others may use them with meanings of their own.
	SubmitKey = "smpp"
	// DeliverKey is where a message from a person has what SMPP said of it. It is
	// another key since replies carry their message's metadata back.
	DeliverKey = "deliver_sm"
)

// Metadata is what transport_metadata asks of SMPP for a message to a person.
type Metadata struct {
	Flash              bool          `json:"flash,omitempty"`
	Validity           Time          `json:"validity,omitempty"`
	Schedule           Time          `json:"schedule,omitempty"`
	Priority           *Priority     `json:"priority,omitempty"`
	ServiceType        *ServiceType  `json:"service_type,omitempty"`
	RegisteredDelivery *Registration `json:"registered_delivery,omitempty"`
	Replace            bool          `json:"replace,omitempty"`
	ProtocolID         *uint8        `json:"protocol_id,omitempty"`
	DataCoding         *uint8        `json:"data_coding,omitempty"`
	Payload            []byte        `json:"payload,omitempty"` // in content's place
	UDHI               bool          `json:"udhi,omitempty"`    // Payload begins with a user data header

	USSDServiceOp *uint8      `json:"ussd_service_op,omitempty"`
	Session       SessionInfo `json:"its_session_info,omitempty"`
	UserReference *uint16     `json:"user_message_reference,omitempty"` // in place of ours

	Numbering
	TLVs TLVs `json:"tlvs,omitempty"`
}

// DeliverMetadata is what transport_metadata has of a message from a person.
type DeliverMetadata struct {
	DataCoding    pdu.DataCoding `json:"data_coding"`
	ESMClass      pdu.ESMClass   `json:"esm_class"`
	ServiceType   string         `json:"service_type,omitempty"`
	ProtocolID    uint8          `json:"protocol_id,omitempty"`
	Priority      uint8          `json:"priority,omitempty"`
	Payload       []byte         `json:"payload,omitempty"` // the octets that are no text
	DecodingError string         `json:"decoding_error,omitempty"`
	Parts         int            `json:"parts,omitempty"`
	MissingParts  []int          `json:"missing_parts,omitempty"`
	USSDServiceOp string         `json:"ussd_service_op,omitempty"`  // two hexadecimal digits
	Session       string         `json:"its_session_info,omitempty"` // four hexadecimal digits
	UserReference *uint16        `json:"user_message_reference,omitempty"`

	Numbering
	TLVs TLVs `json:"tlvs,omitempty"`
}

// Describe returns what SMPP says of a message beside its text.
func Describe(m *pdu.Message) DeliverMetadata {
	d := DeliverMetadata{
		DataCoding: m.DataCoding, ESMClass: m.ESMClass, ServiceType: m.ServiceType, ProtocolID: m.ProtocolID, Priority: m.Priority,
		Numbering: NumberingOf(m.Source, m.Dest), TLVs: Passed(m.TLVs),
	}
	if operation, ok := m.TLVs.Uint(pdu.TagUSSDServiceOp); ok {
		d.USSDServiceOp = fmt.Sprintf("%02x", operation)
	}
	if info, ok := m.TLVs.Get(pdu.TagITSSessionInfo); ok {
		d.Session = hex.EncodeToString(info)
	}
	if reference, ok := m.TLVs.Uint(pdu.TagUserMessageReference); ok {
		short := uint16(reference)
		d.UserReference = &short
	}
	return d
}

// field returns where a key's value goes, nil for a key that is none. Unlike
// encoding/json it tells "Priority" from "priority".
func (w *Metadata) field(key string) any {
	switch key {
	case "flash":
		return &w.Flash
	case "validity":
		return &w.Validity
	case "schedule":
		return &w.Schedule
	case "priority":
		return &w.Priority
	case "service_type":
		return &w.ServiceType
	case "registered_delivery":
		return &w.RegisteredDelivery
	case "replace":
		return &w.Replace
	case "protocol_id":
		return &w.ProtocolID
	case "data_coding":
		return &w.DataCoding
	case "payload":
		return &w.Payload
	case "udhi":
		return &w.UDHI
	case "ussd_service_op":
		return &w.USSDServiceOp
	case "its_session_info":
		return &w.Session
	case "user_message_reference":
		return &w.UserReference
	case "source_addr_ton":
		return &w.SourceTON
	case "source_addr_npi":
		return &w.SourceNPI
	case "dest_addr_ton":
		return &w.DestTON
	case "dest_addr_npi":
		return &w.DestNPI
	case "tlvs":
		return &w.TLVs
	}
	return nil
}

// ReadMetadata reads a message's transport_metadata, a JSON object. Keys that
// stand under "smpp" come first and must be right. Beside it, what SMPP cannot use
// is ignored.
func ReadMetadata(text string) (w Metadata, ignored []string, err error) {
	if text == "" || text == "{}" || text == "null" {
		return w, nil, nil
	}
	var all, own map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return w, nil, fmt.Errorf("reading transport_metadata: %w", err)
	}
	for key, raw := range all {
		before := w
		if field := w.field(key); field != nil && json.Unmarshal(raw, field) != nil {
			w = before
			ignored = append(ignored, key)
		}
	}
	if raw, there := all[SubmitKey]; there {
		if err := json.Unmarshal(raw, &own); err != nil {
			return w, nil, fmt.Errorf("reading transport_metadata's %s: %w", SubmitKey, err)
		}
	}
	for key, raw := range own {
		field := w.field(key)
		if field == nil {
			return w, nil, fmt.Errorf("transport_metadata's %s has %q, which is no key of SMPP", SubmitKey, key)
		}
		if err := json.Unmarshal(raw, field); err != nil {
			return w, nil, fmt.Errorf("reading transport_metadata's %s.%s: %w", SubmitKey, key, err)
		}
	}
	return w, ignored, nil
}

// Apply puts what is asked for into a submit_sm that has the options' values.
func (w *Metadata) Apply(s *pdu.Message) {
	set((*Priority)(&s.Priority), w.Priority)
	set((*ServiceType)(&s.ServiceType), w.ServiceType)
	set(&s.ProtocolID, w.ProtocolID)
	set((*Registration)(&s.RegisteredDelivery), w.RegisteredDelivery)
	if w.Replace {
		s.ReplaceIfPresent = 1
	}
	if w.UDHI {
		s.ESMClass |= pdu.ESMUDHI
	}
	s.ValidityPeriod, s.ScheduleDeliveryTime = string(w.Validity), string(w.Schedule)
	w.Numbering.Apply(s)
	s.TLVs = append(s.TLVs, w.TLVs...)
}

// SubmitMetadata returns what a submit_sm asks for beside its text: Apply is the
// way back. Registered delivery is left to the caller.
func SubmitMetadata(s *pdu.Message) Metadata {
	w := Metadata{
		Validity: Time(s.ValidityPeriod), Schedule: Time(s.ScheduleDeliveryTime), Replace: s.ReplaceIfPresent == 1,
		Priority: unlessZero(Priority(s.Priority)), ServiceType: unlessZero(ServiceType(s.ServiceType)), ProtocolID: unlessZero(s.ProtocolID),
		Numbering: NumberingOf(s.Source, s.Dest), TLVs: Passed(s.TLVs),
	}
	if reference, ok := s.TLVs.Uint(pdu.TagUserMessageReference); ok {
		short := uint16(reference)
		w.UserReference = &short
	}
	if operation, ok := s.TLVs.Uint(pdu.TagUSSDServiceOp); ok {
		octet := uint8(operation)
		w.USSDServiceOp = &octet
		if info, ok := s.TLVs.Get(pdu.TagITSSessionInfo); ok && len(info) == 2 {
			w.Session = info
		}
	}
	return w
}

func unlessZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// Priority is a priority_flag (§5.2.14): 0 to 3.
type Priority uint8

// UnmarshalJSON reads a number.
func (p *Priority) UnmarshalJSON(raw []byte) error {
	var n uint8
	if json.Unmarshal(raw, &n) != nil || n > 3 {
		return errors.New("it must be from 0 to 3")
	}
	*p = Priority(n)
	return nil
}

// ServiceType is a service_type (§5.2.11).
type ServiceType string

// MaxServiceType is the most characters service_type has (§5.2.11).
const MaxServiceType = 5

// UnmarshalJSON reads a text.
func (s *ServiceType) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil || len(text) > MaxServiceType {
		return fmt.Errorf("it must be a text of at most %d characters", MaxServiceType)
	}
	*s = ServiceType(text)
	return nil
}

// Registration is a registered_delivery (§5.2.17), also as true or false.
type Registration pdu.RegisteredDelivery

// UnmarshalJSON reads true, false or a number.
func (r *Registration) UnmarshalJSON(raw []byte) error {
	var wanted bool
	var n uint8
	switch {
	case json.Unmarshal(raw, &wanted) == nil:
		if *r = Registration(pdu.ReceiptNone); wanted {
			*r = Registration(pdu.ReceiptFinal)
		}
	case json.Unmarshal(raw, &n) == nil:
		*r = Registration(n)
	default:
		return errors.New("it must be true, false or a number from 0 to 255")
	}
	return nil
}

// SessionInfo is an its_session_info (§5.3.2.43): two octets, four hexadecimal
// digits in JSON.
type SessionInfo []byte

// MarshalText writes hexadecimal digits.
func (s SessionInfo) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(s)), nil }

// UnmarshalText reads hexadecimal digits.
func (s *SessionInfo) UnmarshalText(text []byte) error {
	octets, err := hex.DecodeString(string(text))
	if err != nil || len(octets) != 2 {
		return errors.New("it must be 4 hexadecimal digits")
	}
	*s = octets
	return nil
}

// Time is a time as §7.1.1 writes it.
type Time string

// UnmarshalJSON reads seconds from now, a duration like "2h", or §7.1.1's form as
// it is.
func (at *Time) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	var number float64
	var text string
	if json.Unmarshal(raw, &number) == nil {
		return at.later(number)
	}
	if json.Unmarshal(raw, &text) != nil {
		return errors.New("it must be seconds, or a text like 2h")
	}
	if d, err := time.ParseDuration(text); err == nil {
		return at.later(d.Seconds())
	}
	if _, err := pdu.ParseTime(text); err != nil {
		return err
	}
	*at = Time(text)
	return nil
}

// lastYear is the last that two digits can say.
const lastYear = 2099

func (at *Time) later(seconds float64) error {
	if math.Abs(seconds) > math.MaxInt64/float64(time.Second)/2 {
		return errors.New("it is too far off")
	}
	d := time.Duration(seconds * float64(time.Second))
	if d > pdu.MaxRelative {
		then := time.Now().Add(d)
		if then.Year() > lastYear {
			return fmt.Errorf("it is after the year %d, and SMPP writes years in two digits", lastYear)
		}
		*at = Time(pdu.FormatAbsolute(then))
		return nil
	}
	text, err := pdu.FormatRelative(d)
	if err != nil {
		return err
	}
	*at = Time(text)
	return nil
}
