package dispatcher

import (
	"context"

	"switchboard/message"
	"switchboard/store"
	"switchboard/worker"
)

// lane is the way of one queue through the dispatcher. What needs the state
// store passes a stage of it; what does not goes straight on, unless something
// before it waits in the stage: the queue's order is kept.
type lane struct {
	d         *Dispatcher
	prepares  stage[taken]
	recalls   stage[taken]
	remembers stage[decided]
}

// taken is an envelope with the plan it was taken with, which finishes it, and
// what is told the outcome.
type taken struct {
	*message.Envelope
	plan *plan
	done func(error)
}

// decided is an item whose targets are known, before it is published.
type decided struct {
	item    taken
	targets []Target
	memory  []store.Entry // what is to be remembered of it
}

func (d *Dispatcher) newLane() *lane {
	l := &lane{d: d}
	l.prepares.do, l.recalls.do, l.remembers.do = l.prepare, d.recall, d.remember
	return l
}

// handle takes a message.
func (l *lane) handle(ctx context.Context, item *worker.Delivery) {
	l.take(ctx, item, l.route)
}

func (l *lane) route(ctx context.Context, it taken) {
	if _, prepares := it.plan.router.(Preparer); !prepares && l.prepares.idle() {
		l.dispatch(ctx, it)
		return
	}
	l.prepares.add(ctx, it)
}

// dispatch decides, publishes without waiting, and is done with the item when
// the broker has confirmed every copy.
func (l *lane) dispatch(ctx context.Context, it taken) {
	targets, err := l.d.decide(ctx, it.plan, it.Envelope, "")
	if err != nil {
		it.done(err)
		return
	}
	memory := l.d.memoryOf(it.plan, it.Envelope, targets)
	if len(memory) == 0 && l.remembers.idle() {
		publish(ctx, it, targets)
		return
	}
	l.remembers.add(ctx, decided{it, targets, memory})
}

// handleEvent takes an event, which may need memory to be decided.
func (l *lane) handleEvent(ctx context.Context, item *worker.Delivery) {
	l.take(ctx, item, l.routeEvent)
}

func (l *lane) routeEvent(ctx context.Context, it taken) {
	if l.recalls.idle() && !l.d.mustRecall(it.plan, it.Envelope) {
		l.d.route(ctx, it, "")
		return
	}
	l.recalls.add(ctx, it)
}

// take gives an item the plan of this moment, and passes it through the plan's
// middleware to route.
func (l *lane) take(ctx context.Context, item *worker.Delivery, route func(context.Context, taken)) {
	p := l.d.plan.Load()
	p.core.Stack.Start(ctx, item.Envelope, func(ctx context.Context, e *message.Envelope, done func(error)) {
		item.Envelope = e
		route(ctx, taken{e, p, done})
	}, item.Settle)
}

// route decides an item and publishes it.
func (d *Dispatcher) route(ctx context.Context, it taken, known home) {
	targets, err := d.decide(ctx, it.plan, it.Envelope, known)
	if err != nil {
		it.done(err)
		return
	}
	publish(ctx, it, targets)
}

func publish(ctx context.Context, it taken, targets []Target) {
	done := gather(len(targets), it.done)
	for _, t := range targets {
		if t.Envelope.Flow == it.Flow {
			it.plan.core.PublishAsync(ctx, t.Envelope, done)
			continue
		}
		// The router made a message of its own, which passes the middleware too.
		it.plan.core.Stack.Start(ctx, t.Envelope, it.plan.core.PublishAsync, done)
	}
}
