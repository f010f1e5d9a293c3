package worker

import (
	"context"

	"switchboard/internal/lanes"
)

// Lanes lets a frame that waits for the outside work on several items at once,
// while items of one key (a person's address) are handled one after the other
// in their order. It holds no more than is in hand, which the prefetch bounds.
func Lanes(key func(*Delivery) string, handle func(ctx context.Context, item *Delivery) error) func(context.Context, *Delivery) {
	var l lanes.Lanes[string]
	return func(ctx context.Context, item *Delivery) {
		l.Go(key(item), func() { item.Settle(Protect(func() error { return handle(ctx, item) })) })
	}
}
