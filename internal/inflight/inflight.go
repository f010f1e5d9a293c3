// Package inflight counts work in flight, lets none begin once it is closed, and
// waits for what has begun.
package inflight

import (
	"context"
	"sync"
)

// Group is what is in flight. The zero Group is ready. It differs from sync.WaitGroup in
// that nothing begins while somebody waits, and that the wait ends with a context.
type Group struct {
	mu     sync.Mutex
	n      int
	closed bool
	empty  chan struct{} // made by Wait, closed when nothing is left
}

// Begin begins work that ends with Done, or reports false once the Group is closed.
func (g *Group) Begin() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.n++
	}
	return !g.closed
}

// Go does work on a goroutine, or reports false once the Group is closed.
func (g *Group) Go(work func()) bool {
	began := g.Begin()
	if began {
		go func() {
			defer g.Done()
			work()
		}()
	}
	return began
}

// Again begins what other work, which is in flight, leads to, also once the Group is
// closed.
func (g *Group) Again() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n++
}

// Done ends what Begin or Again began.
func (g *Group) Done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n--; g.n == 0 && g.empty != nil {
		close(g.empty)
	}
}

// Close lets nothing more begin.
func (g *Group) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// Closed reports whether nothing may begin any more.
func (g *Group) Closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// Wait closes the Group, and waits until nothing is in flight, or for the end of ctx, whose
// error it returns.
func (g *Group) Wait(ctx context.Context) error {
	g.mu.Lock()
	g.closed = true
	if g.empty == nil {
		g.empty = make(chan struct{})
		if g.n == 0 {
			close(g.empty)
		}
	}
	g.mu.Unlock()
	select {
	case <-g.empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
