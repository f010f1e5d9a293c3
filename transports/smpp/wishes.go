package smpp

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
)

// wishesKey is where in transport_metadata a message says what is meant for
// SMPP. The same keys are read beside it, but there others may stand, with
// meanings of their own: a reply carries what its message came with, through
// whatever transport. What is no wish there is passed over; here it is an error.
const wishesKey = "smpp"

// wishes are what a message's transport_metadata asks for.
type wishes struct {
	Flash              bool
	Validity, Schedule moment
	Priority           *priority
	ServiceType        *serviceType
	RegisteredDelivery *receiptWish
	Replace            bool
	ProtocolID         *uint8
	DataCoding         *uint8
	Payload            []byte // in content's place
	UDHI               bool   // Payload begins with a user data header

	USSDServiceOp *uint8
	Session       *sessionInfo
	UserReference *uint16 // in place of ours
}

// field is where the wish of a key goes; nil is a key that is none.
func (w *wishes) field(key string) any {
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
	}
	return nil
}

// readWishes reads a message's wishes; passed over are the keys of what looks
// like one and is none.
func readWishes(m *message.Message) (w wishes, passedOver []string, err error) {
	if m.TransportMetadata.IsNull() || m.TransportMetadata.Len() == 0 {
		return w, nil, nil
	}
	var all, own map[string]json.RawMessage
	if err := json.Unmarshal([]byte(m.TransportMetadata.String()), &all); err != nil {
		return w, nil, fmt.Errorf("reading transport_metadata: %w", err)
	}
	for key, raw := range all {
		before := w
		if field := w.field(key); field != nil && json.Unmarshal(raw, field) != nil {
			w = before
			passedOver = append(passedOver, key)
		}
	}
	if raw, there := all[wishesKey]; there {
		if err := json.Unmarshal(raw, &own); err != nil {
			return w, nil, fmt.Errorf("reading transport_metadata's %s: %w", wishesKey, err)
		}
	}
	for key, raw := range own {
		field := w.field(key)
		if field == nil {
			return w, nil, fmt.Errorf("transport_metadata's %s has %q, which is no wish", wishesKey, key)
		}
		if err := json.Unmarshal(raw, field); err != nil {
			return w, nil, fmt.Errorf("reading transport_metadata's %s.%s: %w", wishesKey, key, err)
		}
	}
	return w, passedOver, nil
}

// apply puts the wishes into a submit_sm that has the options' values.
func (w *wishes) apply(s *pdu.Message) {
	if w.Priority != nil {
		s.Priority = uint8(*w.Priority)
	}
	if w.ServiceType != nil {
		s.ServiceType = string(*w.ServiceType)
	}
	if w.ProtocolID != nil {
		s.ProtocolID = *w.ProtocolID
	}
	if w.Replace {
		s.ReplaceIfPresent = 1
	}
	if w.RegisteredDelivery != nil {
		s.RegisteredDelivery = pdu.RegisteredDelivery(*w.RegisteredDelivery)
	}
	s.ValidityPeriod, s.ScheduleDeliveryTime = string(w.Validity), string(w.Schedule)
}

// priority is a priority_flag (§5.2.14): 0 to 3.
type priority uint8

// UnmarshalJSON reads a number.
func (p *priority) UnmarshalJSON(raw []byte) error {
	var n uint8
	if json.Unmarshal(raw, &n) != nil || n > 3 {
		return errors.New("it must be from 0 to 3")
	}
	*p = priority(n)
	return nil
}

// serviceType is a service_type (§5.2.11).
type serviceType string

const maxServiceType = 5

// UnmarshalJSON reads a text.
func (s *serviceType) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil || len(text) > maxServiceType {
		return fmt.Errorf("it must be a text of at most %d characters", maxServiceType)
	}
	*s = serviceType(text)
	return nil
}

// receiptWish is a registered_delivery (§5.2.17), also as true or false.
type receiptWish pdu.RegisteredDelivery

// UnmarshalJSON reads true, false or a number.
func (r *receiptWish) UnmarshalJSON(raw []byte) error {
	var wanted bool
	var n uint8
	switch {
	case json.Unmarshal(raw, &wanted) == nil:
		if *r = receiptWish(pdu.ReceiptNone); wanted {
			*r = receiptWish(pdu.ReceiptFinal)
		}
	case json.Unmarshal(raw, &n) == nil:
		*r = receiptWish(n)
	default:
		return errors.New("it must be true, false or a number from 0 to 255")
	}
	return nil
}

// sessionInfo is an its_session_info (§5.3.2.43), of two octets.
type sessionInfo []byte

// UnmarshalJSON reads hexadecimal digits.
func (s *sessionInfo) UnmarshalJSON(raw []byte) error {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return errors.New("it must be a text of 4 hexadecimal digits")
	}
	octets, err := hex.DecodeString(text)
	if err != nil || len(octets) != 2 {
		return errors.New("it must be 4 hexadecimal digits")
	}
	*s = octets
	return nil
}

// moment is a time as §7.1.1 writes it.
type moment string

// UnmarshalJSON reads seconds from now, a duration like "2h", or §7.1.1's form as
// it is.
func (at *moment) UnmarshalJSON(raw []byte) error {
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
	*at = moment(text)
	return nil
}

// lastYear is the last that two digits can say.
const lastYear = 2099

func (at *moment) later(seconds float64) error {
	if math.Abs(seconds) > math.MaxInt64/float64(time.Second)/2 {
		return errors.New("it is too far off")
	}
	d := time.Duration(seconds * float64(time.Second))
	if d > pdu.MaxRelative {
		then := time.Now().Add(d)
		if then.Year() > lastYear {
			return fmt.Errorf("it is after the year %d, and SMPP writes years in two digits", lastYear)
		}
		*at = moment(pdu.FormatAbsolute(then))
		return nil
	}
	text, err := pdu.FormatRelative(d)
	if err != nil {
		return err
	}
	*at = moment(text)
	return nil
}
