package worker

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/broker"
	"switchboard/internal/backoff"
	"switchboard/message"
)

// Subscription is a flow of a connector that a frame consumes.
type Subscription struct {
	Connector string
	// Flow is empty for a queue that has the connector's own name and holds messages
	// from people and events alike.
	Flow message.Flow
	// Raw takes bodies that are no envelopes; Delivery.Body has them.
	Raw bool
	// Handle is called with one delivery at a time, in the queue's order. It may
	// block, which holds the queue back, and must see to it that every delivery is
	// settled sooner or later.
	Handle func(ctx context.Context, d *Delivery)
	// Prefetch is the frame's choice of how many deliveries are in flight at once,
	// where the settings leave it open; 0 leaves it to the limit that chooses itself.
	Prefetch int
	// OnFailure, where set, is called before a delivery is dead-lettered, to tell
	// whoever should know. When it fails the delivery returns to its queue.
	OnFailure func(ctx context.Context, d *Delivery, reason error) error
	// OnDiscard, where set, is likewise called before a delivery is dropped on
	// purpose (message.Discard, and message.Reject without OnFailure).
	OnDiscard func(ctx context.Context, d *Delivery, reason error) error
}

func (s Subscription) queue(t broker.QueueType) broker.Queue {
	if s.Flow == "" {
		return broker.Queue{Name: s.Connector, Type: t} // nobody publishes under a key of its own
	}
	key := message.Key(s.Connector, s.Flow)
	return broker.Queue{Name: key, Keys: []string{key}, Type: t}
}

// Serve consumes subscriptions until ctx ends, then waits for what is in flight,
// at most StopTimeout. Handlers get a context that lives that long.
func (r *Runtime) Serve(ctx context.Context, subscriptions ...Subscription) error {
	g := r.Consumers(ctx)
	for _, s := range subscriptions {
		g.Start(s)
	}
	return g.Wait()
}

// ConsumerGroup are subscriptions being consumed; they may change while it runs.
type ConsumerGroup struct {
	runtime *Runtime
	fetch   context.Context // ends when nothing more is to be received
	work    context.Context // ends when what is in flight must be given up
	group   sync.WaitGroup
	mu      sync.Mutex
	errs    []error
	fail    context.CancelCauseFunc
	giveUp  context.CancelFunc
}

// Consumers makes a group that consumes until ctx ends.
func (r *Runtime) Consumers(ctx context.Context) *ConsumerGroup {
	g := &ConsumerGroup{runtime: r}
	g.fetch, g.fail = context.WithCancelCause(ctx)
	g.work, g.giveUp = context.WithCancel(context.WithoutCancel(ctx))
	return g
}

// Start consumes one more subscription; stop receives nothing more from it and
// waits until what is in flight is settled.
func (g *ConsumerGroup) Start(s Subscription) (stop func()) {
	ctx, cancel := context.WithCancel(g.fetch)
	done := make(chan struct{})
	g.group.Go(func() {
		defer close(done)
		defer cancel()
		if err := g.consume(ctx, s); err != nil {
			g.mu.Lock()
			g.errs = append(g.errs, err)
			g.mu.Unlock()
			g.fail(err)
		}
	})
	return func() {
		cancel()
		<-done
	}
}

func (g *ConsumerGroup) consume(ctx context.Context, s Subscription) error {
	r, queue := g.runtime, s.queue(g.runtime.Settings.QueueType)
	inFlight := r.inFlight(s)
	return r.unlessPaused(ctx, queue, func(fetch context.Context) error {
		work, giveUp := context.WithCancel(g.work)
		defer context.AfterFunc(fetch, func() {
			if ctx.Err() == nil { // it is paused
				g.giveUpWhenDown(inFlight, giveUp)
			}
		})()
		inFlight.fetches(fetch.Done())
		inFlight.limit.publish(inFlight.limit.now())
		defer r.Monitor.limit(queue.Name, 0)
		err := r.Broker.ConsumeWithin(fetch, queue, inFlight.limit.now, func(d *broker.Delivery) {
			r.receive(work, s, inFlight, d)
		})
		if err == nil { // all is settled
			giveUp()
		}
		return err
	})
}

// giveUpWhenDown returns what is in flight to its paused queue once the link is down that it
// waits for.
func (g *ConsumerGroup) giveUpWhenDown(inFlight *inFlight, giveUp func()) {
	for inFlight.held.Load() > 0 && backoff.Sleep(g.work, stopInterval) {
		if g.runtime.Monitor.Down(DependsOnLink) {
			giveUp()
			return
		}
	}
}

// inFlight are the deliveries of a subscription that are not settled.
type inFlight struct {
	limit *limit
	held  *atomic.Int64
	gauge prometheus.Gauge

	stopping <-chan struct{} // closed when nothing more is received

	mu       sync.Mutex
	made     map[*Delivery]time.Time // when what is held was made
	returned map[string]bool         // the keys of what went back since nothing more is received
}

func (r *Runtime) inFlight(s Subscription) *inFlight {
	queue := s.queue("").Name
	limited := r.Metrics.limit(r.Name, s.Connector, s.Flow)
	f := &inFlight{
		made: map[*Delivery]time.Time{},
		limit: newLimit(cmp.Or(r.Settings.Prefetch, s.Prefetch), func(limit int) {
			r.Monitor.limit(queue, limit)
			limited.Set(float64(limit))
		}),
		held: r.Monitor.Holding(queue), gauge: r.Metrics.inFlight(r.Name, s.Connector, s.Flow),
	}
	r.Monitor.age(queue, f.oldest)
	return f
}

// fetches says that deliveries are received until stopping is closed.
func (f *inFlight) fetches(stopping <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopping, f.returned = stopping, map[string]bool{}
}

// returns notes that a delivery of the key returns to its queue, where nothing more is received.
func (f *inFlight) returns(key string) {
	select {
	case <-f.stopping:
		f.mu.Lock()
		defer f.mu.Unlock()
		f.returned[key] = true
	default:
	}
}

func (f *inFlight) hasReturned(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.returned[key]
}

func (f *inFlight) holds(d *Delivery, made time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made[d] = made
}

// oldest is when the oldest was made of what is held; zero where nothing is.
func (f *inFlight) oldest() (oldest time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, made := range f.made {
		if oldest.IsZero() || made.Before(oldest) {
			oldest = made
		}
	}
	return oldest
}

func (f *inFlight) received() {
	f.limit.received(f.held.Add(1))
	f.gauge.Inc()
}

func (f *inFlight) settled(d *Delivery, took time.Duration) {
	f.mu.Lock()
	delete(f.made, d)
	f.mu.Unlock()
	f.limit.settle(took)
	f.held.Add(-1)
	f.gauge.Dec()
}

// receive decodes a delivery for its subscription, or dead-letters what is no
// envelope.
func (r *Runtime) receive(ctx context.Context, s Subscription, inFlight *inFlight, from *broker.Delivery) {
	inFlight.received()
	if s.Flow == "" && !s.Raw {
		s.Flow = message.FlowOf(from.Body)
	}
	d := &Delivery{runtime: r, ctx: ctx, subscription: s, inFlight: inFlight, delivery: from, began: time.Now()}
	if err := r.Settings.CheckSize(from.Body); err != nil {
		d.Settle(invalidError{err})
		return
	}
	if s.Raw {
		s.Handle(ctx, d)
		return
	}
	if err := d.decode(); err != nil {
		d.Settle(err)
		return
	}
	inFlight.holds(d, d.Made())
	s.Handle(ctx, d)
}

func (d *Delivery) decode() error {
	envelope, err := message.DecodeEnvelope(d.subscription.Flow, d.subscription.Connector, d.delivery.Body)
	if err != nil {
		return invalidError{err}
	}
	d.Envelope = envelope
	if d.Redelivered() {
		envelope.Routing().Set(message.AgainKey, true) // for all that follows from it
	}
	return nil
}

// Done is closed when nothing more is received: the group's context has ended, or
// a subscription has failed.
func (g *ConsumerGroup) Done() <-chan struct{} { return g.fetch.Done() }

const (
	// giveUpTimeout is how long handlers whose context ended may take to notice.
	giveUpTimeout = 2 * time.Second
	// stopInterval is how often a stop looks whether waiting is of any use.
	stopInterval = 100 * time.Millisecond
)

// Wait blocks until the group's context ends and all that is in flight is
// settled, at most StopTimeout later. What is left then returns to its queue, and
// the error is ErrStopTimeout. A link that is down is not waited for: that is no
// error.
func (g *ConsumerGroup) Wait() error {
	defer g.giveUp()
	<-g.fetch.Done()
	settled := make(chan struct{})
	go func() {
		g.group.Wait()
		close(settled)
	}()
	given := g.awaitSettled(settled)
	if given != nil {
		g.runtime.Logger.Warn("stopping without what is in flight; it returns to its queue",
			"reason", given, "in_flight", g.runtime.Monitor.Held())
		g.giveUp()
		select {
		case <-settled:
		case <-time.After(giveUpTimeout):
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if errors.Is(given, ErrStopTimeout) {
		g.errs = append(g.errs, given)
	}
	return errors.Join(g.errs...)
}

// ErrStopTimeout says that a stop gave up what was in flight: it returned to its
// queue, and what was done with it may be done again.
var ErrStopTimeout = errors.New("stop_timeout was over before all that was in flight was settled")

var errLinkDown = errors.New("the link is down")

// awaitSettled says why it waits no longer; nil when all is settled.
func (g *ConsumerGroup) awaitSettled(settled <-chan struct{}) error {
	over := time.NewTimer(g.runtime.Settings.StopTimeout.Std())
	defer over.Stop()
	look := time.NewTicker(stopInterval)
	defer look.Stop()
	for {
		select {
		case <-settled:
			return nil
		case <-over.C:
			return ErrStopTimeout
		case <-look.C:
			if g.runtime.Monitor.Down(DependsOnLink) {
				return errLinkDown
			}
		}
	}
}
