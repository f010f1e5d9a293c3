package store

import (
	"context"
	"fmt"
	"time"

	"switchboard/message"
)

// Envelope is one thing that passed and is to be recorded. One of Message,
// Event and Receipt is set.
type Envelope struct {
	Direction Direction        // of Message: the flow it passed on
	Message   *message.Message // a user message
	Event     *message.Event   // what became of an outbound message
	Receipt   *Receipt         // what became of an inbound message

	// Backend is the transport on whose connector it passed; empty for
	// receipts, and it may be for events, which then concern every
	// transmission of their message.
	Backend     string
	Application string // the exposed name of the application, where it is known
	ExternalID  string // of an inbound message: the backend's own identifier
	Body        []byte // as it travelled; nil for Message or Event encoded
}

// Outcome is what became of an inbound message in an application.
type Outcome string

// The outcomes.
const (
	OutcomeProcessed Outcome = "processed" // handled, and the replies are confirmed
	OutcomeErrored   Outcome = "errored"   // given up for good
)

// Receipt is an application's word on an inbound message.
type Receipt struct {
	ID          string // of this receipt, so that it counts once; empty makes one of the other fields
	MessageID   string // the inbound message
	Application string // exposed name
	Outcome     Outcome
	Reason      string // of OutcomeErrored; of OutcomeProcessed, why replies were refused, if any
	Timestamp   time.Time
}

// Rejected is an envelope that can never be recorded, and why.
type Rejected struct {
	Index int // in what was given to Record
	Err   error
}

func (r Rejected) Error() string { return fmt.Sprintf("envelope %d: %v", r.Index, r.Err) }

func (r Rejected) Unwrap() error { return r.Err }

// Recorder writes down what passes.
//
//   - A batch of some hundred to some thousand costs a handful of statements.
//   - Envelopes may come twice, in any order, and to several recorders at
//     once: the result is the same. An event that comes before its message
//     is kept and counts when the message comes.
//   - An envelope that cannot be recorded is reported in rejected; all others
//     are written.
//   - An error says that the database is out of reach or failing, and that
//     nothing is known of the batch: give all of it again.
//
// Texts with NUL or invalid UTF-8 are kept as Printable makes them.
type Recorder interface {
	Record(ctx context.Context, batch []Envelope) (rejected []Rejected, err error)
}

// Retention keeps the record in bounds.
type Retention interface {
	// Retention forgets what is older than the present month and the
	// keepMonths months before it, and says how many months (PostgreSQL, by
	// dropping partitions) or rows (SQLite) it dropped.
	Retention(ctx context.Context, keepMonths int) (int64, error)
}
