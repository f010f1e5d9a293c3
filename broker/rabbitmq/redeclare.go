package rabbitmq

import (
	"context"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/broker"
	"switchboard/internal/backoff"
)

const (
	// redeclareEvery is how often publications that RabbitMQ returns make this
	// process declare everything again. Those that come meanwhile wait.
	redeclareEvery = time.Second
	// resendTimeout bounds how long a returned publication waits for a connection.
	resendTimeout = time.Minute
	// rebindEvery is how often a consumer declares its queue and bindings again:
	// nothing announces that a binding was deleted.
	rebindEvery = 30 * time.Second
	// unroutableFor is how long State names a key after its last return.
	unroutableFor = time.Minute
)

// unroutable is a key that this process has declared a queue for and that RabbitMQ
// returned a publication to.
type unroutable struct {
	key string
	at  time.Time
}

// resend publishes p again once everything is declared again. It reports false when p
// is unroutable: this process knows no queue for it, or it was returned twice.
func (u *publisher) resend(p publication) bool {
	if !u.broker.topology.routes(p.Publication) {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.unroutable = unroutable{p.Destination(), time.Now()}
	if p.again {
		return false
	}
	u.returned = append(u.returned, p)
	if !u.resending {
		u.resending = true
		u.callbacks.Go(u.resendAll)
	}
	return true
}

// routed clears what State says of returns.
func (u *publisher) routed() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.unroutable = unroutable{}
}

func (u *publisher) unroutableKey() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if time.Since(u.unroutable.at) > unroutableFor {
		return ""
	}
	return u.unroutable.key
}

func (u *publisher) resendAll() {
	for batch := u.takeReturned(); len(batch) > 0; batch = u.takeReturned() {
		ctx, cancel := context.WithTimeout(context.Background(), resendTimeout)
		u.redeclare(ctx, batch[0].Destination())
		for _, p := range batch {
			p.again = true
			if err := u.reroute(ctx, p); err != nil {
				p.done(fmt.Errorf("publishing to %q again: %w (%w)", p.Destination(), broker.ErrLost, err))
				<-u.slots
			}
		}
		cancel()
		select {
		case <-time.After(redeclareEvery):
		case <-u.broker.closing:
		}
	}
}

func (u *publisher) takeReturned() []publication {
	u.mu.Lock()
	defer u.mu.Unlock()
	batch := u.returned
	u.returned, u.resending = nil, len(batch) > 0
	return batch
}

func (u *publisher) reroute(ctx context.Context, p publication) (err error) {
	if p.via, err = u.broker.delays.route(ctx, p.Publication); err != nil {
		return err
	}
	return u.send(ctx, p)
}

func (u *publisher) redeclare(ctx context.Context, key string) {
	u.broker.metrics.redeclarations.Inc()
	u.broker.log.Warn("RabbitMQ returned a publication that this process has declared a queue for: declaring everything again",
		"component", "broker", "key", key)
	s, err := u.broker.consume.get(ctx, false)
	if err == nil {
		err = u.broker.redeclare(s)
	}
	if err != nil {
		u.broker.log.Error("declaring again", "component", "broker", "error", err)
	}
}

// redeclare declares all that this process has declared. It fails only when the
// connection is lost.
func (b *Broker) redeclare(s *session) error {
	if err := withChannel(s, declareExchange); err != nil {
		return err
	}
	b.delays.reset()
	for _, q := range b.topology.all() {
		err := withChannel(s, func(ch *amqp.Channel) error { return declareQueue(ch, q) })
		switch {
		case err == nil:
		case lost(s, err):
			return err
		default:
			b.log.Error("declaring a queue again", "component", "broker", "queue", q.Name, "error", err)
		}
	}
	return nil
}

// rebind declares the consumer's queue and bindings again and again until ctx ends.
func (c *consumer) rebind(ctx context.Context) {
	for backoff.Sleep(ctx, rebindEvery) {
		err := c.broker.onChannel(ctx, func(ch *amqp.Channel) error { return declareQueue(ch, c.queue()) })
		if err != nil && ctx.Err() == nil {
			c.broker.log.Warn("declaring a queue and its bindings again", "component", "broker", "queue", c.spec.Name, "error", err)
		}
	}
}
