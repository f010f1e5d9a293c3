package dispatcher

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"switchboard/internal/batch"
	"switchboard/message"
	"switchboard/store"
	"switchboard/worker"
)

// pipeline is the way of one queue through the dispatcher. Its steps stand below
// in their order:
//
//	receive   the envelope passes the middleware of the present configuration
//	look up   many at once: what the router prepares, where events return to
//	route     an event by its return path, anything else by the router
//	remember  many at once: where outbound messages came from
//	publish   without waiting
//	settle    when the broker has confirmed every copy
//
// The queue's order is kept. An envelope that needs no request to the state store
// skips the batches, unless another before it waits in one. A state in memory has no
// batches: it answers at once.
type pipeline struct {
	d         *Dispatcher
	events    bool // the queue is one of events
	lookUps   *batch.Group[received]
	remembers *batch.Group[routed]
}

// maxBatch is how many envelopes share one request to the state store, at most.
const maxBatch = 500

// received is an envelope past the middleware, with the configuration that
// finishes it.
type received struct {
	*message.Envelope
	config *configuration
	done   func(error) // takes the outcome, once
}

// routed is an envelope whose targets are known.
type routed struct {
	received
	targets []Target
	entries []store.Entry // what is to be remembered first
}

func (d *Dispatcher) newPipeline(flow message.Flow) *pipeline {
	p := &pipeline{d: d, events: flow == message.EventFlow}
	limits := batch.Limits{Items: maxBatch, Alone: store.InMemory(d.runtime.State)}
	p.lookUps, p.remembers = batch.New(limits, batch.One[received], p.lookUp), batch.New(limits, batch.One[routed], p.remember)
	return p
}

// handle receives a delivery.
func (p *pipeline) handle(ctx context.Context, delivery *worker.Delivery) {
	config := p.d.acquire()
	config.runtime.Stack.Start(ctx, delivery.Envelope, func(ctx context.Context, e *message.Envelope, done func(error)) {
		delivery.Envelope = e
		p.receive(ctx, received{e, config, done})
	}, func(outcome error) {
		delivery.Settle(outcome)
		p.d.release(config)
	})
}

func (p *pipeline) receive(ctx context.Context, r received) {
	if p.lookUps.Idle() && !p.needsLookUp(r) {
		p.route(ctx, r, "")
		return
	}
	_ = p.lookUps.Add(ctx, r) // does not block: the prefetch bounds what waits
}

func (p *pipeline) needsLookUp(r received) bool {
	if p.events {
		return p.d.mustRecall(r.config, r.Envelope)
	}
	_, prepares := r.config.router.(Preparer)
	return prepares
}

// lookUp asks the state store for a batch in one round trip, then routes each.
func (p *pipeline) lookUp(ctx context.Context, batch []received) {
	if p.events {
		p.recall(ctx, batch)
		return
	}
	for len(batch) > 0 {
		n := 1
		for n < len(batch) && batch[n].config == batch[0].config {
			n++
		}
		p.prepare(ctx, batch[:n])
		for _, r := range batch[:n] {
			p.route(ctx, r, "")
		}
		batch = batch[n:]
	}
}

// prepare lets the router of a batch fetch what it needs.
func (p *pipeline) prepare(ctx context.Context, batch []received) {
	router, prepares := batch[0].config.router.(Preparer)
	if !prepares {
		return
	}
	arrivals := make([]Arrival, len(batch))
	for i, r := range batch {
		arrivals[i] = *r.Envelope
	}
	err := worker.Protect(func() error {
		router.Prepare(ctx, arrivals)
		return nil
	})
	if err != nil {
		p.d.runtime.Logger.Error("the router panicked while preparing", "error", err)
	}
}

// recall fetches the return paths of a batch of events, and routes each.
func (p *pipeline) recall(ctx context.Context, batch []received) {
	unknown := make([]bool, len(batch))
	var keys []string
	for i, r := range batch {
		if unknown[i] = p.d.mustRecall(r.config, r.Envelope); unknown[i] {
			keys = append(keys, p.d.memoryKey(r.ID()))
		}
	}
	known, err := p.d.recalled(ctx, keys)
	for i, r := range batch {
		if unknown[i] && err != nil {
			r.done(err)
			continue
		}
		p.route(ctx, r, returnPath(known[p.d.memoryKey(r.ID())]))
	}
}

// route decides where an envelope goes. known is an event's return path, where it
// was remembered.
func (p *pipeline) route(ctx context.Context, r received, known returnPath) {
	targets, err := r.config.route(ctx, r.Envelope, known)
	if err != nil {
		r.done(err)
		return
	}
	entries := p.d.toRemember(r.config, r.Envelope, targets)
	if len(entries) == 0 && p.remembers.Idle() {
		publish(ctx, routed{r, targets, nil})
		return
	}
	_ = p.remembers.Add(ctx, routed{r, targets, entries})
}

// route returns targets that each have an envelope of their own, addressed and
// with its return path.
func (c *configuration) route(ctx context.Context, e *message.Envelope, known returnPath) (targets []Target, err error) {
	if hops := len(message.Hops(e.Routing())); hops >= c.options.MaxHops {
		return nil, message.Permanent(fmt.Errorf("%s passed more than max_hops=%d dispatchers; look for a circle of routes", e, c.options.MaxHops))
	}
	err = worker.Protect(func() error {
		targets, err = c.targets(ctx, e, known)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case len(targets) == 0:
		return nil, message.Permanent(fmt.Errorf("the router has no target for %s from %s", e, e.Connector))
	}
	for i := range targets {
		c.address(&targets[i], e, len(targets) > 1)
	}
	return targets, nil
}

// targets asks an event's return path first, then what is remembered, then the
// router.
func (c *configuration) targets(ctx context.Context, e *message.Envelope, known returnPath) ([]Target, error) {
	if e.Flow == message.EventFlow {
		if path := popReturnPath(e.Routing(), c.exposes); path != "" {
			return c.routeEvent(ctx, e, path, message.PathKey)
		}
		if connector, _ := known.split(); known == noReturnPath || c.exposes(connector) {
			return c.routeEvent(ctx, e, known, "memory")
		}
	}
	targets, err := c.router.Route(ctx, *e)
	if err != nil {
		return c.unrouted(ctx, e, err)
	}
	return targets, nil
}

func (c *configuration) exposes(name string) bool { return slices.Contains(c.names.Exposed, name) }

// address gives a target its envelope: the router's copy, or one of its own.
// Only several targets need copies of the message.
func (c *configuration) address(t *Target, e *message.Envelope, shared bool) {
	switch {
	case t.Envelope != nil:
	case shared:
		t.Envelope = e.Clone()
	default:
		own := *e
		t.Envelope = &own
	}
	if t.Flow != "" {
		t.Envelope.Flow = t.Flow
	}
	t.Envelope.Connector = t.Connector
	message.AddHop(t.Envelope.Routing(), c.runtime.Name, t.Rule)
	if t.Envelope.Flow == message.Outbound {
		pushReturnPath(t.Envelope.Routing(), returnPathOf(e))
	}
}

// remember stores what a batch needs remembered, and then publishes the batch:
// an event can come as soon as its message is out. A store that is out of reach
// holds no message up; their events are routed by the router alone then.
func (p *pipeline) remember(ctx context.Context, batch []routed) {
	entries := make([]store.Entry, 0, len(batch))
	for _, r := range batch {
		entries = append(entries, r.entries...)
	}
	if err := p.d.store(ctx, entries); err != nil && ctx.Err() == nil {
		p.d.runtime.Monitor.WarnOfState(p.d.runtime.Logger, "remembering where messages came from failed; their events may not find the way back",
			"messages", len(entries), "error", err)
	}
	for _, r := range batch {
		publish(ctx, r)
	}
}

// publish publishes an envelope to its targets without waiting, and settles it
// when the broker has confirmed all of them.
func publish(ctx context.Context, r routed) {
	done := whenAll(len(r.targets), r.done)
	for _, t := range r.targets {
		if t.Envelope.Flow == r.Flow {
			r.config.runtime.PublishAsync(ctx, t.Envelope, done)
			continue
		}
		// The router made a message of its own, which passes the middleware too.
		r.config.runtime.Stack.Start(ctx, t.Envelope, r.config.runtime.PublishAsync, done)
	}
}

// whenAll calls done once, with the first error, when n parts are done.
func whenAll(n int, done func(error)) func(error) {
	if n == 1 {
		return done
	}
	var left atomic.Int32
	var first atomic.Pointer[error]
	left.Store(int32(n))
	return func(err error) {
		if err != nil {
			first.CompareAndSwap(nil, &err)
		}
		if left.Add(-1) > 0 {
			return
		}
		if p := first.Load(); p != nil {
			err = *p
		}
		done(err)
	}
}
