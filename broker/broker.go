// Package broker carries bodies between workers: bytes under routing keys, kept in
// queues. It knows no messages. Every implementation keeps two promises, which
// package brokertest checks:
//
//   - Publish succeeds only when the body is safe on every queue bound to its key;
//   - a body leaves its queue only when its handler has acknowledged it.
package broker

import (
	"context"
	"errors"
	"maps"
	"time"
)

// Exchange is the direct, durable exchange of all workers. It has Vumi's name, so that
// Vumi's workers can be part of the fleet.
const Exchange = "vumi"

// DeadSuffix ends the name of the queue that holds another queue's dead letters:
// those of `sms.inbound` are on `sms.inbound.dead`.
const DeadSuffix = ".dead"

// MaxBody is the largest body, in bytes, that a consumer need be ready for. A larger one may
// be moved to the dead letters of its queue before anybody holds it.
const MaxBody = 8 << 20

// Errors every implementation uses; test for them with errors.Is.
var (
	// ErrUnroutable: no queue is bound to the key, so the body is on none.
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
	// ErrInvalid: no broker takes this publication or queue (too large, a key
	// over 255 bytes, no key). Trying again cannot mend it.
	ErrInvalid = errors.New("the broker never takes this")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("the broker is closed")
)

// QueueType is how the broker keeps a queue.
type QueueType string

// The queue types. Classic is the default, as Vumi declares it. Quorum is chosen for a
// fleet, never for one worker.
const (
	Classic QueueType = "classic"
	Quorum  QueueType = "quorum"
)

// Queue is a durable queue and the keys of Exchange it is bound to.
type Queue struct {
	Name string
	Keys []string
	Type QueueType // Classic when empty
	// Temporary makes a queue to watch, never to work from. It ends with the one
	// Consume that names it, or its connection, and holds the newest
	// MaxTemporary bodies. Bind it only to keys that have a durable queue too:
	// what is on no other queue is lost with it.
	Temporary bool
}

// Headers travel beside a body. Vumi's workers drop them, so nothing that routing needs
// may be only here.
type Headers map[string]string

// HeaderAgain marks what was published again because the confirm of the first copy was
// lost. Its delivery is Redelivered; the header itself is not delivered.
const HeaderAgain = "switchboard-again"

// With returns a copy of h that has name set to value.
func (h Headers) With(name, value string) Headers {
	with := make(Headers, len(h)+1)
	maps.Copy(with, h)
	with[name] = value
	return with
}

// Publication is a body to be published.
type Publication struct {
	// Key is the routing key on Exchange. Empty when Queue is set.
	Key string
	// Queue publishes to the queue of this name alone: a retry, a dead letter.
	// The queue must have been declared.
	Queue   string
	Body    []byte
	Headers Headers
	// Delay is how long the body is held back before it reaches Queue; it needs
	// Queue. Brokers may shorten it by a fifth.
	Delay time.Duration
}

// Publisher publishes bodies: persistent, confirmed, mandatory.
type Publisher interface {
	// Publish blocks until the body is safe on every queue bound to its key.
	// After a lost connection the body is published again, until ctx ends: it
	// may arrive twice, the second time with Redelivered set.
	Publish(ctx context.Context, p Publication) error
	// PublishAsync publishes and calls done once, from another goroutine, with
	// the outcome; after ErrLost it does not try again. Bodies published one
	// after the other reach a queue in that order. It blocks while too many
	// confirms are outstanding or the broker is out of reach; when ctx ends
	// first, done gets its error. done must not block.
	PublishAsync(ctx context.Context, p Publication, done func(error))
}

// Consumer delivers the bodies of a queue.
type Consumer interface {
	// Consume declares q and calls handle with its bodies, one call at a time,
	// in the queue's order; at most prefetch of them are unsettled at once, fewer
	// when they are large.
	// handle may keep the delivery and settle it later, from any goroutine.
	//
	// After a lost connection it goes on; what was unsettled comes again with
	// Redelivered set. When ctx ends it delivers nothing more, and returns nil
	// once all is settled or Close is called. It returns an error only for what
	// waiting cannot mend: ErrQueueMismatch, a refused login, ErrClosed.
	Consume(ctx context.Context, q Queue, prefetch int, handle func(*Delivery)) error
	// ConsumeWithin is Consume with a prefetch that may change: limit is asked with
	// every body, and must not block.
	ConsumeWithin(ctx context.Context, q Queue, limit func() int, handle func(*Delivery)) error
}

// Fixed is a limit that does not change.
func Fixed(prefetch int) (limit func() int) { return func() int { return prefetch } }

// Verdict is what a visitor of Browse decides about a body.
type Verdict int

// The verdicts: Keep leaves the body where it is, Remove deletes it.
const (
	Keep Verdict = iota
	Remove
)

// Info is a queue at one moment.
type Info struct {
	Messages  int // ready to be delivered; those unsettled are not counted
	Consumers int
}

// Delayed are bodies that are held back.
type Delayed struct {
	Queue  string        // the queue they return to; empty where it is not known
	Within time.Duration // the step of delay: none is held back longer
	Bodies int
}

// Admin manages queues.
type Admin interface {
	// Declare makes the queue and its bindings exist. It blocks while the
	// broker is out of reach, until ctx ends.
	Declare(ctx context.Context, q Queue) error
	// Unbind removes one key from a queue; the queue and its bodies stay.
	Unbind(ctx context.Context, queue, key string) error
	// Inspect counts a queue's bodies and consumers, or fails with ErrNoQueue.
	Inspect(ctx context.Context, queue string) (Info, error)
	// InspectAll is Inspect for many queues at once; those that do not exist are
	// left out.
	InspectAll(ctx context.Context, queues ...string) (map[string]Info, error)
	// Purge deletes all ready bodies of a queue and returns how many.
	Purge(ctx context.Context, queue string) (int, error)
	// Browse calls visit with up to limit bodies from the head of the queue.
	// Those it does not Remove return to their place. An error of visit ends it.
	// visit must not settle the delivery.
	Browse(ctx context.Context, queue string, limit int, visit func(*Delivery) (Verdict, error)) error
	// Delayed counts the bodies that Publication.Delay holds back. Which queue they
	// return to is found out by a look at them, which holds them for that moment:
	// at most MaxDelayedLook of each step.
	Delayed(ctx context.Context) ([]Delayed, error)
	// Delete deletes the queue with all that is in it.
	Delete(ctx context.Context, queue string) error
}

// State is the state of the connection to the broker.
type State struct {
	Connected  bool
	Blocked    string // why the broker accepts no bodies; empty when it does
	Reconnects int
	LastError  error // why it is not connected; nil when it is
	// Idle are the durable queues that a running Consume cannot consume now,
	// sorted.
	Idle []string
	// Unroutable is a key that the broker returned publications to within the
	// last minute, although this process has declared a queue for it: a queue or
	// binding was deleted. Declaring it again clears it. Empty when there is none.
	Unroutable string
}

// Broker is all of it.
type Broker interface {
	Publisher
	Consumer
	Admin
	State() State
	// Close waits for outstanding confirms until ctx ends, then disconnects. All
	// that is unsettled returns to its queue.
	Close(ctx context.Context) error
}

// Delivery is a delivered body that is not settled yet.
type Delivery struct {
	Queue       string
	Key         string // the routing key it was published with
	Body        []byte
	Headers     Headers
	Redelivered bool // it may have been delivered before, and the work done
	// Lost, where set, says that the broker waits for this delivery no longer: settling it
	// does nothing, and the body comes again.
	Lost   func() bool
	settle func(requeue bool)
}

// NewDelivery is for implementations: settle is called by Ack and Requeue. It
// must be safe from any goroutine and ignore all calls but the first.
func NewDelivery(d Delivery, settle func(requeue bool)) *Delivery {
	d.settle = settle
	return &d
}

// Ack removes the body from its queue. After a lost connection it does nothing, and
// the body comes again.
func (d *Delivery) Ack() { d.settle(false) }

// Requeue returns the body to its queue, to be delivered again at once.
func (d *Delivery) Requeue() { d.settle(true) }
