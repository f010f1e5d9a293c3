// Package transporttest holds transports to what package transports promises:
// one suite, run on each, and the Publisher that stands in for the fleet.
package transporttest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/transports"
)

// Patience is how long the suite waits for what must happen.
const Patience = 15 * time.Second

// Publisher is a transports.Publisher that keeps what it is given, for a test to look at.
// The zero value is not ready; use NewPublisher.
type Publisher struct {
	mu       sync.Mutex
	refusal  error
	held     chan struct{} // closed when Inbound may go on; nil when nothing is held
	asked    chan *message.Message
	received chan *message.Message
	events   chan *message.Event
	statuses chan *message.Status
	text     strings.Builder // of all that it was given
}

var _ transports.Publisher = (*Publisher)(nil)

// publisherBuffer is how much a Publisher keeps; a test that needs more must look.
const publisherBuffer = 4096

// NewPublisher makes one that takes everything.
func NewPublisher() *Publisher {
	return &Publisher{
		asked:    make(chan *message.Message, publisherBuffer),
		received: make(chan *message.Message, publisherBuffer),
		events:   make(chan *message.Event, publisherBuffer),
		statuses: make(chan *message.Status, publisherBuffer),
	}
}

// Refuse makes Inbound fail with err from now on; nil makes it work again.
func (p *Publisher) Refuse(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusal = err
}

// Hold makes Inbound wait, as it does while the broker is away, until release is
// called or its context ends.
func (p *Publisher) Hold() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := make(chan struct{})
	p.held = held
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.held = nil
		close(held)
	})
}

func (p *Publisher) note(body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(body)
}

// printed is all that others could read.
func (p *Publisher) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

func (p *Publisher) answer() (held <-chan struct{}, refusal error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held, p.refusal
}

// Inbound keeps a message, once it is neither held nor refused.
func (p *Publisher) Inbound(ctx context.Context, m *message.Message) error {
	held, refusal := p.answer()
	p.note(m.Encode())
	p.asked <- m.Clone()
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
	p.received <- m.Clone()
	return nil
}

// Event keeps an event.
func (p *Publisher) Event(_ context.Context, e *message.Event) error {
	p.note(e.Encode())
	p.events <- e.Clone()
	return nil
}

// Status keeps a status.
func (p *Publisher) Status(_ context.Context, s *message.Status) error {
	p.note(s.Encode())
	select {
	case p.statuses <- s:
	default: // nobody looks; statuses are many and cheap
	}
	return nil
}

// Next is the next message that was received.
func (p *Publisher) Next(t testing.TB) *message.Message {
	t.Helper()
	return await(t, p.received, "a message to be received")
}

// All takes the messages that were received so far.
func (p *Publisher) All() (list []*message.Message) {
	for {
		select {
		case m := <-p.received:
			list = append(list, m)
		default:
			return list
		}
	}
}

// Asked is the next message that Inbound was called with, also when it was held
// or refused.
func (p *Publisher) Asked(t testing.TB) *message.Message {
	t.Helper()
	return await(t, p.asked, "Inbound to be called")
}

// NextEvent is the next event that was reported.
func (p *Publisher) NextEvent(t testing.TB) *message.Event {
	t.Helper()
	return await(t, p.events, "an event to be reported")
}

// PeekEvent is the next event, if one was reported already.
func (p *Publisher) PeekEvent() (e *message.Event, there bool) {
	select {
	case e = <-p.events:
		return e, true
	default:
		return nil, false
	}
}

// NextStatus is the next status.
func (p *Publisher) NextStatus(t testing.TB) *message.Status {
	t.Helper()
	return await(t, p.statuses, "a status")
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
func Start(t testing.TB, tr transports.Transport, out transports.Publisher) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- tr.Run(ctx, out) }()
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
