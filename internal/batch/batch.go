// Package batch gathers what comes one by one, so that it is handled together.
package batch

import (
	"context"
	"time"
)

// Limits bound a batch. It closes when it has Items or Bytes, or Delay after its first item.
type Limits struct {
	Items int
	Bytes int // 0 is no bound; the item that passes it is still in the batch
	// Delay is at most; an item that comes alone waits for less. With 0 none waits: a
	// batch is what came while the one before was handled.
	Delay time.Duration
}

// crowd is how many items of a batch make the next one wait for the whole Delay. The
// fewer the last one had, the less the next one waits: it would wait in vain.
const crowd = 5

// Run gives batches of what queue holds to do, in order, until queue is closed and empty.
// The slice is do's only until do returns. size is how many items, and how many bytes, an
// entry of the queue counts for. When ctx ends, batches close at once.
func Run[T any](ctx context.Context, queue <-chan T, l Limits, size func(T) (items, bytes int), do func([]T)) {
	var batch []T
	timer := time.NewTimer(l.Delay)
	defer timer.Stop()
	for first := range queue {
		if l.Delay > 0 {
			timer.Reset(l.Delay * time.Duration(min(max(len(batch), 1), crowd)) / crowd)
		}
		batch = append(batch[:0], first)
		items, bytes := size(first)
		for items < l.Items && (l.Bytes == 0 || bytes < l.Bytes) {
			next, ok := receive(ctx, queue, l.Delay, timer.C)
			if !ok {
				break
			}
			batch = append(batch, next)
			i, b := size(next)
			items, bytes = items+i, bytes+b
		}
		do(batch)
		clear(batch)
	}
}

func receive[T any](ctx context.Context, queue <-chan T, delay time.Duration, late <-chan time.Time) (next T, ok bool) {
	if delay == 0 {
		select {
		case next, ok = <-queue:
		default:
		}
		return next, ok
	}
	select {
	case next, ok = <-queue:
	case <-late:
	case <-ctx.Done():
	}
	return next, ok
}
