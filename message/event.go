package message

import (
	"fmt"
	"time"
)

// EventType is what an event says of an outbound message.
type EventType string

// The event types: a transport's outside took the message, refused it, or says
// what became of it later.
const (
	Ack            EventType = "ack"
	Nack           EventType = "nack"
	DeliveryReport EventType = "delivery_report"
)

// DeliveryStatus is what a delivery report reports.
type DeliveryStatus string

// The delivery statuses.
const (
	Pending   DeliveryStatus = "pending"
	Failed    DeliveryStatus = "failed"
	Delivered DeliveryStatus = "delivered"
)

// Event is what became of an outbound message.
type Event struct {
	ID             string // event_id
	MessageID      string // user_message_id: the outbound message's ID
	Type           EventType
	SentMessageID  string         // of an ack: the outside's own identifier
	NackReason     string         // of a nack: why
	DeliveryStatus DeliveryStatus // of a delivery report
	TransportName  string
	Timestamp      time.Time

	TransportMetadata Object
	HelperMetadata    Object
	RoutingMetadata   Object

	members []member
}

var eventSchema = schema{
	messageType: "event",
	required:    []string{"event_id", "user_message_id", "event_type"},
	nullable:    []string{"transport_name"},
	optional:    []string{"sent_message_id", "nack_reason", "delivery_status"},
	objects:     []string{"transport_metadata", "helper_metadata", "routing_metadata"},
}

// NewEvent makes an event about m, with the routing metadata that leads it back
// to the application that sent m.
func NewEvent(kind EventType, m *Message) *Event {
	e := &Event{
		ID: NewID(), Type: kind, MessageID: m.ID, Timestamp: now(),
		TransportName: m.TransportName, RoutingMetadata: m.RoutingMetadata,
	}
	e.RoutingMetadata.Delete(AnsweredKey)
	return e
}

// NewAck says that the outside took m under its own identifier.
func NewAck(m *Message, sentMessageID string) *Event {
	e := NewEvent(Ack, m)
	e.SentMessageID = sentMessageID
	if sentMessageID == "" {
		e.SentMessageID = m.ID // an ack's identifier must not be null
	}
	return e
}

// NewNack says that m could not be sent, and why.
func NewNack(m *Message, reason string) *Event {
	e := NewEvent(Nack, m)
	e.NackReason = reason
	if reason == "" {
		e.NackReason = "unknown"
	}
	return e
}

// NewDeliveryReport says what became of m later.
func NewDeliveryReport(m *Message, status DeliveryStatus) *Event {
	e := NewEvent(DeliveryReport, m)
	e.DeliveryStatus = status
	return e
}

// DecodeEvent reads an event from a body.
func DecodeEvent(body []byte) (*Event, error) {
	e := new(Event)
	members, err := decode(body, &eventSchema, e)
	if err == nil {
		err = e.check(members)
	}
	if err != nil {
		return nil, fmt.Errorf("reading event: %w", err)
	}
	e.members = members
	return e, nil
}

// check holds an event to what its type wants. As for Vumi, an ack's identifier
// and a nack's reason may be empty, but neither missing nor null.
func (e *Event) check(members []member) error {
	switch e.Type {
	case Ack:
		return wanted(members, "sent_message_id")
	case Nack:
		return wanted(members, "nack_reason")
	case DeliveryReport:
		return e.DeliveryStatus.check()
	}
	return fmt.Errorf("event_type is %.40q, not ack, nack or delivery_report", string(e.Type))
}

func wanted(members []member, key string) error {
	if i := find(members, key); i < 0 || members[i].raw == "null" {
		return fmt.Errorf("%s is missing", key)
	}
	return nil
}

func (s DeliveryStatus) check() error {
	switch s {
	case Pending, Failed, Delivered:
		return nil
	}
	return fmt.Errorf("delivery_status is %.40q, not pending, failed or delivered", string(s))
}

// Encode writes the event as a body.
func (e *Event) Encode() []byte { return encodeBody(e.members, &eventSchema, e) }

// MarshalJSON writes the event as encoding/json wants it.
func (e *Event) MarshalJSON() ([]byte, error) { return e.Encode(), nil }

// UnmarshalJSON reads what DecodeEvent reads.
func (e *Event) UnmarshalJSON(body []byte) error {
	read, err := DecodeEvent(body)
	if err == nil {
		*e = *read
	}
	return err
}

// Extra gives access to members that are not the event's own fields, such as
// the failure_code of a failed delivery report; write them with SetExtra.
func (e *Event) Extra() Object { return extra(e.members, e) }

// SetExtra adds or replaces a member that is not one of the event's fields.
func (e *Event) SetExtra(key string, value any) { setExtra(&e.members, e, key, value) }

// Clone is a copy that can be changed without changing e.
func (e *Event) Clone() *Event {
	c := *e
	return &c
}

// Endpoint is the endpoint the event is for or from on its connector.
func (e *Event) Endpoint() string { return endpoint(&e.RoutingMetadata) }

// SetEndpoint says which endpoint the event is for or from.
func (e *Event) SetEndpoint(name string) { e.RoutingMetadata.Set("endpoint_name", name) }

func (e *Event) text(key string) *string {
	switch key {
	case "event_id":
		return &e.ID
	case "user_message_id":
		return &e.MessageID
	case "event_type":
		return (*string)(&e.Type)
	case "sent_message_id":
		return &e.SentMessageID
	case "nack_reason":
		return &e.NackReason
	case "delivery_status":
		return (*string)(&e.DeliveryStatus)
	case "transport_name":
		return &e.TransportName
	}
	return nil
}

func (e *Event) object(key string) *Object {
	switch key {
	case "transport_metadata":
		return &e.TransportMetadata
	case "helper_metadata":
		return &e.HelperMetadata
	case "routing_metadata":
		return &e.RoutingMetadata
	}
	return nil
}

func (e *Event) time() *time.Time { return &e.Timestamp }
