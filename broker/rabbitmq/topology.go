package rabbitmq

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/broker"
)

// noDeliveryLimit is a limit that no body reaches. RabbitMQ 4 drops a quorum queue's
// body after 20 deliveries by default; its -1 for "none" is refused by 3.x, and all
// workers must declare the same.
const noDeliveryLimit = 2_000_000_000

// topology is what this process has declared, to be declared again after a lost
// connection: a broker that lost its disk gets its queues back.
type topology struct {
	mu       sync.Mutex
	queues   map[string]broker.Queue
	declared map[string]time.Time
}

func newTopology() *topology {
	return &topology{queues: make(map[string]broker.Queue), declared: make(map[string]time.Time)}
}

// declareEvery is how often Declare asks RabbitMQ for the same queue: every dead letter
// declares its queue. If somebody deletes it meanwhile, the publication is returned,
// and the queue declared again.
const declareEvery = 10 * time.Second

// fresh reports whether q with its keys was declared within declareEvery.
func (t *topology) fresh(q broker.Queue) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	have := t.queues[q.Name]
	return time.Since(t.declared[q.Name]) < declareEvery && typeName(have.Type) == typeName(q.Type) &&
		!slices.ContainsFunc(q.Keys, func(key string) bool { return !slices.Contains(have.Keys, key) })
}

// add adds q and its keys to those it was declared with before, and returns the sum.
func (t *topology) add(q broker.Queue) broker.Queue {
	t.mu.Lock()
	defer t.mu.Unlock()
	have, known := t.queues[q.Name]
	if !known {
		have = broker.Queue{Name: q.Name, Type: q.Type}
	}
	keys := slices.Clone(have.Keys)
	for _, key := range q.Keys {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	have.Keys = keys
	t.queues[q.Name], t.declared[q.Name] = have, time.Now()
	return have
}

func (t *topology) get(name string) (broker.Queue, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q, known := t.queues[name]
	return q, known
}

// routes reports whether a queue that this process declared takes p.
func (t *topology) routes(p broker.Publication) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.Queue != "" {
		_, known := t.queues[p.Queue]
		return known
	}
	for _, q := range t.queues {
		if slices.Contains(q.Keys, p.Key) {
			return true
		}
	}
	return false
}

func (t *topology) all() []broker.Queue {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []broker.Queue
	for _, q := range t.queues {
		all = append(all, q)
	}
	return all
}

func (t *topology) forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.queues, name)
	delete(t.declared, name)
}

func (t *topology) unbind(name, key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q, known := t.queues[name]; known {
		q.Keys = slices.DeleteFunc(slices.Clone(q.Keys), func(k string) bool { return k == key })
		t.queues[name] = q
	}
}

func declareExchange(ch *amqp.Channel) error {
	if err := ch.ExchangeDeclare(broker.Exchange, amqp.ExchangeDirect, true, false, false, false, nil); err != nil {
		return fmt.Errorf("declaring exchange %q: %w", broker.Exchange, explain(err))
	}
	return nil
}

// declareQueue makes q and its bindings exist. Classic queues have no arguments
// at all, as Vumi's; what a fleet needs beyond that comes from policies. (In a
// vhost whose default queue type is quorum they become quorum queues, with
// RabbitMQ 4's delivery limit; set a policy with a higher one there.)
func declareQueue(ch *amqp.Channel, q broker.Queue) error {
	if _, err := ch.QueueDeclare(q.Name, !q.Temporary, q.Temporary, q.Temporary, false, queueArgs(q)); err != nil {
		if isMismatch(err) {
			return fmt.Errorf("queue %q exists with another type or other arguments than %s: give all workers of the fleet one queue type, or delete the queue once it is empty (%w): %w",
				q.Name, typeName(q.Type), err, broker.ErrQueueMismatch)
		}
		return explain(err)
	}
	if len(q.Keys) > 0 { // someone may have deleted it meanwhile
		if err := declareExchange(ch); err != nil {
			return err
		}
	}
	for _, key := range q.Keys {
		if err := ch.QueueBind(q.Name, key, broker.Exchange, false, nil); err != nil {
			return fmt.Errorf("binding it to key %q: %w", key, explain(err))
		}
	}
	return nil
}

func typeName(t broker.QueueType) broker.QueueType {
	if t == "" {
		return broker.Classic
	}
	return t
}

func queueArgs(q broker.Queue) amqp.Table {
	switch {
	case q.Temporary:
		return amqp.Table{"x-max-length": int64(broker.MaxTemporary), "x-overflow": "drop-head"}
	case q.Type != broker.Quorum:
		return nil
	}
	return amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": int64(noDeliveryLimit)}
}

// isMismatch: 406 for other arguments, 405 for another process's exclusive queue.
func isMismatch(err error) bool {
	return hasCode(err, amqp.PreconditionFailed) || hasCode(err, amqp.ResourceLocked)
}

func hasCode(err error, code int) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Server && e.Code == code
}

// errPermission is wrapped into what RabbitMQ forbids this user.
var errPermission = errors.New("RabbitMQ forbids it to this user: grant configure, write and read permission on the vhost")

// explain adds what an operator can do about err.
func explain(err error) error {
	switch {
	case hasCode(err, amqp.AccessRefused):
		return fmt.Errorf("%w (%w)", errPermission, err)
	case hasCode(err, amqp.NotFound) && !nodeDown(err):
		return fmt.Errorf("%w (%w)", broker.ErrNoQueue, err)
	}
	return err
}

// nodeDown: in a cluster, a durable queue whose node is down is "not found", and
// declaring it fails until the node is back.
func nodeDown(err error) bool { return strings.Contains(err.Error(), "is down or inaccessible") }

// lost says that err came of a connection that is gone, so that waiting for
// another one can mend it.
func lost(s *session, err error) bool {
	var e *amqp.Error
	if errors.As(err, &e) && e.Server && !nodeDown(err) {
		switch e.Code {
		case amqp.AccessRefused, amqp.NotFound, amqp.PreconditionFailed, amqp.ResourceLocked:
			return false
		}
	}
	return s.conn.IsClosed() || errors.Is(err, amqp.ErrClosed) || e != nil
}
