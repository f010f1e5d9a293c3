package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/broker"
	"switchboard/internal/backoff"
)

// consumer is one running Consume, through any number of connections.
type consumer struct {
	broker   *Broker
	spec     broker.Queue
	prefetch int
	handle   func(*broker.Delivery)
	declared bool          // at least once
	open     atomic.Int64  // handed out and not settled, those of lost connections too
	settled  chan struct{} // wakes finish
}

// consumerTag names the one consumer of a channel.
const consumerTag = "switchboard"

// errQueueGone: RabbitMQ has ended the consumer, as it does when the queue is deleted.
var errQueueGone = errors.New("RabbitMQ cancelled the consumer")

// Consume implements broker.Consumer.
func (b *Broker) Consume(ctx context.Context, q broker.Queue, prefetch int, handle func(*broker.Delivery)) error {
	if err := q.Check(); err != nil {
		return err
	}
	if prefetch < 1 || prefetch > math.MaxUint16 {
		return fmt.Errorf("consuming queue %q: the prefetch must be 1 to %d, not %d: %w", q.Name, math.MaxUint16, prefetch, broker.ErrInvalid)
	}
	c := &consumer{broker: b, spec: q, prefetch: prefetch, handle: handle, settled: make(chan struct{}, 1)}
	if !q.Temporary {
		b.attendance.begin(c)
		defer b.attendance.end(c)
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
		if err == nil {
			var some bool
			if some, err = c.once(ctx, s); some {
				retry.Reset()
			}
			if c.hopeless(err) {
				return err
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

// hopeless errors are returned: waiting cannot mend them. That a temporary queue
// is another's can be: RabbitMQ may not have noticed yet that the connection it
// belonged to is gone.
func (c *consumer) hopeless(err error) bool {
	if c.spec.Temporary && c.declared && hasCode(err, amqp.ResourceLocked) {
		return false
	}
	return errors.Is(err, broker.ErrQueueMismatch) || errors.Is(err, errPermission)
}

// once consumes through one connection until that is lost or ctx ends. It says
// whether it handed out any.
func (c *consumer) once(ctx context.Context, s *session) (some bool, err error) {
	if c.broker.isClosing() {
		return false, broker.ErrClosed
	}
	ch, err := s.conn.Channel()
	if err != nil {
		return false, fmt.Errorf("opening channel: %w", err)
	}
	defer ch.Close()
	closes := ch.NotifyClose(make(chan *amqp.Error, 1))
	q := c.queue()
	if err := declareQueue(ch, q); err != nil {
		return false, err
	}
	if !q.Temporary { // those live and die with their consumer's connection
		c.broker.topology.add(q)
	}
	c.declared = true
	if err := ch.Qos(c.prefetch, 0, false); err != nil {
		return false, fmt.Errorf("setting the prefetch: %w", err)
	}
	deliveries, err := ch.Consume(q.Name, consumerTag, false, false, false, false, nil)
	if err != nil {
		return false, fmt.Errorf("starting: %w", explain(err))
	}
	c.broker.attendance.mark(c, true)
	defer c.broker.attendance.mark(c, false)
	acks := newAcks(ch, c.broker.metrics)
	if !c.broker.consumers.goFunc(func() { acks.run(c.broker.parting) }) {
		return false, broker.ErrClosed
	}
	defer acks.stop()
	if some, err = c.handOut(ctx, deliveries, acks); err != nil {
		return some, whyClosed(closes, err)
	}
	return some, c.windUp(s, ch, deliveries, acks)
}

// queue is what to declare: at first what was asked for; then what has become
// of that, so that a key taken away meanwhile does not come back.
func (c *consumer) queue() broker.Queue {
	if c.declared {
		if q, known := c.broker.topology.get(c.spec.Name); known {
			return q
		}
	}
	return c.spec
}

// whyClosed is the reason RabbitMQ gave for closing the channel, if it did.
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

// handOut calls the handler until the deliveries end, with an error, or ctx does.
func (c *consumer) handOut(ctx context.Context, deliveries <-chan amqp.Delivery, acks *acks) (some bool, err error) {
	for {
		select {
		case d, more := <-deliveries:
			if ctx.Err() != nil || c.broker.isClosing() {
				if more {
					acks.settle(acks.add(d.DeliveryTag), true)
				}
				return some, nil
			}
			if !more {
				return some, errQueueGone
			}
			some = true
			c.handOne(&d, acks)
		case <-ctx.Done():
			return some, nil
		case <-c.broker.closing:
			return some, nil
		}
	}
}

func (c *consumer) handOne(d *amqp.Delivery, acks *acks) {
	u := acks.add(d.DeliveryTag)
	c.open.Add(1)
	c.handle(broker.NewDelivery(convert(c.spec.Name, d), func(requeue bool) {
		if acks.settle(u, requeue) && c.open.Add(-1) == 0 {
			select {
			case c.settled <- struct{}{}:
			default:
			}
		}
	}))
}

// windUp cancels the consumer, returns what was not handed out, and waits until
// the rest is settled and RabbitMQ knows.
func (c *consumer) windUp(s *session, ch *amqp.Channel, deliveries <-chan amqp.Delivery, acks *acks) error {
	if err := ch.Cancel(consumerTag, false); err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	for d := range deliveries {
		acks.settle(acks.add(d.DeliveryTag), true)
	}
	select {
	case <-acks.whenIdle():
		return nil
	case <-s.gone:
		return s.reason
	case <-c.broker.parting:
		return broker.ErrClosed
	}
}

// finish waits until the handlers are done with what they were given.
func (c *consumer) finish() {
	for c.open.Load() > 0 {
		select {
		case <-c.settled:
		case <-c.broker.parting:
			return
		}
	}
}
