package rabbitmq

import (
	"sync"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"
)

// acks acknowledges one channel's deliveries in as few frames as it can: all below
// the oldest unsettled delivery by one frame (multiple), those above it one by
// one, so that a slow handler does not hold the others' room in the prefetch.
type acks struct {
	ch      acker
	metrics *metrics
	wake    chan struct{}
	open    atomic.Int64 // unsettled deliveries

	mu       sync.Mutex
	oldest   *unsettled // of a list ordered by tag
	newest   *unsettled
	settled  []uint64 // to be acknowledged
	requeued []uint64
	idle     chan struct{} // closed once all is settled and sent; nil while nobody waits
	sending  bool
	stopped  bool
}

// acker is the part of amqp.Channel that tells RabbitMQ.
type acker interface {
	Ack(tag uint64, multiple bool) error
	Nack(tag uint64, multiple, requeue bool) error
	IsClosed() bool
}

var _ acker = (*amqp.Channel)(nil)

// unsettled is a delivery that its handler has not settled.
type unsettled struct {
	tag        uint64
	prev, next *unsettled
	done       bool
}

func newAcks(ch acker, m *metrics) *acks {
	return &acks{ch: ch, metrics: m, wake: make(chan struct{}, 1)}
}

// add adds a delivery; tags ascend.
func (a *acks) add(tag uint64) *unsettled {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := &unsettled{tag: tag, prev: a.newest}
	if a.newest == nil {
		a.oldest = u
	} else {
		a.newest.next = u
	}
	a.newest = u
	a.open.Add(1)
	return u
}

// settle reports whether this call was the first for u, which alone counts.
func (a *acks) settle(u *unsettled, requeue bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u.done {
		return false
	}
	u.done = true
	a.open.Add(-1)
	a.unlink(u)
	if requeue {
		a.requeued = append(a.requeued, u.tag)
	} else {
		a.settled = append(a.settled, u.tag)
	}
	a.signal()
	return true
}

func (a *acks) unlink(u *unsettled) {
	if u.prev == nil {
		a.oldest = u.next
	} else {
		u.prev.next = u.next
	}
	if u.next == nil {
		a.newest = u.prev
	} else {
		u.next.prev = u.prev
	}
	u.prev, u.next = nil, nil
}

func (a *acks) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// stop ends run after it has sent what is left.
func (a *acks) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	a.signal()
}

// run sends until stop, or until draining is closed. Errors of a closed channel do
// not matter: RabbitMQ has requeued its deliveries.
func (a *acks) run(draining <-chan struct{}) {
	var acked, requeued []uint64
	for {
		select {
		case <-a.wake:
		case <-draining:
			a.stop()
			draining = nil
		}
		for {
			var below uint64
			var ended bool
			if acked, requeued, below, ended = a.take(acked, requeued); len(acked)+len(requeued) == 0 {
				if ended {
					return
				}
				break
			}
			a.send(acked, requeued, below)
		}
	}
}

// take swaps the lists; below is the tag of the oldest unsettled delivery.
func (a *acks) take(acked, requeued []uint64) (newAcked, newRequeued []uint64, below uint64, ended bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	newAcked, newRequeued = a.settled, a.requeued
	a.settled, a.requeued = acked[:0], requeued[:0]
	below = ^uint64(0)
	if a.oldest != nil {
		below = a.oldest.tag
	}
	a.sending = len(newAcked)+len(newRequeued) > 0
	if !a.sending && a.idle != nil && a.oldest == nil {
		close(a.idle)
		a.idle = nil
	}
	return newAcked, newRequeued, below, a.stopped
}

func (a *acks) send(acked, requeued []uint64, below uint64) {
	// First: a multiple acknowledgement would include these.
	for _, tag := range requeued {
		a.ch.Nack(tag, false, true)
	}
	var upTo uint64
	for _, tag := range acked {
		if tag < below {
			upTo = max(upTo, tag)
		} else {
			a.ch.Ack(tag, false)
			a.metrics.ackBatches.Inc()
		}
	}
	if upTo > 0 {
		a.ch.Ack(upTo, true)
		a.metrics.ackBatches.Inc()
	}
	a.metrics.acks.Add(float64(len(acked)))
}

// whenIdle returns a channel that is closed once all is settled and sent.
func (a *acks) whenIdle() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	idle := make(chan struct{})
	if a.oldest == nil && !a.sending && len(a.settled)+len(a.requeued) == 0 {
		close(idle)
		return idle
	}
	a.idle = idle
	a.signal()
	return idle
}
