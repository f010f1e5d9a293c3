package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/broker"
	"switchboard/internal/backoff"
)

// consumer is one running Consume, through any number of connections.
type consumer struct {
	broker   *Broker
	spec     broker.Queue
	limit    func() int
	window   window
	handle   func(*broker.Delivery)
	declared bool          // at least once
	open     atomic.Int64  // unsettled deliveries, also of lost connections
	bytes    atomic.Int64  // of their bodies
	stuck    atomic.Bool   // a body waits that it must not receive, and that was not moved
	settled  chan struct{} // wakes finish and awaitRoom
}

// consumerTag names the consumers of a channel, of which there is one at a time; a number follows.
// A quorum queue takes two of one name for one consumer, and delivers again what the first holds.
// It marks as redelivered what it had handed out and not sent when the first ended.
const consumerTag = "switchboard-"

// errQueueGone says that RabbitMQ ended the consumer, as when its queue is deleted.
var errQueueGone = errors.New("RabbitMQ cancelled the consumer")

// Consume implements broker.Consumer.
func (b *Broker) Consume(ctx context.Context, q broker.Queue, prefetch int, handle func(*broker.Delivery)) error {
	return b.ConsumeWithin(ctx, q, broker.Fixed(prefetch), handle)
}

// ConsumeWithin implements broker.Consumer.
func (b *Broker) ConsumeWithin(ctx context.Context, q broker.Queue, limit func() int, handle func(*broker.Delivery)) error {
	if err := q.Check(); err != nil {
		return err
	}
	prefetch := limit()
	if prefetch < 1 || prefetch > math.MaxUint16 {
		return fmt.Errorf("consuming queue %q: the prefetch must be 1 to %d, not %d: %w", q.Name, math.MaxUint16, prefetch, broker.ErrInvalid)
	}
	c := &consumer{broker: b, spec: q, limit: limit, window: newWindow(prefetch), handle: handle, settled: make(chan struct{}, 1)}
	if !q.Temporary {
		b.tracker.begin(c)
		defer b.tracker.end(c)
	}
	if err := c.run(ctx); err != nil {
		return fmt.Errorf("consuming queue %q: %w", q.Name, err)
	}
	c.finish()
	return nil
}

// run consumes through connection after connection. It returns nil when ctx ends.
func (c *consumer) run(ctx context.Context) error {
	retry := backoff.Backoff{Min: firstRetry, Max: longestRetry}
	for {
		s, err := c.broker.consume.get(ctx, true)
		if err == nil && c.stuck.Load() {
			err = c.awaitMove(ctx)
		}
		if err == nil {
			var some bool
			if some, err = c.once(ctx, s); some {
				retry.Reset()
			}
			if c.isFatal(err) {
				return err
			}
			if s.socket.flooded.Load() {
				c.window.close()
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case c.broker.isClosing():
			return broker.ErrClosed
		case errors.Is(err, errLogin):
			return err
		case s != nil && !s.conn.IsClosed():
			c.broker.log.Warn("consuming again", "component", "broker", "queue", c.spec.Name, "error", err)
			retry.Wait(ctx)
		}
	}
}

// isFatal reports whether waiting cannot mend err. It can mend a temporary queue
// that is locked: RabbitMQ may not have noticed yet that its connection is gone.
func (c *consumer) isFatal(err error) bool {
	if c.spec.Temporary && c.declared && hasCode(err, amqp.ResourceLocked) {
		return false
	}
	return errors.Is(err, broker.ErrQueueMismatch) || errors.Is(err, errPermission)
}

// once consumes through one connection until that is lost or ctx ends. It reports
// whether it delivered anything.
func (c *consumer) once(ctx context.Context, s *session) (some bool, err error) {
	if c.broker.isClosing() {
		return false, broker.ErrClosed
	}
	ch, err := s.conn.Channel()
	if err != nil {
		return false, fmt.Errorf("opening channel: %w", err)
	}
	defer ch.Close()
	s.socket.consumers.Add(1)
	defer s.socket.consumers.Add(-1)
	closes := ch.NotifyClose(make(chan *amqp.Error, 1))
	q := c.queue()
	if err := declareQueue(ch, q); err != nil {
		return false, err
	}
	if !c.declared { // rebind reads it
		c.declared = true
	}
	if !q.Temporary { // those end with their connection
		s.socket.working.Add(1)
		defer s.socket.working.Add(-1)
		c.broker.topology.add(q)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go c.rebind(ctx)
	}
	acks := newAcks(ch, c.broker.metrics)
	sent := make(chan struct{})
	if !c.broker.consumers.Go(func() { defer close(sent); acks.run(c.broker.draining) }) {
		return false, broker.ErrClosed
	}
	defer func() { // before the channel is closed
		acks.stop()
		<-sent
	}()
	defer c.broker.tracker.mark(c, false)
	for n := 0; ; n++ {
		if !c.awaitRoom(ctx, s, acks) {
			return some, c.cancelled(s, acks)
		}
		tag := consumerTag + strconv.Itoa(n)
		if err := ch.Qos(c.window.size, 0, false); err != nil {
			return some, fmt.Errorf("setting the prefetch: %w", err)
		}
		deliveries, err := ch.Consume(q.Name, tag, false, false, false, false, nil)
		if err != nil {
			return some, fmt.Errorf("starting: %w", explain(err))
		}
		c.broker.tracker.mark(c, true)
		resize, err := c.deliver(ctx, s, deliveries, acks, &some)
		if err != nil {
			return some, whyClosed(closes, err)
		}
		if !resize {
			return some, c.cancel(s, ch, tag, deliveries, acks)
		}
		if err := ch.Cancel(tag, false); err != nil {
			return some, fmt.Errorf("resizing the prefetch: %w", err)
		}
		for d := range deliveries { // those of the old window, in their order
			if c.awaitRoom(ctx, s, acks) {
				c.deliverOne(s, &d, acks)
			} else {
				giveBack(s, &d, acks)
			}
		}
	}
}

// awaitRoom waits until the handlers hold less than the window and maxUnsettledBytes: RabbitMQ
// sends more for a moment when the window changes, as it does not count what the old one let
// through. What the handlers still hold of lost channels counts where it fills a window too: a
// consumer_timeout that passes again and again must not fill the memory with copies. It reports
// false when ctx ends, the connection is lost or the broker closes.
func (c *consumer) awaitRoom(ctx context.Context, s *session, acks *acks) bool {
	for c.bytes.Load() >= maxUnsettledBytes || acks.open.Load() >= int64(c.window.size) || c.open.Load() >= 2*int64(c.window.size) {
		select {
		case <-c.settled:
		case <-ctx.Done():
			return false
		case <-s.gone:
			return false
		case <-c.broker.closing:
			return false
		}
	}
	return true
}

// queue returns what to declare: first what was asked for, later what the topology
// has, so that a key that was unbound meanwhile stays unbound.
func (c *consumer) queue() broker.Queue {
	if c.declared {
		if q, known := c.broker.topology.get(c.spec.Name); known {
			return q
		}
	}
	return c.spec
}

// whyClosed returns RabbitMQ's reason for closing the channel, or err.
func whyClosed(closes <-chan *amqp.Error, err error) error {
	select {
	case e, ok := <-closes:
		if ok {
			return e
		}
	default:
	}
	return err
}

// deliver calls the handler until the window has changed, ctx ends, or the deliveries
// do: errQueueGone.
func (c *consumer) deliver(ctx context.Context, s *session, deliveries <-chan amqp.Delivery, acks *acks, some *bool) (resize bool, err error) {
	for {
		select {
		case d, more := <-deliveries:
			if ctx.Err() != nil || c.broker.isClosing() || more && !c.awaitRoom(ctx, s, acks) {
				if more {
					giveBack(s, &d, acks)
				}
				return false, nil
			}
			if !more {
				return false, errQueueGone
			}
			*some = true
			c.window.most = c.limit()
			if c.deliverOne(s, &d, acks); c.window.add(int(c.open.Load()), int(c.bytes.Load())) {
				return true, nil
			}
		case <-ctx.Done():
			return false, nil
		case <-c.broker.closing:
			return false, nil
		}
	}
}

// giveBack requeues what no handler is given.
func giveBack(s *session, d *amqp.Delivery, acks *acks) {
	s.socket.release(int64(len(d.Body)))
	acks.settle(acks.add(d.DeliveryTag), true)
}

func (c *consumer) deliverOne(s *session, d *amqp.Delivery, acks *acks) {
	u := acks.add(d.DeliveryTag)
	size := int64(len(d.Body))
	c.open.Add(1)
	c.bytes.Add(size)
	delivery := convert(c.spec.Name, d)
	delivery.Lost = acks.ch.IsClosed
	c.handle(broker.NewDelivery(delivery, func(requeue bool) {
		if acks.settle(u, requeue) {
			s.socket.release(size)
			c.open.Add(-1)
			c.bytes.Add(-size)
			select {
			case c.settled <- struct{}{}:
			default:
			}
		}
	}))
}

// cancel ends the consumer and requeues what no handler was given.
func (c *consumer) cancel(s *session, ch *amqp.Channel, tag string, deliveries <-chan amqp.Delivery, acks *acks) error {
	if err := ch.Cancel(tag, false); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	for d := range deliveries {
		giveBack(s, &d, acks)
	}
	return c.cancelled(s, acks)
}

// cancelled waits until all is settled and RabbitMQ knows.
func (c *consumer) cancelled(s *session, acks *acks) error {
	select {
	case <-acks.whenIdle():
		return nil
	case <-s.gone:
		return s.reason
	case <-c.broker.draining:
		return broker.ErrClosed
	}
}

// finish waits until the handlers have settled what they were given.
func (c *consumer) finish() {
	for c.open.Load() > 0 {
		select {
		case <-c.settled:
		case <-c.broker.draining:
			return
		}
	}
}
