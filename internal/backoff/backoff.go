// Package backoff spaces out the attempts of a loop: delays that double, with
// jitter, so that a fleet does not come back as one.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the delays of one loop. It is for one goroutine.
type Backoff struct {
	Min, Max time.Duration // the first delay and the longest, before jitter

	delay time.Duration
}

// Next returns the next delay: Jitter of one that doubles from Min to Max.
func (b *Backoff) Next() time.Duration {
	b.delay = min(max(2*b.delay, b.Min), b.Max)
	return Jitter(b.delay)
}

// Reset makes Min the next delay again.
func (b *Backoff) Reset() { b.delay = 0 }

// Wait waits for the next delay. It reports false when ctx ends first.
func (b *Backoff) Wait(ctx context.Context) bool { return Sleep(ctx, b.Next()) }

// Jitter returns a random duration between half of d and d.
func Jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }

// Every does something again and again, pause after pause, until ctx ends.
func Every(ctx context.Context, pause time.Duration, do func(now time.Time)) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			do(now)
		}
	}
}

// Sleep waits for d. It reports false when ctx ends first.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
