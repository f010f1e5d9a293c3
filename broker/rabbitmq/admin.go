package rabbitmq

import (
	"context"
	"errors"
	"fmt"

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
func (b *Broker) Inspect(ctx context.Context, queue string) (info broker.Info, err error) {
	err = b.onChannel(ctx, func(ch *amqp.Channel) error {
		q, err := inspect(ch, queue)
		info = broker.Info{Messages: q.Messages, Consumers: q.Consumers}
		return err
	})
	if err != nil {
		return broker.Info{}, fmt.Errorf("inspecting queue %q: %w", queue, err)
	}
	return info, nil
}

// Delayed implements broker.Admin. Delay queues exist from their first use on.
func (b *Broker) Delayed(ctx context.Context) (n int, err error) {
	for _, step := range b.delays.steps {
		for _, kind := range [...]broker.QueueType{broker.Classic, broker.Quorum} {
			info, err := b.Inspect(ctx, stepName(step, kind))
			if err != nil && !errors.Is(err, broker.ErrNoQueue) {
				return 0, fmt.Errorf("counting delayed bodies: %w", err)
			}
			n += info.Messages
		}
	}
	return n, nil
}

// inspect asks for a queue without declaring it, so its arguments do not matter.
func inspect(ch *amqp.Channel, queue string) (amqp.Queue, error) {
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		return q, explain(err)
	}
	return q, nil
}

// Purge implements broker.Admin.
func (b *Broker) Purge(ctx context.Context, queue string) (n int, err error) {
	err = b.onChannel(ctx, func(ch *amqp.Channel) error {
		n, err = ch.QueuePurge(queue, false)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("purging queue %q: %w", queue, explain(err))
	}
	return n, nil
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
// their place, marked as redelivered. A lost connection ends it with ErrLost; all
// bodies but those removed are back then.
func (b *Broker) Browse(ctx context.Context, queue string, limit int, visit func(*broker.Delivery) (broker.Verdict, error)) error {
	s, err := b.consume.get(ctx, false)
	if err != nil {
		return fmt.Errorf("browsing queue %q: %w", queue, err)
	}
	return withChannel(s, func(ch *amqp.Channel) error {
		if _, err := inspect(ch, queue); err != nil {
			return fmt.Errorf("browsing queue %q: %w", queue, err)
		}
		last, err := browse(ctx, ch, queue, limit, visit)
		if last > 0 && !ch.IsClosed() {
			if e := ch.Nack(last, true, true); err == nil && e != nil {
				err = fmt.Errorf("browsing queue %q: putting bodies back: %w", queue, broker.ErrLost)
			}
		}
		return err
	})
}

// browse returns the delivery tag of the last body it kept.
func browse(ctx context.Context, ch *amqp.Channel, queue string, limit int, visit func(*broker.Delivery) (broker.Verdict, error)) (last uint64, err error) {
	for range limit {
		if err := ctx.Err(); err != nil {
			return last, fmt.Errorf("browsing queue %q: %w", queue, err)
		}
		d, ok, err := ch.Get(queue, false)
		if err != nil {
			return last, fmt.Errorf("browsing queue %q: %w (%w)", queue, broker.ErrLost, err)
		}
		if !ok {
			return last, nil
		}
		verdict, err := visit(broker.NewDelivery(convert(queue, &d), func(bool) {}))
		if err != nil || verdict != broker.Remove {
			last = d.DeliveryTag
		}
		if err != nil {
			return last, err
		}
		if verdict == broker.Remove {
			if err := ch.Ack(d.DeliveryTag, false); err != nil {
				return last, fmt.Errorf("browsing queue %q: %w (%w)", queue, broker.ErrLost, err)
			}
		}
	}
	return last, nil
}
