// Package message is the wire: user messages, events, failures and status
// events as JSON bodies that Vumi's workers read and write too, and the errors
// by which a plugin says what shall become of one. It imports the standard
// library only.
//
// What is decoded and encoded again loses nothing: members it does not know
// and values nobody changed keep their exact text and order.
package message

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"
)

// SessionEvent is where a message stands in a session (USSD, telnet, chat).
type SessionEvent string

// The session events. SessionNone is null on the wire: no session at all.
const (
	SessionNone   SessionEvent = ""
	SessionNew    SessionEvent = "new"
	SessionResume SessionEvent = "resume"
	SessionClose  SessionEvent = "close"
)

// DefaultEndpoint is the endpoint of a message that names none.
const DefaultEndpoint = "default"

// Message is a user message: what a person sent, or is to get. An empty text
// field is null on the wire, unless it arrived as "" and nobody changed it.
//
// A Message is not safe for use from several goroutines at once; give each its
// Clone.
type Message struct {
	ID            string // message_id: 32 hex digits when we make it, any text otherwise
	To            string // to_addr; empty for a message to a group
	From          string // from_addr
	ToType        string // to_addr_type: msisdn, jid, …
	FromType      string // from_addr_type
	Group         string // the group chat it belongs to
	InReplyTo     string // the ID of the message it answers
	Content       string // text; may be empty, as when a session closes
	SessionEvent  SessionEvent
	TransportName string // the transport it came by or is to leave by
	TransportType string // sms, ussd, xmpp, telnet, http_api, …
	Provider      string // the network operator, where somebody knows it
	Timestamp     time.Time

	TransportMetadata Object // the transport's own; replies carry it back
	HelperMetadata    Object // middleware's and applications'; replies carry it back
	RoutingMetadata   Object // the endpoint, and dispatchers' own

	members []member // as received
	replier string   // who replies, for NameReplies
	replies int      // how often it did
}

var messageSchema = schema{
	messageType: "user_message",
	required:    []string{"message_id"},
	present:     []string{"to_addr", "from_addr"},
	nullable: []string{
		"from_addr_type", "to_addr_type", "group", "in_reply_to", "content", "session_event", "provider",
		"transport_name", "transport_type",
	},
	objects: []string{"transport_metadata", "helper_metadata", "routing_metadata"},
}

// New makes a message with an ID and the present time.
func New() *Message {
	return &Message{ID: NewID(), Timestamp: now()}
}

// NewID makes an identifier as Vumi does: a random UUID in 32 hex digits.
func NewID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand ends the program instead
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return hex.EncodeToString(id[:])
}

// now has microseconds, as the wire has.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Decode reads a user message from a body. Members that older messages lack
// (group, provider, the metadata …) are read as null or {}; an error names the
// member that is wrong.
func Decode(body []byte) (*Message, error) {
	m := new(Message)
	members, err := decode(body, &messageSchema, m)
	if err == nil {
		err = m.SessionEvent.check()
	}
	if err != nil {
		return nil, fmt.Errorf("reading user message: %w", err)
	}
	m.members = members
	return m, nil
}

// Encode writes the message as a body.
func (m *Message) Encode() []byte { return encodeBody(m.members, &messageSchema, m) }

// MarshalJSON writes the message as encoding/json wants it.
func (m *Message) MarshalJSON() ([]byte, error) { return m.Encode(), nil }

// UnmarshalJSON reads what Decode reads.
func (m *Message) UnmarshalJSON(body []byte) error {
	read, err := Decode(body)
	if err == nil {
		*m = *read
	}
	return err
}

// Extra gives access to members that are not the message's own fields; write
// them back with SetExtra.
func (m *Message) Extra() Object { return extra(m.members, m) }

// SetExtra adds or replaces a member that is not one of the message's fields.
func (m *Message) SetExtra(key string, value any) { setExtra(&m.members, m, key, value) }

// Clone is a copy that can be changed without changing m.
func (m *Message) Clone() *Message {
	c := *m
	return &c
}

// Endpoint is the endpoint the message is for or from on its connector.
func (m *Message) Endpoint() string { return endpoint(&m.RoutingMetadata) }

// SetEndpoint says which endpoint the message is for or from.
func (m *Message) SetEndpoint(name string) { m.RoutingMetadata.Set("endpoint_name", name) }

func endpoint(routing *Object) string {
	if name := routing.Text("endpoint_name"); name != "" {
		return name
	}
	return DefaultEndpoint
}

func (s SessionEvent) check() error {
	switch s {
	case SessionNone, SessionNew, SessionResume, SessionClose:
		return nil
	}
	return fmt.Errorf("session_event is %.40q, not null, new, resume or close", string(s))
}

func (m *Message) text(key string) *string {
	switch key {
	case "message_id":
		return &m.ID
	case "to_addr":
		return &m.To
	case "from_addr":
		return &m.From
	case "to_addr_type":
		return &m.ToType
	case "from_addr_type":
		return &m.FromType
	case "group":
		return &m.Group
	case "in_reply_to":
		return &m.InReplyTo
	case "content":
		return &m.Content
	case "session_event":
		return (*string)(&m.SessionEvent)
	case "transport_name":
		return &m.TransportName
	case "transport_type":
		return &m.TransportType
	case "provider":
		return &m.Provider
	}
	return nil
}

func (m *Message) object(key string) *Object {
	switch key {
	case "transport_metadata":
		return &m.TransportMetadata
	case "helper_metadata":
		return &m.HelperMetadata
	case "routing_metadata":
		return &m.RoutingMetadata
	}
	return nil
}

func (m *Message) time() *time.Time { return &m.Timestamp }
