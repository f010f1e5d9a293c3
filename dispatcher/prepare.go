package dispatcher

import (
	"context"

	"switchboard/worker"
)

// Preparer is the optional ability of a router that asks the state store to ask
// for many messages at once: Prepare is called with arrivals that Route is about
// to be called with, in order, and fetches what they need in one round trip. What
// it cannot fetch, Route asks for itself.
type Preparer interface {
	Prepare(ctx context.Context, arrivals []Arrival)
}

// prepare lets the router prepare for a batch of messages, then handles each.
func (l *lane) prepare(ctx context.Context, batch []taken) {
	for len(batch) > 0 {
		n := 1
		for n < len(batch) && batch[n].plan == batch[0].plan {
			n++
		}
		batch[0].plan.prepare(ctx, l.d, batch[:n])
		for _, it := range batch[:n] {
			l.dispatch(ctx, it)
		}
		batch = batch[n:]
	}
}

func (p *plan) prepare(ctx context.Context, d *Dispatcher, batch []taken) {
	router, prepares := p.router.(Preparer)
	if !prepares {
		return
	}
	arrivals := make([]Arrival, len(batch))
	for i, it := range batch {
		arrivals[i] = *it.Envelope
	}
	err := worker.Protect(func() error {
		router.Prepare(ctx, arrivals)
		return nil
	})
	if err != nil {
		d.core.Logger.Error("the router panicked while preparing", "error", err)
	}
}
