package memory

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	"switchboard/broker"
)

// consumer is one running Consume. Guarded by the store's mutex.
type consumer struct {
	conn     *Broker
	spec     broker.Queue
	queue    *queue
	prefetch int
	inbox    fifo[item]  // given to this consumer, not yet handed out
	held     []*handedAt // handed out, not settled
	open     int         // handed out, not settled, counting those a cut has returned
	attached bool
	wake     chan struct{}
}

// handedAt is a body handed out and its place among those held.
type handedAt struct {
	item    item
	at      int
	gone    bool // returned by a cut or deleted with its queue
	settled bool
}

// Consume implements broker.Consumer.
func (b *Broker) Consume(ctx context.Context, q broker.Queue, prefetch int, handle func(*broker.Delivery)) error {
	if prefetch < 1 {
		return fmt.Errorf("consuming %q: the prefetch must be at least 1, not %d: %w", q.Name, prefetch, broker.ErrInvalid)
	}
	c := &consumer{conn: b, spec: q, prefetch: prefetch, wake: make(chan struct{}, 1)}
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

// attach declares the queue and takes a place among its consumers.
func (c *consumer) attach() error {
	s := c.conn.store
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.join()
}

func (c *consumer) join() error {
	if c.conn.refuses {
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

// next takes the next body out of the inbox; nil when there is none.
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
	h := &handedAt{item: c.inbox.pop(), at: len(c.held)}
	c.held = append(c.held, h)
	c.open++
	return c.delivery(h), nil
}

func (c *consumer) delivery(h *handedAt) *broker.Delivery {
	return broker.NewDelivery(broker.Delivery{
		Queue:       c.queue.name,
		Key:         h.item.key,
		Body:        bytes.Clone(h.item.body),
		Headers:     maps.Clone(h.item.headers),
		Redelivered: h.item.redelivered,
	}, func(requeue bool) { c.settle(h, requeue) })
}

func (c *consumer) settle(h *handedAt, requeue bool) {
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
	if h.gone {
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

// release takes h out of those held; the last one takes its place.
func (c *consumer) release(h *handedAt) {
	last := len(c.held) - 1
	c.held[h.at] = c.held[last]
	c.held[h.at].at = h.at
	c.held[last] = nil
	c.held = c.held[:last]
}

// giveBack returns everything unsettled to the queue, as a lost connection does.
func (c *consumer) giveBack() {
	c.returnInbox()
	for _, h := range c.held {
		h.gone = true
		h.item.redelivered = true
		c.queue.putBack(h.item)
	}
	clear(c.held)
	c.held = c.held[:0]
}

func (c *consumer) returnInbox() {
	for c.inbox.len() > 0 {
		c.queue.putBack(c.inbox.pop())
	}
}

// leave takes the consumer out of the queue's turn.
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

// detach ends the consumer, also after a panic of its handler: all it has
// returns to the queue.
func (c *consumer) detach() {
	s := c.conn.store
	s.mu.Lock()
	defer s.mu.Unlock()
	c.end()
}

func (c *consumer) end() {
	c.leave()
	c.giveBack()
	c.queue.feed()
	delete(c.conn.consumers, c)
}

// finish hands out nothing more and waits until all that was is settled.
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

func (c *consumer) hasRoom() bool { return c.inbox.len()+len(c.held) < c.prefetch }

func (c *consumer) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
