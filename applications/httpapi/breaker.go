package httpapi

import (
	"context"
	"sync"
	"time"

	"switchboard/internal/backoff"
	"switchboard/message"
)

const (
	// breakAfter is how many people's posts must fail in a row before nothing is posted for
	// a while: one message that the webhook cannot take does not stop the others.
	breakAfter = 5
	firstBreak = time.Second
	maxBreak   = 5 * time.Minute
	// probes is how many posts are at the webhook at once until one is taken again.
	probes = 5
)

// breaker keeps posts from a webhook that takes none. It opens when the posts of several
// lanes have failed with none taken in between, and closes after a gap that grows until one
// is taken.
type breaker struct {
	report func(open bool, until time.Time, err error)
	probe  chan struct{}

	mu      sync.Mutex
	failing map[string]bool
	gap     backoff.Backoff
	trying  bool // since it was open nothing has been taken
	until   time.Time
	closed  context.Context // ends when it opens
	open    context.CancelFunc
	opened  chan struct{} // closed when it closes; nil while it is closed
	timer   *time.Timer
}

func newBreaker(report func(open bool, until time.Time, err error)) *breaker {
	b := &breaker{
		report: report, probe: make(chan struct{}, probes), failing: map[string]bool{},
		gap: backoff.Backoff{Min: firstBreak, Max: maxBreak},
	}
	b.closed, b.open = context.WithCancel(context.Background())
	return b
}

// note notes the outcome of a post.
func (b *breaker) note(lane string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil || message.IsPermanent(err) { // it answers
		if b.trying {
			b.report(false, time.Time{}, nil)
		}
		b.trying = false
		b.gap.Reset()
		clear(b.failing)
		return
	}
	if b.opened != nil {
		return
	}
	if b.failing[lane] = true; len(b.failing) < breakAfter {
		return
	}
	clear(b.failing)
	gap := b.gap.Next()
	b.trying, b.until, b.opened = true, time.Now().Add(gap), make(chan struct{})
	b.open()
	b.report(true, b.until, err)
	b.timer = time.AfterFunc(gap, b.close)
}

func (b *breaker) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.open = context.WithCancel(context.Background())
	close(b.opened)
	b.opened = nil
}

// stop ends it for good.
func (b *breaker) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer != nil && b.timer.Stop() {
		close(b.opened)
		b.opened = nil
	}
	b.open()
}

func (b *breaker) isClosed() bool { return b.openUntil().IsZero() }

// openUntil is when it closes; zero while it is closed.
func (b *breaker) openUntil() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened == nil {
		return time.Time{}
	}
	return b.until
}

// probing is what a post must have a place in while it is not known whether the webhook
// takes any; nil when it does.
func (b *breaker) probing() chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trying {
		return b.probe
	}
	return nil
}

// wait waits until it is closed, and returns a context that ends when it opens. ok is false
// when ctx ends first.
func (b *breaker) wait(ctx context.Context) (closed context.Context, ok bool) {
	for {
		b.mu.Lock()
		closed, opened := b.closed, b.opened
		b.mu.Unlock()
		if ctx.Err() != nil {
			return nil, false
		}
		if opened == nil {
			return closed, true
		}
		select {
		case <-opened:
		case <-ctx.Done():
		}
	}
}
