package store

import (
	"context"
	"fmt"
	"time"

	"switchboard/message"
)

// Envelope is one thing to record. One of Message, Event and Receipt is set.
type Envelope struct {
	Direction Direction        // of Message: the flow it passed on
	Message   *message.Message // a user message
	Event     *message.Event   // an ack, a nack or a delivery report
	Receipt   *Receipt         // an application's receipt of an inbound message

	// Refused is why an outbound Message was not handed over to a transport; empty when it
	// was.
	Refused string

	// Backend is the transport of the connector it passed. It is empty for receipts, and
	// may be empty for events, which then are about every transmission of their message.
	Backend     string
	Application string // the exposed name of the application, where it is known
	ExternalID  string // of an inbound message: the backend's own identifier
	Body        []byte // as published; nil encodes Message or Event
}

// Outcome is how an application ended its work on an inbound message.
type Outcome string

// The outcomes.
const (
	OutcomeProcessed Outcome = "processed" // handled, and the broker confirmed the replies
	OutcomeErrored   Outcome = "errored"   // given up
	OutcomeDeleted   Outcome = "deleted"   // an outbound message: deleted by an operator
)

// Receipt is an application's report on an inbound message, or an operator's deletion of an
// outbound one.
type Receipt struct {
	ID          string // of the receipt, so that it counts once; empty derives one from the other fields
	MessageID   string // the message
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

// Recorder stores envelopes.
//
//   - A batch of some hundreds or thousands costs a handful of statements.
//   - Envelopes may come twice, in any order, and through several recorders at once: the
//     result is the same. An event that comes before its message is kept, and counts when
//     the message comes.
//   - An envelope that can never be recorded is in rejected; all others are stored.
//   - After an error (the database is out of reach or failing) any part of the batch may be
//     stored: record all of it again.
//
// Texts are stored as Printable returns them.
type Recorder interface {
	Record(ctx context.Context, batch []Envelope) (rejected []Rejected, err error)
}

// Retention deletes old records.
type Retention interface {
	// Retention deletes what is older than this month and the keepMonths months before it,
	// but no outbound message that is not final and no broadcast that is not done. It
	// returns how many months (PostgreSQL, which drops partitions) and rows it deleted.
	Retention(ctx context.Context, keepMonths int) (int64, error)
}
