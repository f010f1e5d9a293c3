package store

import (
	"context"
	"errors"
	"iter"
	"time"

	"switchboard/message"
)

// BroadcastState is the state of a broadcast.
type BroadcastState string

// The states of a broadcast. One that is scheduled for later is running, too.
const (
	BroadcastRunning   BroadcastState = "running"
	BroadcastPaused    BroadcastState = "paused"
	BroadcastCancelled BroadcastState = "cancelled"
	BroadcastDone      BroadcastState = "done" // every transmission is S, D or E, and no retry is due
)

// The defaults of a Broadcast.
const (
	DefaultBatchSize  = 200
	DefaultRetries    = 3
	DefaultRetryAfter = 180 * time.Second
)

// Broadcast is one text to many connections.
type Broadcast struct {
	Name       string // for people
	Text       string // may have personal fields: Hi {{name}}
	From       string // from_addr of each message; may be empty
	Endpoint   string // of each message; empty is default
	BatchSize  int    // at most so many in a batch; 0 is DefaultBatchSize
	Retries    int    // tries after the first; 0 is DefaultRetries, negative is none
	RetryAfter time.Duration
	Start      time.Time // sending begins then; zero is now
	Rate       float64   // messages a second at most, 1e-5 to 1e6; 0 is no limit
	InReplyTo  string    // the inbound message this answers
	Key        string    // of two broadcasts with one key the second is not stored; may be empty
}

// Recipient is one entry of a broadcast's list.
type Recipient struct {
	Address
	Fields map[string]string // personal fields; may be nil
}

// Created says what Create stored.
type Created struct {
	ID         int64  // of the broadcast
	MessageID  string // of its message
	Total      int64  // transmissions stored
	Duplicates int64  // recipients who were on the list before
	OptedOut   int64  // recipients who have opted out
	Batches    int64
}

// ErrNoRecipients is a list on which no recipient is left; nothing was stored.
var ErrNoRecipients = errors.New("the broadcast has no recipients")

// ErrExists is a broadcast whose key another one has; nothing was stored.
var ErrExists = errors.New("there is a broadcast with that key")

// ErrNotDue is a batch that is not to be handed over now: it is done, paused, cancelled, too
// early or claimed by another worker. Its task is finished.
var ErrNotDue = errors.New("the batch is not due")

// Batch is a part of a broadcast on one backend, and the body of its task.
type Batch struct {
	ID        int64   `json:"batch"`
	Broadcast int64   `json:"broadcast"`
	Backend   string  `json:"transport"`
	Size      int     `json:"size"` // transmissions at most
	Rate      float64 `json:"rate"` // messages a second at most; 0 is no limit
}

// Handover is a transmission to publish.
type Handover struct {
	Record
	Attempt  int // from 1
	Endpoint string
}

// Message is the message to publish on `<Backend>.outbound`. The recorder recognizes it by
// its ID, its timestamp and the attempt in its routing_metadata, which transports copy to
// its events. The current time is there, too, as that of the handover.
func (h *Handover) Message() *message.Message {
	m := message.New()
	m.ID, m.Timestamp = h.ID, h.Date
	m.To, m.From, m.Content = h.Address, h.OwnAddress, h.Text
	m.InReplyTo, m.TransportName = h.InResponseTo, h.Backend
	m.RoutingMetadata.Set(attemptKey, handoverNote{h.Broadcast, h.Attempt, message.FormatTime(time.Now())})
	if h.Endpoint != "" {
		m.SetEndpoint(h.Endpoint)
	}
	return m
}

// attemptKey is the key of the handoverNote in the routing_metadata of a broadcast's
// messages and their events.
const attemptKey = "broadcast"

// handoverNote identifies the handover of a broadcast's message.
type handoverNote struct {
	Broadcast  int64  `json:"id"`
	Attempt    int    `json:"attempt"`
	HandedOver string `json:"handed_over"`
}

// SetAttempt makes m an attempt of a message that is no broadcast's.
func SetAttempt(m *message.Message, attempt int) {
	m.RoutingMetadata.Set(attemptKey, handoverNote{0, attempt, message.FormatTime(time.Now())})
}

// Attempt is the attempt of a broadcast's outbound message; 0 of other messages.
func Attempt(m *message.Message) int { return noteIn(&m.RoutingMetadata).Attempt }

// AttemptOf is the attempt that an event is about; 0 when its message is no broadcast's, or
// when its transport leaves the routing_metadata out, as some of Vumi's do.
func AttemptOf(e *message.Event) int { return noteIn(&e.RoutingMetadata).Attempt }

// HandoverIn is the attempt of a broadcast's message, and the time of its handover, by its
// routing_metadata; 0 and the zero time where that does not say.
func HandoverIn(routing *message.Object) (attempt int, at time.Time) {
	note := noteIn(routing)
	at, err := message.ParseTime(note.HandedOver)
	if err != nil {
		return note.Attempt, time.Time{}
	}
	return note.Attempt, at
}

func noteIn(routing *message.Object) (note handoverNote) {
	if routing.Decode(attemptKey, &note) != nil {
		return handoverNote{} // a foreign member of that name
	}
	note.Attempt = max(note.Attempt, 0)
	return note
}

// BroadcastInfo is a broadcast and its progress.
type BroadcastInfo struct {
	ID         int64          `json:"id"`
	MessageID  string         `json:"message_id"`
	Name       string         `json:"name,omitempty"`
	Text       string         `json:"text"`
	State      BroadcastState `json:"state"`
	Message    Status         `json:"message_state"`
	Created    time.Time      `json:"created"`
	Start      time.Time      `json:"start"`
	Rate       float64        `json:"rate,omitempty"`
	Retries    int            `json:"retries"`
	Total      int64          `json:"total"`
	Open       int64          `json:"open"` // Q or P
	Sent       int64          `json:"sent"`
	Delivered  int64          `json:"delivered"`
	Error      int64          `json:"error"`
	Duplicates int64          `json:"duplicates"`
	OptedOut   int64          `json:"opted_out"`
	Batches    int64          `json:"batches"` // that are not finished
	Retrying   int64          `json:"retrying"`
	// HandedOver counts by backend what is P: on the transport's queue, or in flight in it.
	// Pausing and cancelling do not stop it. By Broadcast only.
	HandedOver []Count `json:"handed_over,omitempty"`
}

// Phase is the state as people see it. A running broadcast is scheduled, running (batches
// are left), retrying (only retries are left) or handed over (only answers of the
// transports are missing).
func (i *BroadcastInfo) Phase(now time.Time) string {
	switch {
	case i.State != BroadcastRunning:
	case i.Start.After(now):
		return "scheduled"
	case i.Batches > 0:
	case i.Retrying > 0:
		return "retrying"
	case i.Open > 0:
		return "handed over"
	}
	return string(i.State)
}

// Broadcasts stores broadcasts and leases their batches: a transactional outbox.
//
// Create commits everything before any task exists. Due leases a batch to a relay, which
// publishes a task for it. The task's handler calls Claim, publishes each Handover, and calls
// Finish with those that the broker confirmed. When a relay or a handler dies, the lease
// ends and Due returns the batch again, without what is recorded as handed over. All times
// are the database's.
type Broadcasts interface {
	// Create stores a broadcast, its message and its transmissions, all or none. It streams
	// recipients; the first error they yield is Create's. One marked message.Permanent is of
	// a text or a recipient that is not valid.
	Create(ctx context.Context, b Broadcast, recipients iter.Seq2[Recipient, error]) (Created, error)
	// Due leases up to limit batches, shared fairly among the broadcasts. Those that are
	// not claimed within lease are due again.
	Due(ctx context.Context, limit int, lease time.Duration) ([]Batch, error)
	// Release makes leased batches due at once, except those claimed since.
	Release(ctx context.Context, batches []int64) error
	// Claim leases a batch to its handler and returns what to publish, in id order: never
	// what is S or D or was handed over in this attempt. owner is unique to this handler,
	// which may repeat a Claim whose outcome it does not know. ErrNotDue means that there
	// is nothing to do.
	Claim(ctx context.Context, batch int64, owner string, lease time.Duration) ([]Handover, error)
	// Finish makes what was handed over P. When done, the batch is finished; else (the
	// broker refused some, the worker stops) the rest is due at once. It leaves a batch
	// alone that has another owner by now.
	Finish(ctx context.Context, batch int64, owner string, handed []Handover, done bool) error
	// Conclude makes broadcasts done that are, and completes interrupted Cancels. Call it
	// every second or so.
	Conclude(ctx context.Context) error
	// Pause, Resume and Cancel leave alone what was handed over. Cancel makes the rest E.
	Pause(ctx context.Context, broadcast int64) error
	Resume(ctx context.Context, broadcast int64) error
	Cancel(ctx context.Context, broadcast int64) error
	// Broadcast returns one, ErrNotFound when there is none; List the newest, of those with
	// one of the ids where there are any.
	Broadcast(ctx context.Context, id int64) (*BroadcastInfo, error)
	List(ctx context.Context, limit int, ids ...int64) ([]BroadcastInfo, error)
}
