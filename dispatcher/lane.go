package dispatcher

import (
	"context"

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

// taken is an item with the plan it was taken with, which finishes it.
type taken struct {
	*worker.Delivery
	plan *plan
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
	it, ok := l.take(ctx, item)
	if !ok {
		return
	}
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
		it.Settle(err)
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
	it, ok := l.take(ctx, item)
	if !ok {
		return
	}
	if l.recalls.idle() && !l.d.mustRecall(it.plan, item.Envelope) {
		l.d.route(ctx, it, "")
		return
	}
	l.recalls.add(ctx, it)
}

// take gives an item the plan of this moment, and passes it through the plan's
// middleware.
func (l *lane) take(ctx context.Context, item *worker.Delivery) (taken, bool) {
	it := taken{item, l.d.plan.Load()}
	if err := it.plan.consumed(ctx, item.Envelope); err != nil {
		item.Settle(err)
		return it, false
	}
	return it, true
}

// route decides an item and publishes it.
func (d *Dispatcher) route(ctx context.Context, it taken, known home) {
	targets, err := d.decide(ctx, it.plan, it.Envelope, known)
	if err != nil {
		it.Settle(err)
		return
	}
	publish(ctx, it, targets)
}

func publish(ctx context.Context, it taken, targets []Target) {
	done := gather(len(targets), it.Settle)
	for _, t := range targets {
		it.plan.core.PublishAsync(ctx, t.Envelope, done)
	}
}
