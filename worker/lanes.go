package worker

import (
	"context"

	"switchboard/internal/lanes"
	"switchboard/message"
)

// Lanes passes deliveries through the middleware to handle and settles them with
// its outcome. Deliveries of one key (a person's address) are handled one after
// the other, in their order, those of several keys at once. The prefetch bounds
// how many wait. With Hold those of a key wait for one that is tried again.
func (r *Runtime) Lanes(key func(*Delivery) string, handle func(ctx context.Context, d *Delivery) error) func(context.Context, *Delivery) {
	var l lanes.Lanes[string]
	return func(ctx context.Context, d *Delivery) {
		of := key(d)
		l.Go(of, func() {
			try := func() error {
				return r.Stack.Consume(ctx, d.Envelope, func(ctx context.Context, e *message.Envelope) error {
					d.Envelope = e
					return handle(ctx, d)
				})
			}
			if d.runtime.Settings.RetryOrder == Hold {
				d.Settle(d.tryInPlace(ctx, of, try))
				return
			}
			d.Settle(try())
		})
	}
}
