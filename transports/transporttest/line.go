// Package transporttest holds transports to what package transports promises:
// one suite, run on each, and the Line that stands in for the fleet.
package transporttest

import (
	"context"
	"sync"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/transports"
)

// Patience is how long the suite waits for what must happen.
const Patience = 5 * time.Second

// Line is a transports.Line that keeps what it is given, for a test to look at.
// The zero value is not ready; use NewLine.
type Line struct {
	mu       sync.Mutex
	refusal  error
	held     chan struct{} // closed when Receive may go on; nil when nothing is held
	asked    chan *message.Message
	received chan *message.Message
	events   chan *message.Event
	statuses chan *message.Status
}

var _ transports.Publisher = (*Line)(nil)

// lineBuffer is how much a Line keeps; a test that needs more must look.
const lineBuffer = 4096

// NewLine makes a line that takes everything.
func NewLine() *Line {
	return &Line{
		asked:    make(chan *message.Message, lineBuffer),
		received: make(chan *message.Message, lineBuffer),
		events:   make(chan *message.Event, lineBuffer),
		statuses: make(chan *message.Status, lineBuffer),
	}
}

// Refuse makes Receive fail with err from now on; nil makes it work again.
func (l *Line) Refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusal = err
}

// Hold makes Receive wait, as it does while the broker is away, until release is
// called or Receive's context ends.
func (l *Line) Hold() (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := make(chan struct{})
	l.held = held
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.held = nil
		close(held)
	})
}

func (l *Line) verdict() (held <-chan struct{}, refusal error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held, l.refusal
}

// Inbound keeps a message, once it is neither held nor refused.
func (l *Line) Inbound(ctx context.Context, m *message.Message) error {
	held, refusal := l.verdict()
	l.asked <- m.Clone()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if refusal != nil {
		return refusal
	}
	l.received <- m.Clone()
	return nil
}

// Event keeps an event.
func (l *Line) Event(_ context.Context, e *message.Event) error {
	l.events <- e.Clone()
	return nil
}

// Status keeps a status.
func (l *Line) Status(_ context.Context, s *message.Status) error {
	select {
	case l.statuses <- s:
	default: // nobody looks; statuses are many and cheap
	}
	return nil
}

// Next is the next message that was received.
func (l *Line) Next(t testing.TB) *message.Message {
	t.Helper()
	return await(t, l.received, "a message to be received")
}

// Asked is the next message that Receive was called with, also when it was held
// or refused.
func (l *Line) Asked(t testing.TB) *message.Message {
	t.Helper()
	return await(t, l.asked, "Receive to be called")
}

// NextEvent is the next event that was reported.
func (l *Line) NextEvent(t testing.TB) *message.Event {
	t.Helper()
	return await(t, l.events, "an event to be reported")
}

// NextStatus is the next status.
func (l *Line) NextStatus(t testing.TB) *message.Status {
	t.Helper()
	return await(t, l.statuses, "a status")
}

func await[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(Patience):
		t.Fatalf("waited %s for %s", Patience, what)
	}
	panic("unreachable")
}

// Start runs a transport until the test ends or stop is called, and checks that
// it then ends cleanly and in time.
func Start(t testing.TB, tr transports.Transport, line transports.Publisher) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- tr.Run(ctx, line) }()
	var once sync.Once
	stop = func() {
		t.Helper()
		once.Do(func() {
			t.Helper()
			cancel()
			if err := await(t, ended, "Run to end"); err != nil {
				t.Errorf("Run ended with %v after a clean stop, want nil", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}
