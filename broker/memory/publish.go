package memory

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	"switchboard/broker"
)

// Publish implements broker.Publisher. It blocks while the queues are full.
func (b *Broker) Publish(ctx context.Context, p broker.Publication) error {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	return b.publish(ctx, p)
}

// PublishAsync implements broker.Publisher.
func (b *Broker) PublishAsync(ctx context.Context, p broker.Publication, done func(error)) {
	s := b.store
	s.mu.Lock()
	defer s.mu.Unlock()
	err := b.waitWindow(ctx)
	if err == nil {
		err = b.publish(ctx, p)
	}
	b.outstanding++
	s.confirms = append(s.confirms, confirm{b, done, err})
	if !s.confirming {
		s.confirming = true
		go s.runConfirms()
	}
}

func (b *Broker) waitWindow(ctx context.Context) error {
	for b.outstanding >= b.window && !b.closing {
		if err := b.store.waitChange(ctx); err != nil {
			return fmt.Errorf("waiting for outstanding confirms: %w", err)
		}
	}
	return nil
}

// confirm is a callback of PublishAsync to be run.
type confirm struct {
	broker *Broker
	done   func(error)
	err    error
}

// runConfirms runs callbacks until none is left.
func (s *store) runConfirms() {
	var batch []confirm
	for {
		s.mu.Lock()
		for _, c := range batch {
			c.broker.outstanding--
		}
		s.changed.broadcast()
		clear(batch)
		batch, s.confirms = s.confirms, batch[:0]
		s.confirming = len(batch) > 0
		s.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, c := range batch {
			c.done(c.err)
		}
	}
}

func (b *Broker) publish(ctx context.Context, p broker.Publication) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("publishing to %q: %w", p.Destination(), err)
	}
	if err := p.Check(); err != nil {
		return err
	}
	c := newContent(p)
	queues, err := b.admit(ctx, p, c.cost)
	if err != nil {
		return err
	}
	b.store.bytes += c.cost * int64(len(queues))
	if p.Delay > 0 {
		b.store.delay(p.Queue, c, p.Delay)
		return nil
	}
	for _, q := range queues {
		q.append(c)
	}
	return nil
}

// admit waits for room and returns the queues that the body goes to.
func (b *Broker) admit(ctx context.Context, p broker.Publication, cost int64) ([]*queue, error) {
	s := b.store
	b.waiting++
	defer func() { b.waiting-- }()
	for {
		if b.closing {
			return nil, fmt.Errorf("publishing to %q: %w", p.Destination(), broker.ErrClosed)
		}
		queues := s.route(p)
		need := cost * int64(len(queues))
		switch {
		case len(queues) == 0:
			return nil, fmt.Errorf("publishing to %q: %w", p.Destination(), broker.ErrUnroutable)
		case need > s.max:
			return nil, fmt.Errorf("publishing %d bytes to %q: the queues hold at most %d: %w", len(p.Body), p.Destination(), s.max, broker.ErrInvalid)
		case s.bytes+need <= s.max:
			return queues, nil
		}
		if err := s.waitChange(ctx); err != nil {
			return nil, fmt.Errorf("publishing to %q: waiting for room, the queues hold %d of %d bytes: %w", p.Destination(), s.bytes, s.max, err)
		}
	}
}

func (s *store) route(p broker.Publication) []*queue {
	if p.Queue == "" {
		return s.bindings[p.Key]
	}
	if q := s.queues[p.Queue]; q != nil {
		return []*queue{q}
	}
	return nil
}

func newContent(p broker.Publication) *content {
	cost := int64(len(p.Body)) + itemOverhead
	for k, v := range p.Headers {
		cost += int64(len(k) + len(v))
	}
	return &content{key: p.Destination(), body: bytes.Clone(p.Body), headers: maps.Clone(p.Headers), cost: cost}
}
