// Package memory implements broker.Broker inside the process, for the demo and for
// tests of fleets. Its queues end with the process. It runs under testing/synctest.
package memory

import (
	"context"
	"fmt"
	"sync"

	"switchboard/broker"
)

// DefaultMaxBytes is the default of Settings.MaxBytes.
const DefaultMaxBytes = 256 << 20

// DefaultPublishWindow is the default of Settings.PublishWindow.
const DefaultPublishWindow = 1000

// Settings of a memory broker; the zero value is ready to use.
type Settings struct {
	// MaxBytes bounds the bodies and headers of all queues and delays together.
	// At the limit publishing blocks, as on RabbitMQ at its memory limit, and
	// State.Blocked says so.
	MaxBytes int64
	// PublishWindow bounds the callbacks of PublishAsync not yet run.
	PublishWindow int
}

// Broker is one connection to queues in memory. Connect opens another one, as
// another process would on RabbitMQ.
type Broker struct {
	store     *store
	window    int
	closed    chan struct{} // closed by Close
	closeOnce sync.Once

	// Guarded by store.mu.
	closing     bool // Close has begun: nothing more is published
	outstanding int  // callbacks of PublishAsync not yet run
	waiting     int  // publishers waiting for room
	cuts        int
	consumers   map[*consumer]struct{}
}

var _ broker.Broker = (*Broker)(nil)

// New makes empty queues in memory and the first connection to them.
func New(s Settings) *Broker {
	if s.MaxBytes <= 0 {
		s.MaxBytes = DefaultMaxBytes
	}
	if s.PublishWindow <= 0 {
		s.PublishWindow = DefaultPublishWindow
	}
	return connect(newStore(s.MaxBytes), s.PublishWindow)
}

// Connect opens another connection to the same queues.
func (b *Broker) Connect() *Broker { return connect(b.store, b.window) }

func connect(s *store, window int) *Broker {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connections++; s.connections == 1 {
		s.resumeDelays()
	}
	return &Broker{
		store:     s,
		window:    window,
		closed:    make(chan struct{}),
		consumers: make(map[*consumer]struct{}),
	}
}

// Cut does what a lost connection does: all that is unsettled is requeued at once and
// comes again with Redelivered set; settling it later does nothing. Consumers go on.
func (b *Broker) Cut() {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	b.cuts++
	for c := range b.consumers {
		c.requeueAll()
		c.queue.feed()
	}
}

// State implements broker.Broker. A connection in memory is up until it is closed.
func (b *Broker) State() broker.State {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	st := broker.State{Connected: !b.closing, Reconnects: b.cuts}
	if b.closing {
		st.LastError = broker.ErrClosed
	}
	if b.waiting > 0 {
		st.Blocked = fmt.Sprintf("the queues hold %d of at most %d bytes", b.store.bytes, b.store.max)
	}
	return st
}

// Close implements broker.Broker. Publishers that wait for room get ErrClosed.
func (b *Broker) Close(ctx context.Context) error {
	err := b.drain(ctx)
	b.closeOnce.Do(b.disconnect)
	return err
}

func (b *Broker) drain(ctx context.Context) error {
	s := b.store
	s.mu.Lock()
	defer s.mu.Unlock()
	b.closing = true
	s.changed.broadcast()
	for b.outstanding > 0 {
		if err := s.waitChange(ctx); err != nil {
			return fmt.Errorf("closing with %d confirms outstanding: %w", b.outstanding, err)
		}
	}
	return nil
}

func (b *Broker) disconnect() {
	s := b.store
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range b.consumers {
		c.end()
	}
	if s.connections--; s.connections == 0 {
		s.suspendDelays()
	}
	close(b.closed)
}
