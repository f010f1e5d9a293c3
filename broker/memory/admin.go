package memory

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	"switchboard/broker"
)

// Declare implements broker.Admin.
func (b *Broker) Declare(ctx context.Context, q broker.Queue) error {
	if err := q.CheckDeclare(); err != nil {
		return err
	}
	return b.locked(ctx, func(s *store) error {
		_, err := s.declare(q)
		return err
	})
}

// Unbind implements broker.Admin.
func (b *Broker) Unbind(ctx context.Context, name, key string) error {
	return b.locked(ctx, func(s *store) error {
		q, err := s.find(name)
		if err != nil {
			return fmt.Errorf("unbinding key %q: %w", key, err)
		}
		s.unbind(q, key)
		return nil
	})
}

// Inspect implements broker.Admin.
func (b *Broker) Inspect(ctx context.Context, name string) (info broker.Info, err error) {
	err = b.locked(ctx, func(s *store) error {
		q, err := s.find(name)
		if err != nil {
			return fmt.Errorf("inspecting: %w", err)
		}
		info = broker.Info{Messages: q.len(), Consumers: len(q.consumers)}
		return nil
	})
	return info, err
}

// InspectAll implements broker.Admin.
func (b *Broker) InspectAll(ctx context.Context, names ...string) (map[string]broker.Info, error) {
	infos := make(map[string]broker.Info, len(names))
	err := b.locked(ctx, func(s *store) error {
		for _, name := range names {
			if q, err := s.find(name); err == nil {
				infos[name] = broker.Info{Messages: q.len(), Consumers: len(q.consumers)}
			}
		}
		return nil
	})
	return infos, err
}

// Delayed implements broker.Admin.
func (b *Broker) Delayed(ctx context.Context) (all []broker.Delayed, err error) {
	err = b.locked(ctx, func(s *store) error {
		counts := map[broker.Delayed]int{}
		for e := range s.delayed {
			counts[broker.Delayed{Queue: e.queue, Within: e.within}]++
		}
		for d, n := range counts {
			d.Bodies = n
			all = append(all, d)
		}
		return nil
	})
	return all, err
}

// Purge implements broker.Admin.
func (b *Broker) Purge(ctx context.Context, name string) (n int, err error) {
	err = b.locked(ctx, func(s *store) error {
		q, err := s.find(name)
		if err != nil {
			return fmt.Errorf("purging: %w", err)
		}
		n = q.purge()
		return nil
	})
	return n, err
}

func (q *queue) purge() int {
	n := q.len()
	for q.len() > 0 {
		q.store.free(q.pop().cost)
	}
	return n
}

// Delete implements broker.Admin. Running consumers of the queue declare it again, as
// on RabbitMQ.
func (b *Broker) Delete(ctx context.Context, name string) error {
	return b.locked(ctx, func(s *store) error {
		q := s.queues[name]
		if q == nil {
			return nil
		}
		s.remove(q)
		for _, c := range q.consumers {
			c.attached = false
			c.requeueAll()
			c.wakeUp()
		}
		q.consumers = nil
		return nil
	})
}

// remove deletes q, its bindings and its bodies.
func (s *store) remove(q *queue) {
	delete(s.queues, q.name)
	for key := range s.bindings {
		s.unbind(q, key)
	}
	q.purge()
	q.deleted = true
}

// Browse implements broker.Admin. The visited bodies are off the queue until the last
// visit returns; consumers see only those behind meanwhile.
func (b *Broker) Browse(ctx context.Context, name string, limit int, visit func(*broker.Delivery) (broker.Verdict, error)) error {
	var q *queue
	var items []item
	err := b.locked(ctx, func(s *store) (err error) {
		if q, err = s.find(name); err != nil {
			return fmt.Errorf("browsing: %w", err)
		}
		for len(items) < limit && q.len() > 0 {
			items = append(items, q.pop())
		}
		return nil
	})
	if err != nil {
		return err
	}
	kept, err := visitAll(ctx, q, items, visit)
	s := b.store
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, it := range items {
		if kept[i] {
			q.putBack(it)
		} else {
			s.free(it.cost)
		}
	}
	q.feed()
	return err
}

// visitAll returns which items stay on the queue: after a failed visit, all do.
func visitAll(ctx context.Context, q *queue, items []item, visit func(*broker.Delivery) (broker.Verdict, error)) ([]bool, error) {
	kept := make([]bool, len(items))
	for i := range kept {
		kept[i] = true
	}
	for i, it := range items {
		if err := ctx.Err(); err != nil {
			return kept, fmt.Errorf("browsing queue %q: %w", q.name, err)
		}
		verdict, err := visit(broker.NewDelivery(broker.Delivery{
			Queue: q.name, Key: it.key, Body: bytes.Clone(it.body), Headers: maps.Clone(it.headers), Redelivered: it.redelivered,
		}, func(bool) {}))
		if err != nil {
			return kept, err
		}
		kept[i] = verdict != broker.Remove
	}
	return kept, nil
}

func (b *Broker) locked(ctx context.Context, f func(*store) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	if b.closing {
		return broker.ErrClosed
	}
	return f(b.store)
}
