package message

import (
	"encoding/json"
	"fmt"
	"time"
)

// Flow is the way an envelope travels.
type Flow string

// The flows: from people, to people, and what became of what went to people.
const (
	Inbound   Flow = "inbound"
	Outbound  Flow = "outbound"
	EventFlow Flow = "event"
)

// Envelope is a message or an event as it travels: one of the two is nil.
type Envelope struct {
	Flow      Flow
	Connector string // where it was taken from, or is to be put
	Message   *Message
	Event     *Event
}

// DecodeEnvelope reads the body of a flow: an event from EventFlow, a message
// from the others.
func DecodeEnvelope(flow Flow, connector string, body []byte) (*Envelope, error) {
	e := &Envelope{Flow: flow, Connector: connector}
	var err error
	if flow == EventFlow {
		e.Event, err = DecodeEvent(body)
	} else {
		e.Message, err = Decode(body)
	}
	return e, err
}

// FlowOf is the flow of a body that comes from a transport, by its message_type: Inbound
// where it is no event's.
func FlowOf(body []byte) Flow {
	var b struct {
		Type string `json:"message_type"`
	}
	if json.Unmarshal(body, &b) == nil && b.Type == "event" {
		return EventFlow
	}
	return Inbound
}

// Key is the routing key of a flow on a connector: `sms.inbound`.
func Key(connector string, flow Flow) string { return connector + "." + string(flow) }

// Key is the envelope's routing key.
func (e *Envelope) Key() string { return Key(e.Connector, e.Flow) }

// Encode writes the body.
func (e *Envelope) Encode() []byte {
	if e.Event != nil {
		return e.Event.Encode()
	}
	return e.Message.Encode()
}

// ID is the message's ID, or for an event the ID of the message it is about.
func (e *Envelope) ID() string {
	if e.Event != nil {
		return e.Event.MessageID
	}
	return e.Message.ID
}

// Made is when the message or event was made, as it says itself.
func (e *Envelope) Made() time.Time {
	if e.Event != nil {
		return e.Event.Timestamp
	}
	return e.Message.Timestamp
}

// Person is the address of the person at the other end; empty for events.
func (e *Envelope) Person() string {
	switch {
	case e.Message == nil:
		return ""
	case e.Flow == Outbound:
		return e.Message.To
	}
	return e.Message.From
}

// Routing is the routing metadata, to read and to change.
func (e *Envelope) Routing() *Object {
	if e.Event != nil {
		return &e.Event.RoutingMetadata
	}
	return &e.Message.RoutingMetadata
}

// TransportName is the transport_name of what is inside.
func (e *Envelope) TransportName() string {
	if e.Event != nil {
		return e.Event.TransportName
	}
	return e.Message.TransportName
}

// Clone is a copy that can be changed, inside too, without changing e.
func (e *Envelope) Clone() *Envelope {
	c := *e
	if e.Message != nil {
		c.Message = e.Message.Clone()
	}
	if e.Event != nil {
		c.Event = e.Event.Clone()
	}
	return &c
}

// String names the envelope for logs and errors; it holds no content.
func (e *Envelope) String() string {
	if e.Event != nil {
		return fmt.Sprintf("%s %s of message %s", e.Event.Type, e.Event.ID, e.Event.MessageID)
	}
	return fmt.Sprintf("%s message %s", e.Flow, e.Message.ID)
}
