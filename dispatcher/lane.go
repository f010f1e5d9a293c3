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
	recalls   stage[*worker.Item]
	remembers stage[decided]
}

// decided is an item whose targets are known, before it is published.
type decided struct {
	item    *worker.Item
	targets []Target
	memory  []store.Entry // what is to be remembered of it
}

func (d *Dispatcher) newLane() *lane {
	l := &lane{d: d}
	l.recalls.do, l.remembers.do = d.recall, d.remember
	return l
}

// handle takes a message: it decides, publishes without waiting, and is done
// with the item when the broker has confirmed every copy.
func (l *lane) handle(ctx context.Context, item *worker.Item) {
	p := l.d.plan.Load()
	targets, err := l.d.decide(ctx, p, item.Envelope, "")
	if err != nil {
		item.Done(err)
		return
	}
	memory := l.d.memoryOf(p, item.Envelope, targets)
	if len(memory) == 0 && l.remembers.idle() {
		l.d.publish(ctx, item, targets)
		return
	}
	l.remembers.add(ctx, decided{item, targets, memory})
}

// handleEvent takes an event, which may need memory to be decided.
func (l *lane) handleEvent(ctx context.Context, item *worker.Item) {
	if l.recalls.idle() && !l.d.mustRecall(l.d.plan.Load(), item.Envelope) {
		l.d.route(ctx, item, "")
		return
	}
	l.recalls.add(ctx, item)
}

// route decides an item and publishes it.
func (d *Dispatcher) route(ctx context.Context, item *worker.Item, known home) {
	targets, err := d.decide(ctx, d.plan.Load(), item.Envelope, known)
	if err != nil {
		item.Done(err)
		return
	}
	d.publish(ctx, item, targets)
}

func (d *Dispatcher) publish(ctx context.Context, item *worker.Item, targets []Target) {
	done := gather(len(targets), item.Done)
	for _, t := range targets {
		d.core.PublishAsync(ctx, t.Envelope, done)
	}
}
