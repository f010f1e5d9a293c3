package applications

import (
	"context"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/worker"
	"switchboard/worker/deadletter"
)

// Relay is the optional ability of an application that passes on what it receives, and is
// done with it only when somebody else has it. Accept takes the place of Receive,
// SessionEnder and EventReceiver.
//
// What somebody cannot take now waits in a queue of its own, so that it holds up nobody
// else: one of Queues, which hold messages and events. Received.Move puts it there, and
// Queues.Consume brings it to Accept again.
type Relay interface {
	// Accept begins to pass on what was received, and returns; done ends that with an
	// outcome as Receive's, once, from any goroutine. done may block. What is in a queue
	// of the application's own comes in its order; from the connector, messages of one
	// person and events of one message come in theirs.
	Accept(ctx context.Context, r *Received, done func(error))
	QueueOwner
}

// QueueOwner is the optional ability to have queues of its own, which the frame declares.
// Their names on the broker are made by QueueName.
type QueueOwner interface {
	Queues() []string
}

// QueueName is the name on the broker of an application's own queue.
func QueueName(connector, queue string) string { return connector + "." + queue }

// Received is what a Relay is to pass on.
type Received struct {
	*message.Envelope
	// Queue is the application's own queue that it comes from; empty where it comes from
	// the connector.
	Queue string
	// Since is when it was received first, before all moves.
	Since time.Time
	// Redelivered says that this may be a second copy.
	Redelivered bool

	frame    *Frame
	delivery *worker.Delivery
}

// Leaves says whether an outcome takes it out of its queue for good: that is so too where
// it has failed as often as it may.
func (r *Received) Leaves(outcome error) bool {
	return !r.Lost() && r.delivery.Leaves(outcome)
}

// Lost says that the broker waits for it no longer, and brings it again: return
// worker.ErrLost.
func (r *Received) Lost() bool { return r.delivery.Lost() }

// Move puts it at the end of one of Queues, after a delay, and returns when it is there; it
// is done then, and a message is processed for the record. The empty name is the
// connector's queue. What is Lost does not move.
func (r *Received) Move(ctx context.Context, queue string, delay time.Duration) error {
	if r.Lost() {
		return worker.ErrLost
	}
	if queue == "" {
		queue = string(r.Flow)
	}
	return r.delivery.Move(ctx, r.frame.queueName(queue), delay)
}

// Queues are an application's own. The Sender of a Relay has them too.
type Queues interface {
	// Connector is the name of the application's connector.
	Connector() string
	// CheckSize says whether a message is too large to be sent.
	CheckSize(m *message.Message) error
	// Consume gives Accept what is in a queue, at most prefetch at once and past the
	// middleware, which it has passed; until ctx ends and all of it is done.
	Consume(ctx context.Context, queue string, prefetch int) error
	// Count says how many wait in each of the queues.
	Count(ctx context.Context, queues ...string) (map[string]int, error)
	// Put puts an event of the application's own making at the end of a queue, and
	// returns when it is there.
	Put(ctx context.Context, queue string, e *message.Event) error
	// Retry puts the dead letters that the filter chooses back on their queues, those of
	// the connector's own (inbound, event) or of Queues, and says how many. before is called
	// before each.
	Retry(ctx context.Context, queue string, f deadletter.Filter, before func()) (n int, err error)
}

var _ Queues = sender{}

func (s sender) Connector() string { return s.f.options.TransportName }

func (s sender) CheckSize(m *message.Message) error {
	return s.f.runtime.Settings.CheckSize(m.Encode())
}

func (f *Frame) queueName(queue string) string { return QueueName(f.options.TransportName, queue) }

func (s sender) Consume(ctx context.Context, queue string, prefetch int) error {
	runtime := s.f.runtime
	runtime.Settings.Prefetch = prefetch // amqp_prefetch_count is about the connector
	return runtime.Serve(ctx, worker.Subscription{
		Connector: s.f.queueName(queue), OnFailure: s.f.ifMessage(s.f.recordFailure), OnDiscard: s.f.ifMessage(s.f.recordDiscard),
		Handle: func(ctx context.Context, d *worker.Delivery) { s.f.accept(ctx, d, queue, d.Settle) },
	})
}

func (s sender) Count(ctx context.Context, queues ...string) (map[string]int, error) {
	names := make([]string, len(queues))
	for i, queue := range queues {
		names[i] = s.f.queueName(queue)
	}
	found, err := s.f.runtime.Broker.InspectAll(ctx, names...)
	counts := make(map[string]int, len(found))
	for i, queue := range queues {
		counts[queue] = found[names[i]].Messages
	}
	return counts, err
}

func (s sender) Put(ctx context.Context, queue string, e *message.Event) error {
	queue = s.f.queueName(queue)
	return s.f.runtime.Put(ctx, queue, &message.Envelope{Flow: message.EventFlow, Connector: queue, Event: e})
}

func (s sender) Retry(ctx context.Context, queue string, f deadletter.Filter, before func()) (int, error) {
	again := deadletter.Again{Before: func(context.Context) error { before(); return nil }}
	return again.Retry(ctx, s.f.runtime.Broker, s.f.queueName(queue), f)
}

// relay handles what comes from the connector.
func (f *Frame) relay(ctx context.Context, d *worker.Delivery) {
	f.lanes.Go(laneOf(d.Envelope), func() {
		f.runtime.Stack.Start(ctx, d.Envelope, func(ctx context.Context, e *message.Envelope, done func(error)) {
			d.Envelope = e
			f.accept(ctx, d, "", done)
		}, d.Settle)
	})
}

// Lane is what is passed on one after the other: a person's messages, or a message's events.
func (r *Received) Lane() string { return laneOf(r.Envelope) }

func laneOf(e *message.Envelope) string {
	if e.Message != nil {
		return "person " + e.Message.From
	}
	return "message " + e.Event.MessageID
}

func (f *Frame) accept(ctx context.Context, d *worker.Delivery, queue string, done func(error)) {
	r := &Received{Envelope: d.Envelope, Queue: queue, Since: d.Since(), Redelivered: d.Redelivered(), frame: f, delivery: d}
	var once sync.Once
	outcome := func(err error) {
		once.Do(func() {
			if err == nil && r.Message != nil && queue == "" {
				err = f.receipt(ctx, r.Message, message.ReceiptProcessed, "")
			}
			done(err)
		})
	}
	err := worker.Protect(func() error {
		f.app.(Relay).Accept(ctx, r, outcome)
		return nil
	})
	if err != nil {
		outcome(err)
	}
}

func (f *Frame) ifMessage(tell func(context.Context, *worker.Delivery, error) error) func(context.Context, *worker.Delivery, error) error {
	return func(ctx context.Context, d *worker.Delivery, reason error) error {
		if d.Message == nil {
			return nil
		}
		return tell(ctx, d, reason)
	}
}
