package rabbitmq

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/broker"
)

// Each step of delay is a fanout exchange and a durable queue, declared on first use,
// such as switchboard.delay.9s. RabbitMQ dead-letters expired bodies from it to the
// default exchange. Their routing key is the name of the target queue, so a retry
// returns to that queue alone.
//
// Bodies expire only at the head of a queue, so one may wait for those before it,
// but none longer than the step. The delay of each body is drawn from 80 to 100 % of
// what was asked: what failed together does not come back together.
//
// Between quorum queues, dead-lettering is at-least-once: a body stays on the delay
// queue until its target has it. Between classic queues it is not: RabbitMQ loses a
// body whose target was deleted, and bodies that expire while it is killed. The
// target is therefore declared again before each delayed publication.
const (
	delayPrefix     = "switchboard.delay."
	delayJitter     = 0.2
	delayRoundedUp  = time.Millisecond
	targetFreshness = time.Second // how long a declared target is taken to exist
)

// steps returns the delays there are: powers of three seconds, as retries grow, and
// common ones between and above.
func steps() []time.Duration {
	var s []time.Duration
	for _, seconds := range []int{
		1, 3, 5, 9, 15, 27, 30, 45, 60, 81, 120, 180, 243, 300, 600, 729, 1200, 1800, 2187, 3600,
		2 * 3600, 4 * 3600, 8 * 3600, 16 * 3600, 24 * 3600,
	} {
		s = append(s, time.Duration(seconds)*time.Second)
	}
	return s
}

// route is where a publication is sent.
type route struct {
	exchange   string
	key        string
	expiration string // milliseconds; empty without delay
}

// delays knows which steps and targets are declared.
type delays struct {
	broker *Broker
	steps  []time.Duration

	mu   sync.Mutex
	seen map[delayTarget]time.Time
}

type delayTarget struct {
	step  time.Duration
	queue string
}

func newDelays(b *Broker) *delays {
	return &delays{broker: b, steps: steps(), seen: make(map[delayTarget]time.Time)}
}

// reset forgets what is declared: RabbitMQ may be another one now.
func (d *delays) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.seen)
}

func (d *delays) forget(queue string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for t := range d.seen {
		if t.queue == queue {
			delete(d.seen, t)
		}
	}
}

// route returns where to send p. It declares the delay's queue and target first.
func (d *delays) route(ctx context.Context, p broker.Publication) (route, error) {
	switch {
	case p.Queue == "":
		return route{exchange: broker.Exchange, key: p.Key}, nil
	case p.Delay == 0:
		return route{key: p.Queue}, nil
	}
	at, _ := slices.BinarySearch(d.steps, p.Delay)
	target := delayTarget{step: d.steps[at], queue: p.Queue}
	q, known := d.broker.topology.get(p.Queue)
	name := stepName(target.step, q.Type)
	if !d.fresh(target) {
		err := d.broker.onChannel(ctx, func(ch *amqp.Channel) error { return prepareDelay(ch, p.Queue, q, known, name, target.step) })
		if err != nil {
			return route{}, err
		}
		d.note(target)
	}
	wait := p.Delay - time.Duration(rand.Float64()*delayJitter*float64(p.Delay)) + delayRoundedUp
	return route{exchange: name, key: p.Queue, expiration: strconv.FormatInt(min(wait, p.Delay+delayRoundedUp).Milliseconds(), 10)}, nil
}

func (d *delays) fresh(t delayTarget) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Since(d.seen[t]) < targetFreshness
}

func (d *delays) note(t delayTarget) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen[t] = time.Now()
}

// stepName names the delay queue for targets of type t.
func stepName(step time.Duration, t broker.QueueType) string {
	name := fmt.Sprintf("%s%ds", delayPrefix, int(step.Seconds()))
	if t == broker.Quorum {
		name += ".quorum"
	}
	return name
}

func prepareDelay(ch *amqp.Channel, target string, q broker.Queue, known bool, name string, step time.Duration) error {
	if known {
		if err := declareQueue(ch, q); err != nil {
			return fmt.Errorf("declaring the delay's target: %w", err)
		}
	} else if _, err := inspect(ch, target); err != nil {
		if hasCode(err, amqp.NotFound) {
			return fmt.Errorf("delaying: %w (%w)", broker.ErrUnroutable, err)
		}
		return err
	}
	if err := ch.ExchangeDeclare(name, amqp.ExchangeFanout, true, false, false, false, nil); err != nil {
		return fmt.Errorf("declaring delay exchange %q: %w", name, explain(err))
	}
	if _, err := ch.QueueDeclare(name, true, false, false, false, delayArgs(step, q.Type)); err != nil {
		if isMismatch(err) {
			return fmt.Errorf("delay queue %q exists with other arguments: delete it once it is empty (%w): %w", name, err, broker.ErrQueueMismatch)
		}
		return fmt.Errorf("declaring delay queue %q: %w", name, explain(err))
	}
	if err := ch.QueueBind(name, "", name, false, nil); err != nil {
		return fmt.Errorf("binding delay queue %q: %w", name, explain(err))
	}
	return nil
}

func delayArgs(step time.Duration, t broker.QueueType) amqp.Table {
	args := amqp.Table{"x-message-ttl": step.Milliseconds(), "x-dead-letter-exchange": ""}
	if t == broker.Quorum {
		args["x-queue-type"] = "quorum"
		// At-least-once needs reject-publish, and RabbitMQ 3.10.
		args["x-dead-letter-strategy"] = "at-least-once"
		args["x-overflow"] = "reject-publish"
	}
	return args
}
