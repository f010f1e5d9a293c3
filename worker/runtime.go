package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"switchboard/broker"
	"switchboard/message"
)

// Runtime is the machinery under a frame: it takes bodies from queues, hands them
// out as Items, and publishes envelopes.
type Runtime struct {
	Dependencies
	Settings Settings
}

// Subscription is a flow of a connector that a frame consumes.
type Subscription struct {
	Connector string
	Flow      message.Flow
	// Handle is called with one item at a time, in the queue's order. It may
	// block, which holds the queue back, and must see to it that every item is
	// Done sooner or later.
	Handle func(ctx context.Context, item *Delivery)
	// Prefetch is the frame's choice of how many items are in hand at once,
	// where the settings leave it open.
	Prefetch int
	// OnFailure, where set, is called before an item is set aside for good, to
	// tell whoever should know. When it fails the item is tried again later.
	OnFailure func(ctx context.Context, item *Delivery, reason error) error
	// OnDiscard, where set, is called before an item is let go on purpose
	// (message.Discard, and message.Refuse without Failed), likewise.
	OnDiscard func(ctx context.Context, item *Delivery, reason error) error
}

func (s Subscription) queue(t broker.QueueType) broker.Queue {
	key := message.Key(s.Connector, s.Flow)
	return broker.Queue{Name: key, Keys: []string{key}, Type: t}
}

// Declare makes the queue of a connector's flow exist, so that what is
// published to it before its consumer starts is kept.
func (c *Runtime) Declare(ctx context.Context, connector string, flow message.Flow) error {
	return c.Broker.Declare(ctx, Subscription{Connector: connector, Flow: flow}.queue(c.Settings.QueueType))
}

// Serve consumes the sources until ctx ends, then waits for what is in hand, at
// most StopTimeout. Handlers get a context that lives that long.
func (c *Runtime) Serve(ctx context.Context, sources ...Subscription) error {
	s := c.Consumers(ctx)
	for _, source := range sources {
		s.Start(source)
	}
	return s.Wait()
}

// ConsumerGroup is a set of sources being consumed that may change while it runs.
type ConsumerGroup struct {
	core  *Runtime
	fetch context.Context // ends when nothing more is to be taken
	work  context.Context // ends when what is in hand must be let go
	group sync.WaitGroup
	mu    sync.Mutex
	errs  []error
	fail  context.CancelCauseFunc
	quit  context.CancelFunc
}

// Consumers begins a session that lasts until ctx ends.
func (c *Runtime) Consumers(ctx context.Context) *ConsumerGroup {
	s := &ConsumerGroup{core: c}
	s.fetch, s.fail = context.WithCancelCause(ctx)
	s.work, s.quit = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

// Start consumes one more source; stop takes nothing more from it and waits
// until what is in hand is done.
func (s *ConsumerGroup) Start(source Subscription) (stop func()) {
	ctx, cancel := context.WithCancel(s.fetch)
	done := make(chan struct{})
	s.group.Go(func() {
		defer close(done)
		defer cancel()
		if err := s.consume(ctx, source); err != nil {
			s.mu.Lock()
			s.errs = append(s.errs, err)
			s.mu.Unlock()
			s.fail(err)
		}
	})
	return func() {
		cancel()
		<-done
	}
}

func (s *ConsumerGroup) consume(ctx context.Context, source Subscription) error {
	queue := source.queue(s.core.Settings.QueueType)
	prefetch := cmp.Or(s.core.Settings.Prefetch, source.Prefetch, defaultPrefetch)
	err := s.core.Broker.Consume(ctx, queue, prefetch, func(d *broker.Delivery) {
		s.core.take(s.work, source, d)
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("consuming %s: %w", queue.Name, err)
	}
	return nil
}

// Done is closed when nothing more is taken: the session's context has ended,
// or a source has failed.
func (s *ConsumerGroup) Done() <-chan struct{} { return s.fetch.Done() }

// Wait blocks until the session's context ends and all that is in hand is done,
// at most StopTimeout later; then what is left returns to its queue.
func (s *ConsumerGroup) Wait() error {
	defer s.quit()
	<-s.fetch.Done()
	finished := make(chan struct{})
	go func() {
		s.group.Wait()
		close(finished)
	}()
	patience := time.NewTimer(s.core.Settings.StopTimeout.Std())
	defer patience.Stop()
	select {
	case <-finished:
	case <-patience.C:
		s.quit()
		s.core.Logger.Warn("stop_timeout is over; what is still in hand returns to its queue",
			"stop_timeout", s.core.Settings.StopTimeout.Std())
		s.awaitLetGo(finished)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}

// letGoTimeout is how long handlers whose context ended may take to notice.
const letGoTimeout = 2 * time.Second

func (s *ConsumerGroup) awaitLetGo(finished <-chan struct{}) {
	select {
	case <-finished:
	case <-time.After(letGoTimeout):
	}
}

// take turns a delivery into an item and hands it to its source, or sets aside
// what is no envelope at all.
func (c *Runtime) take(ctx context.Context, source Subscription, d *broker.Delivery) {
	item := &Delivery{core: c, ctx: ctx, source: source, delivery: d, began: time.Now()}
	c.Metrics.inFlight(c.Name, source.Connector, source.Flow, 1)
	envelope, err := message.DecodeEnvelope(source.Flow, source.Connector, d.Body)
	if err != nil {
		item.Settle(invalidError{err})
		return
	}
	item.Envelope = envelope
	if item.Redelivered() {
		envelope.Routing().Set(message.AgainKey, true) // for all that follows from it
	}
	source.Handle(ctx, item)
}

// Provision gives the middleware and the plugin their environments.
func (c *Runtime) Provision(ctx context.Context, plugin any, env Env) error {
	if err := c.Stack.Provision(ctx, env); err != nil {
		return err
	}
	return Provision(ctx, plugin, env)
}

// Close ends the plugin and the middleware.
func (c *Runtime) Close(plugin any) {
	if err := errors.Join(Close(plugin), c.Stack.Close()); err != nil {
		c.Logger.Warn("a plugin did not close cleanly", "error", err)
	}
}

// Publish passes the envelope through the middleware and blocks until the
// broker has it.
func (c *Runtime) Publish(ctx context.Context, e *message.Envelope) error {
	return c.Stack.Publish(ctx, e, c.publish)
}

func (c *Runtime) publish(ctx context.Context, e *message.Envelope) error {
	err := c.Broker.Publish(ctx, broker.Publication{Key: e.Key(), Body: e.Encode()})
	c.Metrics.published(c.Name, e, err)
	return describePublish(e, err)
}

// PublishAsync publishes past the middleware and without waiting: done is called
// with the outcome.
func (c *Runtime) PublishAsync(ctx context.Context, e *message.Envelope, done func(error)) {
	c.Broker.PublishAsync(ctx, broker.Publication{Key: e.Key(), Body: e.Encode()}, func(err error) {
		c.Metrics.published(c.Name, e, err)
		done(describePublish(e, err))
	})
}

// PublishBack gives an envelope to the consumer of this connector's flow and to
// nobody else who listens there, past the middleware, and blocks until the
// broker has it.
func (c *Runtime) PublishBack(ctx context.Context, e *message.Envelope) error {
	if err := c.Declare(ctx, e.Connector, e.Flow); err != nil {
		return err
	}
	return describePublish(e, c.Broker.Publish(ctx, broker.Publication{Queue: e.Key(), Body: e.Encode()}))
}

// PublishBody publishes a body that is no envelope (a failure, a status, a
// receipt) for whoever wants it; that nobody does is no error.
func (c *Runtime) PublishBody(ctx context.Context, key string, body []byte) error {
	err := c.Broker.Publish(ctx, broker.Publication{Key: key, Body: body})
	if errors.Is(err, broker.ErrUnroutable) {
		return nil
	}
	return err
}

func describePublish(e *message.Envelope, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("publishing %s to %s: %w", e, e.Key(), err)
	if errors.Is(err, broker.ErrUnroutable) {
		return message.Permanent(err)
	}
	return err
}
