package store

import (
	"context"
	"errors"
	"iter"
	"time"

	"switchboard/message"
)

// BroadcastState is where a broadcast stands.
type BroadcastState string

// The states of a broadcast. One that is scheduled for later is running: its
// batches only wait for their time.
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
	Start      time.Time // not before; zero is now
	Rate       float64   // messages a second at most; 0 is as fast as it goes
	InReplyTo  string    // the inbound message this answers
}

// Recipient is one line of a broadcast's list.
type Recipient struct {
	Address
	Fields map[string]string // personal fields; may be nil
}

// Created says what became of a broadcast's list.
type Created struct {
	ID         int64  // of the broadcast
	MessageID  string // of its message
	Total      int64  // transmissions stored
	Duplicates int64  // lines whose address was on the list before
	OptedOut   int64  // persons who want no broadcasts
	Batches    int64
}

// ErrNoRecipients is a list on which nobody is left; nothing was stored.
var ErrNoRecipients = errors.New("the broadcast has no recipients")

// ErrNotDue is a batch that is not to be handed over now: done, paused,
// cancelled, too early, or in another worker's hands. Its task is finished.
var ErrNotDue = errors.New("the batch is not due")

// Batch is a task: a part of a broadcast on one backend.
type Batch struct {
	ID        int64   `json:"batch"`
	Broadcast int64   `json:"broadcast"`
	Backend   string  `json:"transport"`
	Size      int     `json:"size"` // transmissions in it at most
	Rate      float64 `json:"rate"` // messages a second at most; 0 is no limit
}

// Handover is a transmission that is to be published.
type Handover struct {
	Record
	Attempt  int // which one this is
	Endpoint string
}

// Message is what to publish on `<Backend>.outbound`. The recorder knows it
// again by its ID, its timestamp (which must stay) and the attempt in its
// routing_metadata, which transports copy to the message's events. It says
// there, too, that it is handed over now.
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

// attemptKey is where in routing_metadata a broadcast's messages, and the
// events about them, have their handoverNote.
const attemptKey = "broadcast"

// handoverNote is what a broadcast's message says of itself.
type handoverNote struct {
	Broadcast  int64  `json:"id"`
	Attempt    int    `json:"attempt"`
	HandedOver string `json:"handed_over"`
}

// Attempt is which attempt an outbound message is; 0 when it does not say,
// because it is none of a broadcast's.
func Attempt(m *message.Message) int { return noteIn(&m.RoutingMetadata).Attempt }

// AttemptOf is which attempt an event is about; 0 when it does not say, because
// its message is none of a broadcast's or its transport, one of Vumi's say,
// leaves the routing_metadata out.
func AttemptOf(e *message.Event) int { return noteIn(&e.RoutingMetadata).Attempt }

// HandoverIn is which attempt of a broadcast's message routing_metadata is of,
// and when that was handed over; 0, and a zero time, where it does not say.
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
		return handoverNote{} // somebody else's member of that name
	}
	note.Attempt = max(note.Attempt, 0)
	return note
}

// BroadcastInfo is a broadcast and how far it is.
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
}

// Phase is how far a broadcast is, for people: its state, where a running one
// is told more of: scheduled, running (something is being handed over),
// retrying (only those who failed are left) or handed over (only the
// transports' answers are).
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

// Broadcasts stores broadcasts and deals out their batches. Create commits
// everything before any task exists; Due is the transactional outbox.
//
// The life of a batch: Due lends it to a relay, which publishes a task for it
// (confirmed); whoever gets the task calls Claim, publishes each Handover
// (confirmed) and calls Finish with those that are safe with the broker. A
// relay or worker that dies in between loses nothing: the lease ends, and Due
// gives the batch again; what was recorded as handed over meanwhile is skipped.
// The database's clock counts, not the workers'.
type Broadcasts interface {
	// Create stores a broadcast, its message and its transmissions, all or
	// none. It takes what recipients yields in a stream; its first error is
	// Create's.
	Create(ctx context.Context, b Broadcast, recipients iter.Seq2[Recipient, error]) (Created, error)
	// Due lends up to limit batches for which a task is to be published now,
	// fairly shared among the broadcasts; when they are not claimed within
	// lease they are due again.
	Due(ctx context.Context, limit int, lease time.Duration) ([]Batch, error)
	// Release makes lent batches due again at once, but for those claimed
	// meanwhile.
	Release(ctx context.Context, batches []int64) error
	// Claim takes a batch for the time of lease; it returns what is to be
	// published, in id order: never what is S or D, or was handed over in this
	// attempt. owner is a name of this taking and no other; who does not know
	// whether a Claim succeeded may repeat it. ErrNotDue means there is nothing
	// to do.
	Claim(ctx context.Context, batch int64, owner string, lease time.Duration) ([]Handover, error)
	// Finish marks what was handed over P. When done, the batch is finished;
	// otherwise (the broker refused some, the worker stops) the rest is due
	// again at once. A batch that has another owner meanwhile stays his.
	Finish(ctx context.Context, batch int64, owner string, handed []Handover, done bool) error
	// Conclude notes which broadcasts are done, and goes on with a Cancel that
	// did not come to its end; to be called now and then.
	Conclude(ctx context.Context) error
	// Pause, Resume and Cancel change what follows; what is on its way stays
	// so. Cancel makes what was not handed over E.
	Pause(ctx context.Context, broadcast int64) error
	Resume(ctx context.Context, broadcast int64) error
	Cancel(ctx context.Context, broadcast int64) error
	// Broadcast is one, ErrNotFound when there is none; List is the newest.
	Broadcast(ctx context.Context, id int64) (*BroadcastInfo, error)
	List(ctx context.Context, limit int) ([]BroadcastInfo, error)
}
