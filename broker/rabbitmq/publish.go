package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/broker"
	"switchboard/internal/backoff"
)

// publisher publishes through the channel that is up, and waits while none is.
type publisher struct {
	broker    *Broker
	slots     chan struct{}  // one for each confirm outstanding
	callbacks sync.WaitGroup // goroutines that still run them

	mu         sync.Mutex
	channel    *confirmChannel // nil while there is none
	changed    chan struct{}
	returned   []publication // to be published again, in order
	resending  bool
	unroutable unroutable
}

// publication is a broker.Publication that holds a slot until done was called.
type publication struct {
	broker.Publication
	via   route
	done  func(error)
	again bool // RabbitMQ has returned it before
}

func newPublisher(b *Broker, window int) *publisher {
	return &publisher{broker: b, slots: make(chan struct{}, window), changed: make(chan struct{})}
}

// Publish implements broker.Publisher.
func (b *Broker) Publish(ctx context.Context, p broker.Publication) error {
	for {
		result := make(chan error, 1)
		if err := b.publisher.publish(ctx, p, func(err error) { result <- err }); errors.Is(err, broker.ErrLost) {
			continue
		} else if err != nil {
			return b.unpublished(p, err)
		}
		select {
		case err := <-result:
			if !errors.Is(err, broker.ErrLost) {
				return err
			}
			p.Headers = p.Headers.With(broker.HeaderAgain, "true") // it may be a second copy
			// The next round waits for a connection.
		case <-ctx.Done():
			return fmt.Errorf("publishing to %q: waiting for the confirm: %w", p.Destination(), ctx.Err())
		}
	}
}

// PublishAsync implements broker.Publisher.
func (b *Broker) PublishAsync(ctx context.Context, p broker.Publication, done func(error)) {
	if err := b.publisher.publish(ctx, p, done); err != nil {
		go done(b.unpublished(p, err))
	}
}

func (b *Broker) unpublished(p broker.Publication, err error) error {
	if errors.Is(err, broker.ErrInvalid) {
		b.metrics.published.WithLabelValues("invalid").Inc()
	}
	return fmt.Errorf("publishing to %q: %w", p.Destination(), err)
}

// publish returns an error when p was not sent; otherwise done is called.
func (u *publisher) publish(ctx context.Context, p broker.Publication, done func(error)) error {
	if err := p.Check(); err != nil {
		return err
	}
	via, err := u.broker.delays.route(ctx, p)
	if err != nil {
		return err
	}
	if err := u.takeSlot(ctx); err != nil {
		return err
	}
	if err := u.send(ctx, publication{Publication: p, via: via, done: done}); err != nil {
		<-u.slots
		return err
	}
	return nil
}

// send sends p through the channel that is up.
func (u *publisher) send(ctx context.Context, p publication) error {
	for {
		c, err := u.get(ctx)
		if err == nil {
			err = c.publish(ctx, p)
		}
		if !errors.Is(err, amqp.ErrClosed) {
			return err
		}
		// The channel has closed; get waits for the next one.
	}
}

func (u *publisher) takeSlot(ctx context.Context) error {
	if u.broker.isClosing() {
		return broker.ErrClosed
	}
	select {
	case u.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case u.slots <- struct{}{}:
		return nil
	case <-u.broker.closing:
		return broker.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("waiting for outstanding confirms: %w", ctx.Err())
	}
}

// get waits for a channel, and while RabbitMQ takes no bodies.
func (u *publisher) get(ctx context.Context) (*confirmChannel, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c, changed := u.current()
		if c != nil && !c.ch.IsClosed() {
			return c, nil
		}
		if err := u.broker.publish.pause(ctx, changed); err != nil {
			return nil, err
		}
	}
}

func (u *publisher) current() (*confirmChannel, <-chan struct{}) {
	l := u.broker.publish
	l.mu.Lock()
	blocked, unblocked := l.blocked != "", l.changed
	l.mu.Unlock()
	if blocked {
		return nil, unblocked
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.channel, u.changed
}

func (u *publisher) set(c *confirmChannel) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.channel = c
	close(u.changed)
	u.changed = make(chan struct{})
}

// serve keeps a channel open on a connection: RabbitMQ closes the channel, and only
// that, over a body that it refuses.
func (u *publisher) serve(ctx context.Context, s *session) error {
	for first := true; ; first = false {
		began := time.Now()
		c, err := u.open(s)
		if err != nil {
			return err
		}
		if first {
			u.broker.publish.offer(s)
		}
		u.set(c)
		select {
		case <-c.gone:
		case <-ctx.Done():
		}
		u.set(nil)
		if ctx.Err() != nil || s.conn.IsClosed() {
			return s.wait(ctx)
		}
		u.broker.log.Warn("RabbitMQ closed the publishing channel, opening another", "component", "broker", "error", c.reason)
		if time.Since(began) < lasted && !backoff.Sleep(ctx, backoff.Jitter(firstRetry)) {
			return ctx.Err()
		}
	}
}

// open opens a channel and declares again all that was declared, so that nothing is
// unroutable because RabbitMQ has lost a queue.
func (u *publisher) open(s *session) (*confirmChannel, error) {
	if err := u.broker.redeclare(s); err != nil {
		return nil, err
	}
	return newConfirmChannel(s, u)
}

// drain waits until no confirm is outstanding, and keeps the slots.
func (u *publisher) drain(ctx context.Context) error {
	for taken := range cap(u.slots) {
		select {
		case u.slots <- struct{}{}:
			continue
		default:
		}
		select {
		case u.slots <- struct{}{}:
		case <-u.broker.draining:
			return nil // a Close before this one has the slots
		case <-ctx.Done():
			return fmt.Errorf("closing with %d confirms outstanding: %w", cap(u.slots)-taken, ctx.Err())
		}
	}
	return nil
}
