package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"switchboard/broker"
)

// itemOverhead is what a body costs besides its bytes: empty bodies are bounded too.
const itemOverhead = 128

// store is what all connections share. One mutex guards it, every queue and every
// consumer: each operation takes a few hundred nanoseconds.
type store struct {
	max int64

	mu          sync.Mutex
	queues      map[string]*queue
	bindings    map[string][]*queue // by routing key
	bytes       int64
	connections int
	delayed     map[*delayed]struct{}
	confirms    []confirm // callbacks to run, in order
	confirming  bool      // a goroutine is running them
	changed     signal    // room was made, callbacks have run, or a connection closes
}

func newStore(limit int64) *store {
	return &store{
		max:      limit,
		queues:   make(map[string]*queue),
		bindings: make(map[string][]*queue),
		delayed:  make(map[*delayed]struct{}),
	}
}

// signal wakes all that wait for a change. Guarded by the store's mutex.
type signal struct{ ch chan struct{} }

func (s *signal) wait() <-chan struct{} {
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) broadcast() {
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// waitChange releases the mutex until something has changed or ctx ends.
func (s *store) waitChange(ctx context.Context) error {
	ch := s.changed.wait()
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// content is a body as published. Its queues share it, and nobody changes it.
type content struct {
	key     string
	body    []byte
	headers broker.Headers
	cost    int64
}

// item is a body's place in one queue.
type item struct {
	*content
	seq         uint64 // its place: lower goes first
	redelivered bool
}

// queue keeps bodies in order. Requeued bodies came from the head, so all of returned
// precede all of ready.
type queue struct {
	store     *store
	name      string
	kind      broker.QueueType
	temporary bool
	deleted   bool
	lastSeq   uint64
	returned  []item // sorted by seq
	ready     fifo[item]
	consumers []*consumer
	turn      int // whose turn it is among consumers
}

func (q *queue) len() int { return len(q.returned) + q.ready.len() }

func (q *queue) append(c *content) {
	q.lastSeq++
	q.ready.push(item{content: c, seq: q.lastSeq})
	q.feed()
	for q.temporary && q.len() > broker.MaxTemporary {
		q.store.free(q.pop().cost)
	}
}

func (q *queue) pop() item {
	if len(q.returned) > 0 {
		it := q.returned[0]
		q.returned = q.returned[1:]
		return it
	}
	return q.ready.pop()
}

// putBack returns an item to its place.
func (q *queue) putBack(it item) {
	if q.deleted {
		q.store.free(it.cost)
		return
	}
	at, _ := slices.BinarySearchFunc(q.returned, it.seq, func(x item, seq uint64) int {
		return cmp.Compare(x.seq, seq)
	})
	q.returned = slices.Insert(q.returned, at, it)
}

// feed assigns ready bodies to the consumers in turn, as far as their prefetch allows.
func (q *queue) feed() {
	for q.len() > 0 {
		c := q.nextConsumer()
		if c == nil {
			return
		}
		c.inbox.push(q.pop())
		c.wakeUp()
	}
}

func (q *queue) nextConsumer() *consumer {
	for i := range q.consumers {
		at := (q.turn + i) % len(q.consumers)
		if c := q.consumers[at]; c.hasRoom() {
			q.turn = at + 1
			return c
		}
	}
	return nil
}

func (s *store) free(cost int64) {
	s.bytes -= cost
	s.changed.broadcast()
}

func (s *store) declare(q broker.Queue) (*queue, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	kind := q.Type
	if kind == "" {
		kind = broker.Classic
	}
	have := s.queues[q.Name]
	if have == nil {
		have = &queue{store: s, name: q.Name, kind: kind, temporary: q.Temporary}
		s.queues[q.Name] = have
	}
	if have.temporary != q.Temporary || have.temporary && len(have.consumers) > 0 {
		return nil, fmt.Errorf("declaring queue %q: it is, or would be, the temporary queue of one consumer: %w", q.Name, broker.ErrQueueMismatch)
	}
	if have.kind != kind {
		return nil, fmt.Errorf("declaring queue %q as %s: it is %s: %w", q.Name, kind, have.kind, broker.ErrQueueMismatch)
	}
	for _, key := range q.Keys {
		if !slices.Contains(s.bindings[key], have) {
			s.bindings[key] = append(s.bindings[key], have)
		}
	}
	return have, nil
}

func (s *store) find(name string) (*queue, error) {
	if q := s.queues[name]; q != nil {
		return q, nil
	}
	return nil, fmt.Errorf("queue %q: %w", name, broker.ErrNoQueue)
}

func (s *store) unbind(q *queue, key string) {
	left := slices.DeleteFunc(slices.Clone(s.bindings[key]), func(x *queue) bool { return x == q })
	if len(left) == 0 {
		delete(s.bindings, key)
		return
	}
	s.bindings[key] = left
}

// delayed is a body on its way to a queue.
type delayed struct {
	queue   string
	content *content
	within  time.Duration
	due     time.Time
	timer   *time.Timer
}

func (s *store) delay(queue string, c *content, d time.Duration) {
	e := &delayed{queue: queue, content: c, within: d, due: time.Now().Add(d)}
	s.delayed[e] = struct{}{}
	e.timer = time.AfterFunc(d, func() { s.arrive(e) })
}

// arrive moves a delayed body to its queue. Like RabbitMQ's dead-lettering it drops
// the body when the queue was deleted meanwhile.
func (s *store) arrive(e *delayed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, waiting := s.delayed[e]; !waiting || s.connections == 0 {
		return
	}
	delete(s.delayed, e)
	if q := s.queues[e.queue]; q != nil {
		q.append(e.content)
		return
	}
	s.free(e.content.cost)
}

// suspendDelays stops the timers while nobody is connected; resumeDelays sets them
// again. Delayed bodies are as durable as the others.
func (s *store) suspendDelays() {
	for e := range s.delayed {
		e.timer.Stop()
	}
}

func (s *store) resumeDelays() {
	for e := range s.delayed {
		e.timer = time.AfterFunc(time.Until(e.due), func() { s.arrive(e) })
	}
}
