package receivers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"switchboard/broker"
	"switchboard/message"
)

// Queue is a queue of messages of one type: []byte and string are sent as they are, every
// other type as JSON. Row is a reference to a row of a database.
type Queue[T any] struct {
	// Name is of lower case letters, digits and . _ -
	Name string
	// Receive is called with each message. Without it messages can be sent, and this
	// program receives none.
	//
	//   - nil: the message is done.
	//   - RestartLater: it stays in the queue.
	//   - message.Permanent, and a panic: it is dead-lettered.
	//   - message.RetryAfter: it is tried again, not before that time.
	//   - Any other error: it is tried again with growing delays, and dead-lettered
	//     after max_attempts.
	//   - A message may come twice: when the process dies, and when it has taken longer
	//     than VisibilityTimeout.
	Receive func(ctx context.Context, v T) error
	// VisibilityTimeout is how long Receive may take; 0 is visibility_timeout.
	VisibilityTimeout time.Duration
	// DeleteOnStart deletes a message before Receive is called: it comes once at most, and
	// is lost when Receive fails.
	DeleteOnStart bool
	// Suffixes are those that are known, for SendTo and the option suffix: queues beside
	// this one for some of its messages, such as big ones.
	Suffixes []string
	// Concurrency is how many calls of Receive there are at once; 0 is 1, which keeps the
	// order.
	Concurrency int

	set *Receivers
}

// Row names a row of a database instead of carrying it: its receiver fetches what the row is
// by then.
type Row struct {
	Table string `json:"table"`
	Key   string `json:"key"`
}

// Register adds a queue, and returns it for sending. What is wrong with it is an error of
// Validate and Run.
func Register[T any](r *Receivers, q Queue[T]) *Queue[T] {
	q.set = r
	entry := &registered{
		name: q.Name, visibility: q.VisibilityTimeout, deleteOnStart: q.DeleteOnStart,
		suffixes: q.Suffixes, concurrency: cmp.Or(q.Concurrency, 1),
	}
	switch {
	case slices.ContainsFunc(r.queues, func(other *registered) bool { return other.name == q.Name }):
		entry.problem = "is registered twice"
	case q.VisibilityTimeout < 0 || q.Concurrency < 0:
		entry.problem = "VisibilityTimeout and Concurrency must not be negative"
		entry.concurrency = 1
	}
	if q.Receive != nil {
		entry.handle = func(ctx context.Context, body []byte) error {
			v, err := decode[T](body)
			if err != nil {
				return message.Permanent(fmt.Errorf("reading a message of queue %s: %w", q.Name, err))
			}
			return q.Receive(ctx, v)
		}
	}
	r.queues = append(r.queues, entry)
	return &q
}

// Send sends a message, and returns when the broker has it. It waits until the set has a
// broker.
func (q *Queue[T]) Send(ctx context.Context, v T) error { return q.SendTo(ctx, "", v) }

// SendTo is Send to the queue with a suffix. It warns of a suffix that is not one of
// Suffixes.
func (q *Queue[T]) SendTo(ctx context.Context, suffix string, v T) error {
	body, err := encode(v)
	if err == nil {
		err = q.set.CheckSize(body)
	}
	if err != nil {
		return fmt.Errorf("sending to queue %s: %w", q.Name, err)
	}
	q.set.warnOf(q.Name, suffix, q.Suffixes)
	return q.set.send(ctx, q.set.fullName(q.Name, suffix), body)
}

func (r *Receivers) send(ctx context.Context, queue string, body []byte) error {
	b, err := r.broker.Get(ctx)
	if err != nil {
		return fmt.Errorf("sending to %s: no broker yet: %w", queue, err)
	}
	r.mu.Lock()
	declared := r.declared[queue]
	r.mu.Unlock()
	if !declared {
		if err := b.Declare(ctx, broker.Queue{Name: queue, Type: r.QueueType}); err != nil {
			return fmt.Errorf("declaring %s: %w", queue, err)
		}
		r.mu.Lock()
		r.declared[queue] = true
		r.mu.Unlock()
	}
	err = b.Publish(ctx, broker.Publication{Queue: queue, Body: body})
	if errors.Is(err, broker.ErrUnroutable) { // somebody has deleted it
		r.mu.Lock()
		delete(r.declared, queue)
		r.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("sending to %s: %w", queue, err)
	}
	return nil
}

func encode[T any](v T) ([]byte, error) {
	switch v := any(v).(type) {
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	}
	return json.Marshal(v)
}

func decode[T any](body []byte) (v T, err error) {
	switch p := any(&v).(type) {
	case *[]byte:
		*p = body
	case *string:
		*p = string(body)
	default:
		err = json.Unmarshal(body, p)
	}
	return v, err
}
