// Package batch is group commit: what comes while one round trip is under way goes together
// in the next. What comes alone goes at once; nothing waits for a batch to fill.
package batch

import (
	"context"
	"sync"
)

// Limits bound a batch, and what waits for one; 0 is no bound.
type Limits struct {
	Items int // of a batch, as size counts them
	Bytes int // of a batch; the entry that passes it is still in the batch
	Queue int // entries that wait; Add blocks while there are so many
	// Alone says that a round trip takes no time: Add does what is added itself, alone.
	Alone bool
}

// Group gives what is added to a function, in its order, one batch at a time. Its methods
// are safe for several goroutines.
type Group[T any] struct {
	limits Limits
	size   func(T) (items, bytes int)
	do     func(ctx context.Context, batch []T)

	mu      sync.Mutex
	waiting []T
	busy    bool
	changed chan struct{} // closed when a batch is taken, or all is done; nil while nobody waits
}

// New makes a Group. do gets the context of the Add that found nothing under way, and has
// the slice until it returns. size is how many items, and how many bytes, an entry counts for.
func New[T any](l Limits, size func(T) (items, bytes int), do func(ctx context.Context, batch []T)) *Group[T] {
	return &Group[T]{limits: l, size: size, do: do}
}

// One is the size of an entry that counts for one.
func One[T any](T) (items, bytes int) { return 1, 0 }

// Add puts v behind all that waits. It blocks while the queue is full; the error is that of ctx.
func (g *Group[T]) Add(ctx context.Context, v T) error {
	if g.limits.Alone {
		g.do(ctx, []T{v})
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.limits.Queue > 0 && len(g.waiting) >= g.limits.Queue {
		if err := g.await(ctx); err != nil {
			return err
		}
	}
	g.waiting = append(g.waiting, v)
	if !g.busy {
		g.busy = true
		go g.work(ctx)
	}
	return nil
}

// Idle says that nothing waits and nothing is under way. Where one goroutine alone adds, it
// may then pass the group by without changing the order.
func (g *Group[T]) Idle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.busy
}

// Wait blocks until all that was added is done.
func (g *Group[T]) Wait() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.busy {
		_ = g.await(context.Background())
	}
}

// await releases the mutex until something has changed or ctx ends.
func (g *Group[T]) await(ctx context.Context) error {
	if g.changed == nil {
		g.changed = make(chan struct{})
	}
	changed := g.changed
	g.mu.Unlock()
	defer g.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *Group[T]) work(ctx context.Context) {
	for batch := g.next(); batch != nil; batch = g.next() {
		g.do(ctx, batch)
		clear(batch)
	}
}

// next takes a batch; nil where nothing waits.
func (g *Group[T]) next() []T {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
	if len(g.waiting) == 0 {
		g.waiting, g.busy = nil, false
		return nil
	}
	n, items, bytes := 0, 0, 0
	for n < len(g.waiting) && (g.limits.Items == 0 || items < g.limits.Items) && (g.limits.Bytes == 0 || bytes < g.limits.Bytes) {
		i, b := g.size(g.waiting[n])
		n, items, bytes = n+1, items+i, bytes+b
	}
	batch := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return batch
}
