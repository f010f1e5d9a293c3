package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/broker"
	"switchboard/internal/backoff"
)

// onChannel runs op on a new channel of the consuming connection, again after a lost
// connection. When ctx ends while RabbitMQ does not answer, op is abandoned: it
// ends with its connection.
func (b *Broker) onChannel(ctx context.Context, op func(*amqp.Channel) error) error {
	for {
		if b.isClosing() {
			return broker.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		s, err := b.consume.get(ctx, false)
		if err != nil {
			return err
		}
		err = b.inTime(ctx, s, op)
		if err == nil || ctx.Err() != nil || !lost(s, err) {
			return err
		}
		if !backoff.Sleep(ctx, backoff.Jitter(firstRetry)) {
			return ctx.Err()
		}
	}
}

func (b *Broker) inTime(ctx context.Context, s *session, op func(*amqp.Channel) error) error {
	result := make(chan error, 1)
	go func() { result <- withChannel(s, op) }()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("waiting for RabbitMQ on %s to answer: %w", b.consume.dialer.host, ctx.Err())
	}
}

func withChannel(s *session, op func(*amqp.Channel) error) error {
	ch, err := s.conn.Channel()
	if err != nil {
		return fmt.Errorf("opening channel: %w", err)
	}
	defer ch.Close()
	return op(ch)
}

// Declare implements broker.Admin.
func (b *Broker) Declare(ctx context.Context, q broker.Queue) error {
	if err := q.CheckDeclare(); err != nil {
		return err
	}
	if b.consume.state().connected && !b.isClosing() && b.topology.fresh(q) {
		return nil
	}
	err := b.onChannel(ctx, func(ch *amqp.Channel) error { return declareQueue(ch, q) })
	if err != nil {
		return fmt.Errorf("declaring queue %q: %w", q.Name, err)
	}
	b.topology.add(q)
	return nil
}

// Unbind implements broker.Admin.
func (b *Broker) Unbind(ctx context.Context, queue, key string) error {
	b.topology.unbind(queue, key)
	err := b.onChannel(ctx, func(ch *amqp.Channel) error {
		if _, err := inspect(ch, queue); err != nil {
			return err
		}
		return ch.QueueUnbind(queue, key, broker.Exchange, nil)
	})
	if err != nil {
		return fmt.Errorf("unbinding key %q from queue %q: %w", key, queue, err)
	}
	return nil
}

// Inspect implements broker.Admin.
func (b *Broker) Inspect(ctx context.Context, queue string) (broker.Info, error) {
	var info broker.Info // may be written after ctx ended: not a result
	err := b.onChannel(ctx, func(ch *amqp.Channel) error {
		q, err := inspect(ch, queue)
		info = broker.Info{Messages: q.Messages, Consumers: q.Consumers}
		return err
	})
	if err != nil {
		return broker.Info{}, fmt.Errorf("inspecting queue %q: %w", queue, err)
	}
	return info, nil
}

// InspectAll implements broker.Admin. It asks on one channel; RabbitMQ closes
// that after the question for a queue that does not exist.
func (b *Broker) InspectAll(ctx context.Context, queues ...string) (map[string]broker.Info, error) {
	infos := make(map[string]broker.Info, len(queues))
	for rest := queues; len(rest) > 0; {
		err := b.onChannel(ctx, func(ch *amqp.Channel) error {
			for len(rest) > 0 {
				q, err := inspect(ch, rest[0])
				if err != nil && !errors.Is(err, broker.ErrNoQueue) {
					return err
				}
				if err == nil {
					infos[rest[0]] = broker.Info{Messages: q.Messages, Consumers: q.Consumers}
				}
				if rest = rest[1:]; err != nil {
					return nil
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("inspecting queues: %w", err)
		}
	}
	return infos, nil
}

// Delayed implements broker.Admin. Delay queues exist from their first use on.
func (b *Broker) Delayed(ctx context.Context) (all []broker.Delayed, err error) {
	steps := map[string]time.Duration{}
	for _, step := range b.delays.steps {
		for _, kind := range [...]broker.QueueType{broker.Classic, broker.Quorum} {
			steps[stepName(step, kind)] = step
		}
	}
	infos, err := b.InspectAll(ctx, slices.Sorted(maps.Keys(steps))...)
	for name, info := range infos {
		if info.Messages > 0 && err == nil {
			var found []broker.Delayed
			found, err = b.delayedIn(ctx, name, info.Messages, steps[name])
			all = append(all, found...)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("counting delayed bodies: %w", err)
	}
	return all, nil
}

// delayedIn looks at the n bodies of a delay queue: their key is the queue they return to.
func (b *Broker) delayedIn(ctx context.Context, name string, n int, step time.Duration) (all []broker.Delayed, err error) {
	counts, seen, size := map[string]int{}, 0, 0
	err = b.Browse(ctx, name, min(n, broker.MaxDelayedLook), func(d *broker.Delivery) (broker.Verdict, error) {
		counts[d.Key]++
		seen++
		if size += len(d.Body); size > maxDelayedBytes {
			return broker.Keep, errLookedEnough
		}
		return broker.Keep, nil
	})
	if err != nil && !errors.Is(err, errLookedEnough) {
		return nil, err
	}
	if n > seen {
		counts[""] = n - seen
	}
	for queue, bodies := range counts {
		all = append(all, broker.Delayed{Queue: queue, Within: step, Bodies: bodies})
	}
	return all, nil
}

// maxDelayedBytes bounds what a look at one step of delay reads.
const maxDelayedBytes = 64 << 20

var errLookedEnough = errors.New("enough was looked at")

// inspect asks for a queue without declaring it, so its arguments do not matter.
func inspect(ch *amqp.Channel, queue string) (amqp.Queue, error) {
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		return q, explain(err)
	}
	return q, nil
}

// Purge implements broker.Admin.
func (b *Broker) Purge(ctx context.Context, queue string) (int, error) {
	var purged int // as in Inspect
	err := b.onChannel(ctx, func(ch *amqp.Channel) (err error) {
		purged, err = ch.QueuePurge(queue, false)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("purging queue %q: %w", queue, explain(err))
	}
	return purged, nil
}

// Delete implements broker.Admin. It succeeds when there is no such queue. Running
// consumers of the queue declare it again.
func (b *Broker) Delete(ctx context.Context, queue string) error {
	b.topology.forget(queue)
	b.delays.forget(queue)
	err := b.onChannel(ctx, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(queue, false, false, false)
		return err
	})
	if err != nil && !hasCode(err, amqp.NotFound) {
		return fmt.Errorf("deleting queue %q: %w", queue, explain(err))
	}
	return nil
}

// Browse implements broker.Admin. All visited bodies are unsettled until the last
// visit returns; consumers see only those behind meanwhile. Kept bodies return to
// their place, marked as redelivered; it returns when they are there, so that the
// next Browse sees them all. A lost connection ends it with ErrLost; all bodies but
// those removed are back then.
func (b *Broker) Browse(ctx context.Context, queue string, limit int, visit func(*broker.Delivery) (broker.Verdict, error)) error {
	s, err := b.consume.get(ctx, false)
	if err != nil {
		return fmt.Errorf("browsing queue %q: %w", queue, err)
	}
	kept := 0
	if b.deadLetter != nil {
		kept, err = b.browseApart(ctx, queue, limit, visit)
	} else {
		kept, err = browseOn(ctx, s, queue, limit, visit)
	}
	if !errors.Is(err, broker.ErrLost) {
		b.awaitReturn(ctx, queue, kept)
	}
	return err
}

// browseApart browses through a connection of its own: on that of the consumers a body over
// broker.MaxBody would end it for all of them.
func (b *Broker) browseApart(ctx context.Context, queue string, limit int, visit func(*broker.Delivery) (broker.Verdict, error)) (kept int, err error) {
	connected := false
	reason := b.browse.once(ctx, func(ctx context.Context, s *session) error {
		connected = true
		go func() {
			select {
			case <-b.draining:
				s.socket.out.Fail(broker.ErrClosed)
			case <-s.gone:
			}
		}()
		kept, err = browseOn(ctx, s, queue, limit, visit)
		return nil
	})
	switch {
	case !connected:
		return 0, fmt.Errorf("browsing queue %q: %w (%w)", queue, broker.ErrLost, reason)
	case errors.Is(err, broker.ErrLost) && reason != nil:
		return kept, fmt.Errorf("%w: %w", err, reason)
	}
	return kept, err
}

// browseOn returns also how many bodies are left, as far as it knows.
func browseOn(ctx context.Context, s *session, queue string, limit int, visit func(*broker.Delivery) (broker.Verdict, error)) (kept int, err error) {
	s.socket.consumers.Add(1)
	defer s.socket.consumers.Add(-1)
	err = withChannel(s, func(ch *amqp.Channel) error {
		before, err := inspect(ch, queue)
		if err != nil {
			return fmt.Errorf("browsing queue %q: %w", queue, err)
		}
		kept = before.Messages
		return browse(ctx, ch, queue, limit, func(d *broker.Delivery) (broker.Verdict, error) {
			verdict, err := visit(d)
			s.socket.release(int64(len(d.Body)))
			if err == nil && verdict == broker.Remove {
				kept--
			}
			return verdict, err
		})
	})
	return kept, err
}

const (
	returnPoll     = 20 * time.Millisecond
	returnPatience = 2 * time.Second
)

// awaitReturn waits until n bodies are ready: RabbitMQ needs about a millisecond for
// each that a closed channel had not settled. It gives up when no more return, as
// when consumers take them.
func (b *Broker) awaitReturn(ctx context.Context, queue string, n int) {
	most, since := 0, time.Now()
	for time.Since(since) < returnPatience {
		q, err := b.Inspect(ctx, queue)
		if err != nil || q.Messages >= n || q.Consumers > 0 || !backoff.Sleep(ctx, returnPoll) {
			return
		}
		if q.Messages > most {
			most, since = q.Messages, time.Now()
		}
	}
}

// browse visits bodies and acknowledges those to be removed. What it keeps returns when
// the channel is closed: quorum queues of RabbitMQ 3.10 do not return thousands that
// are rejected at once.
func browse(ctx context.Context, ch *amqp.Channel, queue string, limit int, visit func(*broker.Delivery) (broker.Verdict, error)) error {
	for range limit {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("browsing queue %q: %w", queue, err)
		}
		d, ok, err := ch.Get(queue, false)
		if err != nil {
			return fmt.Errorf("browsing queue %q: %w (%w)", queue, broker.ErrLost, err)
		}
		if !ok {
			return nil
		}
		verdict, err := visit(broker.NewDelivery(convert(queue, &d), func(bool) {}))
		if err != nil {
			return err
		}
		if verdict == broker.Remove {
			if err := ch.Ack(d.DeliveryTag, false); err != nil {
				return fmt.Errorf("browsing queue %q: %w (%w)", queue, broker.ErrLost, err)
			}
		}
	}
	return nil
}
