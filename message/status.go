package message

import (
	"encoding/json"
	"fmt"
	"time"
)

// Health is how a component of a transport is.
type Health string

// The healths.
const (
	OK       Health = "ok"
	Degraded Health = "degraded"
	Down     Health = "down"
)

// Status is a transport's word about one of its components.
type Status struct {
	Component string // connection, request, response, …
	Health    Health
	Type      string // a machine's word: connected, throttled, …
	Text      string // a person's sentence
	Reasons   []string
	Timestamp time.Time

	Details         Object
	HelperMetadata  Object
	RoutingMetadata Object

	members []member
}

var statusSchema = schema{
	messageType: "status_event",
	required:    []string{"component", "status"},
	nullable:    []string{"type", "message"},
	objects:     []string{"details", "helper_metadata", "routing_metadata"},
}

// NewStatus makes a status: NewStatus("connection", Down, "refused", "The SMSC refused the bind.").
func NewStatus(component string, health Health, kind, text string, reasons ...string) *Status {
	return &Status{Component: component, Health: health, Type: kind, Text: text, Reasons: reasons, Timestamp: now()}
}

// DecodeStatus reads a status event from a body.
func DecodeStatus(body []byte) (*Status, error) {
	s := new(Status)
	members, err := decode(body, &statusSchema, s)
	if err == nil {
		err = s.readReasons(members)
	}
	if err != nil {
		return nil, fmt.Errorf("reading status event: %w", err)
	}
	s.members = members
	return s, nil
}

func (s *Status) readReasons(members []member) error {
	switch s.Health {
	case OK, Degraded, Down:
	default:
		return fmt.Errorf("status is %.40q, not ok, degraded or down", string(s.Health))
	}
	i := find(members, "reasons")
	if i < 0 {
		return nil
	}
	if err := json.Unmarshal([]byte(members[i].raw), &s.Reasons); err != nil {
		return fmt.Errorf("reasons is %s, not a list of strings", shape(members[i].raw))
	}
	return nil
}

// Encode writes the status event as a body.
func (s *Status) Encode() []byte {
	members := s.members
	if find(members, "reasons") < 0 {
		reasons := s.Reasons
		if reasons == nil {
			reasons = []string{}
		}
		members = append([]member{{"reasons", encode(reasons)}}, members...)
	}
	return encodeBody(members, &statusSchema, s)
}

func (s *Status) text(key string) *string {
	switch key {
	case "component":
		return &s.Component
	case "status":
		return (*string)(&s.Health)
	case "type":
		return &s.Type
	case "message":
		return &s.Text
	}
	return nil
}

func (s *Status) object(key string) *Object {
	switch key {
	case "details":
		return &s.Details
	case "helper_metadata":
		return &s.HelperMetadata
	case "routing_metadata":
		return &s.RoutingMetadata
	}
	return nil
}

func (s *Status) time() *time.Time { return &s.Timestamp }
