// Package broker is what carries bodies between workers: bytes under routing
// keys, kept in queues. It knows no messages. Two promises hold for every
// implementation (package brokertest checks them):
//
//   - Publish succeeds only when the body is safe on every queue bound to its key;
//   - a body leaves its queue only when its handler has let go of it.
package broker

import (
	"context"
	"errors"
	"time"
)

// Exchange is the direct, durable exchange every worker of a fleet meets on. It
// has Vumi's name, so that Vumi's workers can be part of the fleet.
const Exchange = "vumi"

// DeadSuffix ends the name of the queue where bodies of another queue are set
// aside: what `sms.inbound` cannot handle lies in `sms.inbound.dead`.
const DeadSuffix = ".dead"

// Errors every implementation uses; test for them with errors.Is.
var (
	// ErrUnroutable: no queue is bound to the key, so the body is nowhere.
	ErrUnroutable = errors.New("no queue is bound to the routing key")
	// ErrQueueMismatch: the queue exists with another type or other arguments.
	ErrQueueMismatch = errors.New("the queue exists with other arguments")
	// ErrNoQueue: there is no queue of that name.
	ErrNoQueue = errors.New("no such queue")
	// ErrLost: the connection went before the broker confirmed. The body may
	// or may not be safe; publish it again to be sure.
	ErrLost = errors.New("the connection was lost before the broker confirmed")
	// ErrRefused: the broker answered that it could not take the body.
	ErrRefused = errors.New("the broker refused the body")
	// ErrInvalid: the publication or the queue can never be taken as it is
	// (too large, a key over 255 bytes, no key): trying again cannot mend it.
	ErrInvalid = errors.New("the broker never takes this")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("the broker is closed")
)

// QueueType is how the broker keeps a queue.
type QueueType string

// The queue types. Classic without arguments is what Vumi declares, and so the
// default; quorum is chosen for a whole fleet, never for one worker.
const (
	Classic QueueType = "classic"
	Quorum  QueueType = "quorum"
)

// Queue is a durable queue and the keys of Exchange it is bound to.
type Queue struct {
	Name string
	Keys []string
	Type QueueType // Classic when empty
	// Temporary makes a queue for looking on, never for work: it exists for the
	// one Consume that names it and goes with it or its connection, and holds
	// at most MaxTemporary bodies, the newest. A body that is on no other queue
	// is lost with it, so bind it only to keys that have a durable queue too.
	Temporary bool
}

// Headers travel beside a body. Other workers may drop them (Vumi's do), so
// nothing a message needs for its way may live only here.
type Headers map[string]string

// Publication is a body on its way to the broker.
type Publication struct {
	// Key is the routing key on Exchange. Empty when Queue is set.
	Key string
	// Queue sends the body straight to the queue of this name and no other: a
	// retry, a dead letter. The queue must have been declared.
	Queue   string
	Body    []byte
	Headers Headers
	// Delay holds the body back before it reaches Queue: not less than it, and
	// at most the next step of the broker's ladder of delays. Needs Queue.
	Delay time.Duration
}

// Publisher publishes bodies: persistent, confirmed, mandatory.
type Publisher interface {
	// Publish blocks until the body is safe on every queue bound to its key.
	// A lost connection is waited out and the body published again, until ctx
	// ends; so a body may arrive twice, but it does arrive.
	Publish(ctx context.Context, p Publication) error
	// PublishAsync hands the body over and calls done once, from another
	// goroutine, when its fate is known; ErrLost is not tried again. Bodies
	// handed over one after the other reach a queue in that order. It blocks
	// while too many confirms are outstanding or the broker is out of reach;
	// when ctx ends first, done gets ctx's error. done must not block.
	PublishAsync(ctx context.Context, p Publication, done func(error))
}

// Consumer hands out the bodies of a queue.
type Consumer interface {
	// Consume declares q and calls handle with its bodies, one call at a time,
	// in the queue's order; at most prefetch of them are unsettled at once.
	// handle may keep the delivery and settle it later, from any goroutine.
	//
	// A lost connection is waited out; what was unsettled then comes again
	// with Redelivered set. When ctx ends nothing more is handed out, and
	// Consume returns nil once all that was handed out is settled, or Close is
	// called. It returns an error only for what waiting cannot mend:
	// ErrQueueMismatch, a refused login, ErrClosed.
	Consume(ctx context.Context, q Queue, prefetch int, handle func(*Delivery)) error
}

// Verdict is what a visitor of Browse says about a body.
type Verdict int

// The verdicts: Keep leaves the body where it is, Remove deletes it.
const (
	Keep Verdict = iota
	Remove
)

// Info is a queue at one moment.
type Info struct {
	Messages  int // ready to be handed out; those unsettled are not counted
	Consumers int
}

// Admin looks after queues.
type Admin interface {
	// Declare makes the queue and its bindings exist. It blocks while the
	// broker is out of reach, until ctx ends.
	Declare(ctx context.Context, q Queue) error
	// Unbind takes one key away from a queue; the queue and its bodies stay.
	Unbind(ctx context.Context, queue, key string) error
	// Inspect counts a queue's bodies and consumers, or fails with ErrNoQueue.
	Inspect(ctx context.Context, queue string) (Info, error)
	// Purge deletes all bodies of a queue that nobody holds and says how many.
	Purge(ctx context.Context, queue string) (int, error)
	// Browse shows visit up to limit bodies from the head of the queue, each
	// with its position; those it does not Remove are put back in their order.
	// Settling the delivery itself is Browse's business. An error of visit
	// ends it.
	Browse(ctx context.Context, queue string, limit int, visit func(*Delivery) (Verdict, error)) error
	// Delayed counts the bodies that are held back (Publication.Delay), of all
	// queues together.
	Delayed(ctx context.Context) (int, error)
	// Delete deletes the queue with all that is in it.
	Delete(ctx context.Context, queue string) error
}

// State is how the connection to the broker is.
type State struct {
	Connected  bool
	Blocked    string // why the broker accepts no bodies now; empty when it does
	Reconnects int
	LastError  error // why it is not connected; nil when it is
	// Idle are the durable queues that Consume was called for and that are not
	// being consumed at this moment, sorted.
	Idle []string
}

// Broker is all of it.
type Broker interface {
	Publisher
	Consumer
	Admin
	State() State
	// Close waits for outstanding confirms until ctx ends, then disconnects:
	// all that is unsettled returns to its queue.
	Close(ctx context.Context) error
}

// Delivery is a body handed out and not yet settled.
type Delivery struct {
	Queue       string
	Key         string // the routing key it was published with
	Body        []byte
	Headers     Headers
	Redelivered bool // it was handed out before; the work may have been done
	settle      func(requeue bool)
}

// NewDelivery is for implementations: settle is called by Ack and Requeue. It
// must be safe from any goroutine and ignore all calls but the first.
func NewDelivery(d Delivery, settle func(requeue bool)) *Delivery {
	d.settle = settle
	return &d
}

// Ack lets go of the body: it leaves its queue. After a lost connection it does
// nothing, and the body comes again.
func (d *Delivery) Ack() { d.settle(false) }

// Requeue puts the body back to be handed out again at once.
func (d *Delivery) Requeue() { d.settle(true) }
