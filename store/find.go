package store

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
)

// Record is one transmission and its message. A zero time is "not yet".
type Record struct {
	ID           string    `json:"id"`                   // message_id on the wire
	MessageID    string    `json:"message_id,omitempty"` // of its message; differs from ID in a broadcast
	Direction    Direction `json:"direction"`
	Status       Status    `json:"state"`
	Progress     string    `json:"progress"` // the name of its Progress
	Reason       string    `json:"reason,omitempty"`
	Backend      string    `json:"transport"`
	Address      string    `json:"address"`               // the person's
	OwnAddress   string    `json:"own_address,omitempty"` // the other end: a short code, a JID …
	Application  string    `json:"application,omitempty"`
	Text         string    `json:"text"`
	SessionEvent string    `json:"session_event,omitempty"`
	InResponseTo string    `json:"in_response_to,omitempty"`
	ProviderID   string    `json:"provider_id,omitempty"` // the provider's id of it
	Broadcast    int64     `json:"broadcast,omitempty"`
	Attempts     int       `json:"attempts"`          // begun so far
	Tries        int       `json:"tries,omitempty"`   // attempts it may have; by Trace only
	NextTry      time.Time `json:"next_try,omitzero"` // when the next attempt is due; by Trace only
	Date         time.Time `json:"date"`              // created
	Updated      time.Time `json:"updated"`
	Sent         time.Time `json:"sent,omitzero"`
	Delivered    time.Time `json:"delivered,omitzero"`
	Body         string    `json:"body,omitempty"` // as it travelled; by Trace only
}

// Cursor is the Filter.Cursor of the listing after r.
func (r *Record) Cursor() string {
	text := strconv.FormatInt(r.Date.UnixMicro(), 36) + " " + r.ID
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

// ParseCursor reads what Cursor made.
func ParseCursor(cursor string) (date time.Time, id string, err error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		at, rest, ok := strings.Cut(string(text), " ")
		micros, bad := strconv.ParseInt(at, 36, 64)
		if ok && bad == nil {
			return time.UnixMicro(micros).UTC(), rest, nil
		}
	}
	return time.Time{}, "", fmt.Errorf("cursor %.40q is none that a listing gave", cursor)
}

// Missing says what has not happened to r yet; empty when r is final.
func (r *Record) Missing() string {
	switch r.Status {
	case StatusQueued:
		if r.Direction == Inbound {
			return "no application has processed it"
		}
		return "not handed to transport " + r.Backend
	case StatusPassing:
		return "no ack or nack from transport " + r.Backend
	case StatusSent:
		return "no delivery report from transport " + r.Backend
	}
	return ""
}

// Filter chooses records; an empty field chooses all.
type Filter struct {
	Address     string // the person's, in any spelling of a number
	Backend     string // transport
	Application string // exposed name
	Status      Status
	Direction   Direction
	Since       time.Time // created then or later
	Until       time.Time // created before
	Text        string    // in the text, whatever the case
	Broadcast   int64
	Limit       int    // at most so many; 0 is all
	Cursor      string // continue after the record with this Cursor
}

// Check rejects invalid fields.
func (f *Filter) Check() error {
	if f.Status != "" && !strings.Contains("QRPSDE", string(f.Status)) || len(f.Status) > 1 {
		return fmt.Errorf("state is %.10q, not one of Q R P S D E", string(f.Status))
	}
	if f.Direction != "" && f.Direction != Inbound && f.Direction != Outbound {
		return fmt.Errorf("direction is %.10q, not I or O", string(f.Direction))
	}
	if f.Cursor == "" {
		return nil
	}
	_, _, err := ParseCursor(f.Cursor)
	return err
}

// EventRecord is an event or receipt as it is in the database.
type EventRecord struct {
	ID          string    `json:"id"`
	MessageID   string    `json:"message_id"`
	Direction   Direction `json:"direction"`
	Type        string    `json:"type"`                 // ack, nack, delivery_report, processed, errored
	Status      string    `json:"status,omitempty"`     // of a delivery report
	Attempt     int       `json:"attempt,omitempty"`    // of a broadcast's message that it is about; by Trace only
	HandedOver  time.Time `json:"handed_over,omitzero"` // when that attempt was; by Trace only
	Reason      string    `json:"reason,omitempty"`
	ProviderID  string    `json:"provider_id,omitempty"`
	Backend     string    `json:"transport,omitempty"`
	Application string    `json:"application,omitempty"`
	Date        time.Time `json:"date"`     // its own timestamp
	Recorded    time.Time `json:"recorded"` // when it was recorded
	Body        string    `json:"body,omitempty"`
}

// Step is one moment of a conversation. The first step of a message has its Record, the
// others have an Event. The handover of a broadcast's message is known from its events, or
// from its record while it has none.
type Step struct {
	At     time.Time    `json:"at"`
	What   string       `json:"what"` // received by transport, handed over (attempt 1), ack, delivery_report delivered, …
	Record *Record      `json:"record,omitempty"`
	Event  *EventRecord `json:"event,omitempty"`
}

// Trace is a conversation.
type Trace struct {
	Steps     []Step   `json:"steps"`     // in time order
	Records   []Record `json:"records"`   // in time order
	Missing   []string `json:"missing"`   // what has not happened yet
	Truncated bool     `json:"truncated"` // there is more
}

// ErrNotFound is the error of a look-up that finds nothing.
var ErrNotFound = errors.New("not in the record")

// Count is how many transmissions are in one state.
type Count struct {
	Backend     string    `json:"transport"`
	Application string    `json:"application,omitempty"`
	Direction   Direction `json:"direction"`
	Status      Status    `json:"state"`
	N           int64     `json:"n"`
}

// Audit is what the record knows about messages that may be lost.
type Audit struct {
	Counts []Count `json:"counts"`
	// Stuck are not final, do not wait in a broadcast, and have not changed for longer than
	// the limit; oldest first.
	Stuck []Record `json:"stuck"`
	// StuckCounts count all stuck messages, those that Stuck does not name too.
	StuckCounts []Count `json:"stuck_counts"`
	// Orphans are events whose message never came, oldest first; Orphan counts all of them.
	Orphans []EventRecord `json:"orphans"`
	Orphan  int64         `json:"orphan"`
	// Unreported were sent longer ago than the limit and have no delivery report, although
	// their transport reports on others; oldest first.
	Unreported []Record `json:"unreported"`
	// UnreportedCounts count all of them.
	UnreportedCounts []Count `json:"unreported_counts"`
}

// AuditLimits bound an audit.
type AuditLimits struct {
	Since      time.Time     // of what was created then or later; zero is all
	Stuck      time.Duration // a message that has not changed for so long is stuck
	Unreported time.Duration // a message sent so long ago should have a delivery report; 0 is never
	MaxStuck   int           // at most so many of each are named; 0 is 1000
}

// Finder looks things up.
type Finder interface {
	// Messages streams records, newest first. It reads a page at a time, and holds no
	// connection between pages.
	Messages(ctx context.Context, f Filter) iter.Seq2[Record, error]
	// Trace finds a conversation by a message's id, the provider's id of it, or a person's
	// address; ErrNotFound when there is none.
	Trace(ctx context.Context, key string) (*Trace, error)
	// Audit counts messages and names those that are stuck.
	Audit(ctx context.Context, l AuditLimits) (*Audit, error)
}
