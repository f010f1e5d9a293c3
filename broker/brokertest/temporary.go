package brokertest

import (
	"errors"

	"switchboard/broker"
)

// temporary makes a durable queue and a temporary one on the same key.
func (w *world) temporary(b broker.Broker) (durable, looking broker.Queue) {
	key := w.name("key")
	durable = w.declare(b, key)
	return durable, broker.Queue{Name: w.name("temporary"), Keys: []string{key}, Temporary: true}
}

func consumeTemporary(w *world) {
	b := w.open()
	durable, looking := w.temporary(b)
	w.wantErr(b.Declare(w.ctx, looking), broker.ErrInvalid)
	c := w.consume(b, looking, 10)
	w.awaitQueue(b, looking.Name)
	w.must(b.Publish(w.ctx, broker.Publication{Key: durable.Keys[0], Body: number(0)}))
	d := c.next()
	if string(d.Body) != string(number(0)) || d.Key != durable.Keys[0] {
		w.Fatalf("looked at %q of %s", d.Body, d.Key)
	}
	d.Ack()
	c.finish()
	w.await("the queue is gone", func() bool {
		_, err := b.Inspect(w.ctx, looking.Name)
		return errors.Is(err, broker.ErrNoQueue)
	})
	w.must(b.Publish(w.ctx, broker.Publication{Key: durable.Keys[0], Body: number(1)}))
	w.drain(b, durable, 2)
}

// consumeTemporaryBounded: who looks on too slowly misses something and holds
// nobody up.
func consumeTemporaryBounded(w *world) {
	const n = 2 * broker.MaxTemporary
	b := w.open()
	durable, looking := w.temporary(b)
	c := w.consume(b, looking, 1)
	w.awaitQueue(b, looking.Name)
	results := make(chan error, n)
	for i := range n {
		b.PublishAsync(w.ctx, broker.Publication{Key: durable.Keys[0], Body: number(i)}, func(err error) { results <- err })
	}
	for range n {
		w.must(<-results)
	}
	seen := 0
	for last := ""; last != string(number(n-1)); seen++ {
		d := c.next()
		d.Ack()
		last = string(d.Body)
	}
	if most := broker.MaxTemporary + 1; seen > most { // one was in flight
		w.Fatalf("%d bodies were kept, at most %d are to be", seen, most)
	}
	c.finish()
	w.drain(b, durable, n)
}

func (w *world) awaitQueue(b broker.Broker, name string) {
	w.Helper()
	w.await("the queue is there", func() bool {
		info, err := b.Inspect(w.ctx, name)
		return err == nil && info.Consumers == 1
	})
}
