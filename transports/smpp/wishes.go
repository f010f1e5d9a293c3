package smpp

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"switchboard/message"
	"switchboard/transports/smpp/pdu"
)

// wishes are what a message's transport_metadata asks for.
type wishes struct {
	Flash              bool            `json:"flash"`               // shown at once, not stored
	Validity           json.RawMessage `json:"validity"`            // seconds, "2h", or §7.1.1's own form
	Schedule           json.RawMessage `json:"schedule"`            // likewise
	Priority           *uint8          `json:"priority"`            // 0 to 3
	ServiceType        *string         `json:"service_type"`        // at most 5 characters
	RegisteredDelivery json.RawMessage `json:"registered_delivery"` // true, false, or §5.2.17's number
	Replace            bool            `json:"replace"`             // replace_if_present_flag
	ProtocolID         *uint8          `json:"protocol_id"`         // TP-PID
	DataCoding         *uint8          `json:"data_coding"`         // and the coding it stands for
	Payload            string          `json:"payload"`             // base64: data in content's place
	UDHI               bool            `json:"udhi"`                // payload begins with a user data header

	USSDServiceOp  *uint8  `json:"ussd_service_op"`
	ITSSessionInfo string  `json:"its_session_info"`       // hex
	UserReference  *uint16 `json:"user_message_reference"` // in place of ours

	data []byte
}

func readWishes(m *message.Message) (w wishes, err error) {
	if m.TransportMetadata.IsNull() || m.TransportMetadata.Len() == 0 {
		return w, nil
	}
	if err := json.Unmarshal([]byte(m.TransportMetadata.String()), &w); err != nil {
		return w, fmt.Errorf("reading transport_metadata: %w", err)
	}
	if w.Priority != nil && *w.Priority > 3 {
		return w, errors.New("transport_metadata's priority must be from 0 to 3")
	}
	if w.Payload != "" {
		if w.data, err = base64.StdEncoding.DecodeString(w.Payload); err != nil {
			return w, fmt.Errorf("reading transport_metadata's payload: %w", err)
		}
	}
	return w, nil
}

// apply puts the wishes into a submit_sm that has the options' values.
func (w *wishes) apply(s *pdu.Message) (err error) {
	if w.Priority != nil {
		s.Priority = *w.Priority
	}
	if w.ServiceType != nil {
		s.ServiceType = *w.ServiceType
	}
	if w.ProtocolID != nil {
		s.ProtocolID = *w.ProtocolID
	}
	if w.Replace {
		s.ReplaceIfPresent = 1
	}
	if s.ValidityPeriod, err = when("validity", w.Validity); err != nil {
		return err
	}
	if s.ScheduleDeliveryTime, err = when("schedule", w.Schedule); err != nil {
		return err
	}
	return w.receipts(s)
}

func (w *wishes) receipts(s *pdu.Message) error {
	var wanted bool
	switch {
	case len(w.RegisteredDelivery) == 0 || string(w.RegisteredDelivery) == "null":
	case json.Unmarshal(w.RegisteredDelivery, &wanted) == nil:
		s.RegisteredDelivery = pdu.ReceiptNone
		if wanted {
			s.RegisteredDelivery = pdu.ReceiptFinal
		}
	case json.Unmarshal(w.RegisteredDelivery, (*uint8)(&s.RegisteredDelivery)) != nil:
		return errors.New("transport_metadata's registered_delivery must be true, false or a number from 0 to 255")
	}
	return nil
}

// when writes a time: seconds from now, a duration, or §7.1.1's form as it is.
func when(key string, raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	var number float64
	var text string
	if json.Unmarshal(raw, &number) == nil {
		return later(key, time.Duration(number*float64(time.Second)))
	}
	if json.Unmarshal(raw, &text) != nil {
		return "", fmt.Errorf("transport_metadata's %s must be seconds, or a text like 2h", key)
	}
	if d, err := time.ParseDuration(text); err == nil {
		return later(key, d)
	}
	if _, err := pdu.ParseTime(text); err != nil {
		return "", fmt.Errorf("transport_metadata's %s: %w", key, err)
	}
	return text, nil
}

func later(key string, d time.Duration) (string, error) {
	if d > pdu.MaxRelative {
		return pdu.FormatAbsolute(time.Now().Add(d)), nil
	}
	text, err := pdu.FormatRelative(d)
	if err != nil {
		return "", fmt.Errorf("transport_metadata's %s: %w", key, err)
	}
	return text, nil
}
