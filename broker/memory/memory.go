// Package memory is a broker inside the process: the promises of package broker
// with nothing installed, for the demo and for tests of whole fleets. What is in
// it ends with the process.
//
// It starts no goroutine that outlives its work and uses only channels, mutexes
// and timers, so it runs under testing/synctest.
package memory

import (
	"context"
	"fmt"
	"sync"

	"switchboard/broker"
)

// DefaultMaxBytes is how much all queues together hold unless Settings say otherwise.
const DefaultMaxBytes = 256 << 20

// DefaultPublishWindow is how many confirms may be outstanding on one connection
// unless Settings say otherwise.
const DefaultPublishWindow = 1000

// Settings of a memory broker; the zero value is ready to use.
type Settings struct {
	// MaxBytes bounds what all queues and delays hold together: bodies,
	// headers and a little for each. At the limit publishing blocks until
	// consumers have made room, as it would on RabbitMQ at its memory limit,
	// and State says so in Blocked.
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
	refuses     bool // Close has begun: nothing more is published
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

// Connect opens another connection to the same queues. What is unsettled on it
// returns to its queue when it, and only it, is closed.
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

// Cut does what a lost connection would: all that is unsettled returns to its
// queue at once, to come again with Redelivered set, and settling it later does
// nothing. Consumers go on.
func (b *Broker) Cut() {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	b.cuts++
	for c := range b.consumers {
		c.giveBack()
		c.queue.feed()
	}
}

// State implements broker.Broker. A connection in memory is up until it is closed.
func (b *Broker) State() broker.State {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	st := broker.State{Connected: !b.refuses, Reconnects: b.cuts}
	if b.refuses {
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
	b.refuses = true
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
