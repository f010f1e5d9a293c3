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

// Record is one transmission and its message, as they are in the database. A
// zero time is "not yet".
type Record struct {
	ID           string    `json:"id"`                   // message_id on the wire
	MessageID    string    `json:"message_id,omitempty"` // the message it is of; differs from ID in a broadcast
	Direction    Direction `json:"direction"`
	Status       Status    `json:"state"`
	Progress     string    `json:"progress"` // the Progress's name
	Reason       string    `json:"reason,omitempty"`
	Backend      string    `json:"transport"`
	Address      string    `json:"address"`               // the person's
	OwnAddress   string    `json:"own_address,omitempty"` // the other end: a short code, a JID …
	Application  string    `json:"application,omitempty"`
	Text         string    `json:"text"`
	SessionEvent string    `json:"session_event,omitempty"`
	InResponseTo string    `json:"in_response_to,omitempty"`
	ProviderID   string    `json:"provider_id,omitempty"` // the outside's own identifier
	Broadcast    int64     `json:"broadcast,omitempty"`
	Attempts     int       `json:"attempts"`          // begun so far
	Tries        int       `json:"tries,omitempty"`   // attempts a broadcast's may have; by Trace only
	NextTry      time.Time `json:"next_try,omitzero"` // when the next attempt is due; by Trace only
	Date         time.Time `json:"date"`              // created
	Updated      time.Time `json:"updated"`
	Sent         time.Time `json:"sent,omitzero"`
	Delivered    time.Time `json:"delivered,omitzero"`
	Body         string    `json:"body,omitempty"` // as it travelled; by Trace only
}

// Cursor is where a listing goes on after r.
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

// Missing says what has not happened yet to r; it is empty when nothing more
// must.
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
	Address     string // the person's, exactly
	Backend     string // transport
	Application string // exposed name
	Status      Status
	Direction   Direction
	Since       time.Time // created then or later
	Until       time.Time // created before
	Text        string    // in the text, whatever the case
	Broadcast   int64
	Limit       int    // at most so many; 0 is all
	Cursor      string // go on after the record that gave it
}

// Check refuses what cannot be chosen by.
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
	Recorded    time.Time `json:"recorded"` // when it was written down
	Body        string    `json:"body,omitempty"`
}

// Step is one moment of a conversation; what is said of a message as a whole
// has its Record, the rest has an Event. That a broadcast's message was handed
// over is told by the events about it, or by its record while there are none.
type Step struct {
	At     time.Time    `json:"at"`
	What   string       `json:"what"` // received by transport, handed over (attempt 1), ack, delivery_report delivered, …
	Record *Record      `json:"record,omitempty"`
	Event  *EventRecord `json:"event,omitempty"`
}

// Trace is all that is known of a conversation.
type Trace struct {
	Steps     []Step   `json:"steps"`     // in time order
	Records   []Record `json:"records"`   // in time order
	Missing   []string `json:"missing"`   // what has not happened yet
	Truncated bool     `json:"truncated"` // there is more than a trace shows
}

// ErrNotFound is what a look-up by key answers when there is nothing.
var ErrNotFound = errors.New("not in the record")

// Count is how many transmissions are in one state.
type Count struct {
	Backend     string    `json:"transport"`
	Application string    `json:"application,omitempty"`
	Direction   Direction `json:"direction"`
	Status      Status    `json:"state"`
	N           int64     `json:"n"`
}

// Audit is what the database can say of conservation.
type Audit struct {
	Counts []Count `json:"counts"`
	// Stuck are not final, not a broadcast's to come, and unchanged for longer
	// than the limit; oldest first.
	Stuck []Record `json:"stuck"`
	// StuckCounts count all that is stuck, also what Stuck does not name.
	StuckCounts []Count `json:"stuck_counts"`
	Orphan      int64   `json:"orphan"` // events whose message never came
	// Unreported were sent longer ago than the limit and have no delivery
	// report, though their transport reports on others; oldest first.
	Unreported []Record `json:"unreported"`
	// UnreportedCounts count all of them.
	UnreportedCounts []Count `json:"unreported_counts"`
}

// AuditLimits say what to audit.
type AuditLimits struct {
	Since      time.Time     // count what was created then or later; zero is all
	Stuck      time.Duration // a message that has not moved for so long is stuck
	Unreported time.Duration // a message sent so long ago should have a delivery report; 0 is never
	MaxStuck   int           // at most so many are named; 0 is 1000
}

// Finder looks things up.
type Finder interface {
	// Messages streams records, newest first, a page at a time: it holds no
	// connection between pages, and no more than a page in memory.
	Messages(ctx context.Context, f Filter) iter.Seq2[Record, error]
	// Trace finds a conversation by a message's id, the provider's id of it,
	// or a person's address; ErrNotFound when there is none.
	Trace(ctx context.Context, key string) (*Trace, error)
	// Audit counts, and names what is stuck.
	Audit(ctx context.Context, l AuditLimits) (*Audit, error)
}
