package memory

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"sync/atomic"

	"switchboard/broker"
)

// consumer is one running Consume. Guarded by the store's mutex.
type consumer struct {
	conn      *Broker
	spec      broker.Queue
	queue     *queue
	limit     func() int
	inbox     fifo[item] // assigned to this consumer, not yet delivered
	unsettled []*delivered
	open      int // unsettled deliveries, also those that Cut has requeued
	attached  bool
	wake      chan struct{}
}

// delivered is a delivered body and its index in unsettled.
type delivered struct {
	item    item
	at      int
	gone    atomic.Bool // requeued by Cut, or deleted with its queue
	settled bool
}

// Consume implements broker.Consumer.
func (b *Broker) Consume(ctx context.Context, q broker.Queue, prefetch int, handle func(*broker.Delivery)) error {
	return b.ConsumeWithin(ctx, q, broker.Fixed(prefetch), handle)
}

// ConsumeWithin implements broker.Consumer.
func (b *Broker) ConsumeWithin(ctx context.Context, q broker.Queue, limit func() int, handle func(*broker.Delivery)) error {
	if prefetch := limit(); prefetch < 1 {
		return fmt.Errorf("consuming %q: the prefetch must be at least 1, not %d: %w", q.Name, prefetch, broker.ErrInvalid)
	}
	c := &consumer{conn: b, spec: q, limit: limit, wake: make(chan struct{}, 1)}
	if err := c.attach(); err != nil {
		return err
	}
	defer c.detach()
	for ctx.Err() == nil {
		d, err := c.next()
		if err != nil {
			return err
		}
		if d != nil {
			handle(d)
			continue
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
		case <-b.closed:
			return fmt.Errorf("consuming %q: %w", q.Name, broker.ErrClosed)
		}
	}
	c.finish()
	return nil
}

// attach declares the queue and adds c to its consumers.
func (c *consumer) attach() error {
	s := c.conn.store
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.join()
}

func (c *consumer) join() error {
	if c.conn.closing {
		return fmt.Errorf("consuming %q: %w", c.spec.Name, broker.ErrClosed)
	}
	q, err := c.conn.store.declare(c.spec)
	if err != nil {
		return err
	}
	c.queue, c.attached = q, true
	q.consumers = append(q.consumers, c)
	c.conn.consumers[c] = struct{}{}
	q.feed()
	return nil
}

// next returns the next body of the inbox; nil when it is empty.
func (c *consumer) next() (*broker.Delivery, error) {
	s := c.conn.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.attached && c.queue.deleted {
		if err := c.join(); err != nil {
			return nil, err
		}
	}
	if c.inbox.len() == 0 {
		return nil, nil
	}
	h := &delivered{item: c.inbox.pop(), at: len(c.unsettled)}
	c.unsettled = append(c.unsettled, h)
	c.open++
	return c.delivery(h), nil
}

func (c *consumer) delivery(h *delivered) *broker.Delivery {
	return broker.NewDelivery(broker.Delivery{
		Queue:       c.queue.name,
		Key:         h.item.key,
		Body:        bytes.Clone(h.item.body),
		Headers:     maps.Clone(h.item.headers),
		Redelivered: h.item.redelivered,
		Lost:        h.gone.Load,
	}, func(requeue bool) { c.settle(h, requeue) })
}

func (c *consumer) settle(h *delivered, requeue bool) {
	s := c.conn.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.settled {
		return
	}
	h.settled = true
	if c.open--; c.open == 0 {
		c.wakeUp()
	}
	if h.gone.Load() {
		return
	}
	c.release(h)
	if requeue {
		h.item.redelivered = true
		c.queue.putBack(h.item)
	} else {
		s.free(h.item.cost)
	}
	c.queue.feed()
}

// release removes h from unsettled; the last one takes its index.
func (c *consumer) release(h *delivered) {
	last := len(c.unsettled) - 1
	c.unsettled[h.at] = c.unsettled[last]
	c.unsettled[h.at].at = h.at
	c.unsettled[last] = nil
	c.unsettled = c.unsettled[:last]
}

// requeueAll requeues everything unsettled, as a lost connection does.
func (c *consumer) requeueAll() {
	c.returnInbox()
	for _, h := range c.unsettled {
		h.gone.Store(true)
		h.item.redelivered = true
		c.queue.putBack(h.item)
	}
	clear(c.unsettled)
	c.unsettled = c.unsettled[:0]
}

func (c *consumer) returnInbox() {
	for c.inbox.len() > 0 {
		c.queue.putBack(c.inbox.pop())
	}
}

// leave removes c from the queue's consumers.
func (c *consumer) leave() {
	if !c.attached {
		return
	}
	c.attached = false
	left := c.queue.consumers[:0]
	for _, x := range c.queue.consumers {
		if x != c {
			left = append(left, x)
		}
	}
	clear(c.queue.consumers[len(left):])
	c.queue.consumers = left
	if c.queue.temporary {
		c.conn.store.remove(c.queue)
	}
}

// detach ends the consumer, also after a panic of its handler, and requeues all it has.
func (c *consumer) detach() {
	s := c.conn.store
	s.mu.Lock()
	defer s.mu.Unlock()
	c.end()
}

func (c *consumer) end() {
	c.leave()
	c.requeueAll()
	c.queue.feed()
	delete(c.conn.consumers, c)
}

// finish stops delivering and waits until all is settled.
func (c *consumer) finish() {
	s := c.conn.store
	s.mu.Lock()
	c.leave()
	c.returnInbox()
	c.queue.feed()
	s.mu.Unlock()
	for !c.idle() {
		select {
		case <-c.wake:
		case <-c.conn.closed:
			return
		}
	}
}

func (c *consumer) idle() bool {
	s := c.conn.store
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.open == 0
}

func (c *consumer) hasRoom() bool { return c.inbox.len()+len(c.unsettled) < c.limit() }

func (c *consumer) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
