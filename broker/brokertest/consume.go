package brokertest

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/google/go-cmp/cmp"

	"switchboard/broker"
)

var consumeTests = map[string]func(*world){
	"consume/a temporary queue looks on and goes":              consumeTemporary,
	"consume/a temporary queue keeps the newest":               consumeTemporaryBounded,
	"consume/at most prefetch are unsettled":                   consumePrefetch,
	"consume/a limit that changes":                             consumeWithin,
	"consume/one call at a time":                               consumeOneCall,
	"consume/declares its queue and bindings":                  consumeDeclares,
	"consume/several consumers share a queue":                  consumeShare,
	"consume/what is unsettled comes again after Close":        consumeClose,
	"consume/a context that ends: waits for what is in flight": consumeContext,
	"consume/Close ends one whose context has ended":           consumeContextThenClose,
	"consume/goes on when its queue is deleted":                consumeDeleted,
	"consume/one slow body does not hold up the others":        consumeSlowOne,
	"consume/refuses what cannot be":                           consumeInvalid,
}

func consumePrefetch(w *world) {
	const n, prefetch = 20, 5
	b := w.open()
	q := w.declare(b)
	w.publish(b, q, n)
	c := w.consume(b, q, prefetch)
	held := c.take(prefetch)
	w.awaitReady(b, q, n-prefetch)
	for taken := prefetch; taken < n; taken++ {
		if len(c.deliverer) != 0 {
			w.Fatalf("more than %d unsettled", prefetch)
		}
		held[0].Ack()
		held = append(held[1:], c.next())
		w.awaitReady(b, q, n-taken-1)
	}
	if got, want := bodies(held), numbers(n-prefetch, n); !cmp.Equal(got, want) {
		w.Fatalf("got %q, want %q", got, want)
	}
	for _, d := range held {
		d.Ack()
	}
	c.finish()
}

// A limit that grows or shrinks is followed with the next body, and the order stays.
func consumeWithin(w *world) {
	const n = 40
	b := w.open()
	q := w.declare(b)
	w.publish(b, q, n)
	var limit atomic.Int32
	limit.Store(2)
	c := w.consumeWithin(b, q, func() int { return int(limit.Load()) })
	seen := c.take(2)
	w.awaitReady(b, q, n-2)
	limit.Store(5)
	seen[0].Ack()
	seen = append(seen, c.take(4)...)
	w.await("all that may leave the queue has left", func() bool { return w.inspect(b, q).Messages <= n-len(seen) })
	if len(c.deliverer) != 0 {
		w.Fatal("more than 5 unsettled")
	}
	limit.Store(1)
	for settled := 1; len(seen) < n; settled++ {
		seen[settled].Ack()
		if settled == len(seen)-1 {
			seen = append(seen, c.next())
		}
		for len(c.deliverer) > 0 { // let through before the limit shrank
			seen = append(seen, c.next())
		}
		if len(seen) > 20 {
			w.awaitReady(b, q, n-len(seen))
		}
	}
	seen[n-1].Ack()
	if got, want := bodies(seen), numbers(0, n); !cmp.Equal(got, want) {
		w.Fatalf("got %q, want %q", got, want)
	}
	c.finish()
}

func consumeOneCall(w *world) {
	const n = 300
	b := w.open()
	q := w.declare(b)
	w.publish(b, q, n)
	var running, most, seen atomic.Int32
	ctx, stop := context.WithCancel(w.ctx)
	defer stop()
	err := b.Consume(ctx, q, 50, func(d *broker.Delivery) {
		most.Store(max(most.Load(), running.Add(1)))
		go d.Ack()
		if seen.Add(1) == n {
			stop()
		}
		running.Add(-1)
	})
	w.must(err)
	if most.Load() != 1 {
		w.Fatalf("%d calls at once", most.Load())
	}
}

func consumeDeclares(w *world) {
	b := w.open()
	q := broker.Queue{Name: w.name("queue"), Keys: []string{w.name("key")}}
	w.deleteLater(q.Name)
	c := w.consume(b, q, 1)
	w.await("the consumer is there", func() bool {
		info, err := b.Inspect(w.ctx, q.Name)
		return err == nil && info.Consumers == 1
	})
	w.must(b.Publish(w.ctx, broker.Publication{Key: q.Keys[0], Body: []byte("x")}))
	c.next().Ack()
	c.finish()
}

func consumeShare(w *world) {
	const n, prefetch = 200, 10
	b, other := w.open(), w.open()
	q := w.declare(b)
	first, second := w.consume(b, q, prefetch), w.consume(other, q, prefetch)
	w.await("both consume", func() bool { return w.inspect(b, q).Consumers == 2 })
	w.publish(b, q, n)
	seen := map[string]int{}
	settle := func(d *broker.Delivery) {
		seen[string(d.Body)]++
		d.Ack()
	}
	for _, d := range append(first.take(prefetch), second.take(prefetch)...) { // each has its share
		settle(d)
	}
	for range n - 2*prefetch {
		select {
		case d := <-first.deliverer:
			settle(d)
		case d := <-second.deliverer:
			settle(d)
		case <-w.ctx.Done():
			w.Fatal("bodies are missing")
		}
	}
	first.finish()
	second.finish()
	if len(seen) != n {
		w.Fatalf("%d different bodies", len(seen))
	}
}

func consumeClose(w *world) {
	const n, held = 30, 10
	b, next := w.open(), w.open()
	q := w.declare(next)
	w.publish(next, q, n)
	c := w.consume(b, q, held)
	taken := c.take(held)
	taken[3].Ack()
	c.next() // proves that the acknowledgement has arrived
	closeBroker(w, b)
	w.wantErr(c.end(), broker.ErrClosed)
	taken[0].Ack()
	again := w.drain(next, q, n-1)
	want := append(numbers(0, 3), numbers(4, n)...)
	if d := cmp.Diff(want, bodies(again)); d != "" {
		w.Fatal(d)
	}
	for i, d := range again {
		if before := i < held; before && !d.Redelivered {
			w.Fatalf("%q was delivered before and does not say so", d.Body)
		}
	}
}

func consumeContext(w *world) {
	const n, held = 10, 3
	b := w.open()
	q := w.declare(b)
	w.publish(b, q, n)
	c := w.consume(b, q, held)
	taken := c.take(held)
	c.stop()
	w.await("the consumer is gone", func() bool { return w.inspect(b, q).Consumers == 0 })
	for _, d := range taken {
		select {
		case err := <-c.ended:
			w.Fatalf("ended with bodies in flight: %v", err)
		default:
		}
		d.Ack()
	}
	w.must(c.end())
	if len(c.deliverer) != 0 {
		w.Fatal("delivered after the context ended")
	}
	if d := cmp.Diff(numbers(held, n), bodies(w.drain(b, q, n-held))); d != "" {
		w.Fatal(d)
	}
}

func consumeContextThenClose(w *world) {
	b := w.open()
	q := w.declare(b)
	w.publish(b, q, 1)
	c := w.consume(b, q, 1)
	c.next()
	c.stop()
	w.await("the consumer is gone", func() bool { return w.inspect(b, q).Consumers == 0 })
	closeBroker(w, b)
	w.must(c.end())
	w.drain(w.open(), q, 1)
}

func consumeDeleted(w *world) {
	b, admin := w.open(), w.open()
	q := w.declare(b, w.name("key"))
	c := w.consume(b, q, 5)
	w.publish(b, q, 1)
	old := c.next()
	w.must(admin.Delete(w.ctx, q.Name))
	old.Ack()
	w.await("the queue is back", func() bool {
		info, err := admin.Inspect(w.ctx, q.Name)
		return err == nil && info.Consumers == 1
	})
	w.must(admin.Publish(w.ctx, broker.Publication{Key: q.Keys[0], Body: []byte("after")}))
	d := c.next()
	if string(d.Body) != "after" {
		w.Fatalf("got %q", d.Body)
	}
	d.Ack()
	c.finish()
}

func consumeSlowOne(w *world) {
	const n = 1000
	b := w.open()
	q := w.declare(b)
	c := w.consume(b, q, 10)
	w.publish(b, q, n)
	slow := c.next()
	for i := 1; i < n; i++ {
		c.next().Ack()
	}
	slow.Ack()
	c.finish()
	if left := w.inspect(b, q).Messages; left != 0 {
		w.Fatalf("%d bodies came back", left)
	}
}

func consumeInvalid(w *world) {
	b := w.open()
	handle := func(*broker.Delivery) {}
	for what, err := range map[string]error{
		"no prefetch": b.Consume(w.ctx, broker.Queue{Name: w.name("queue")}, 0, handle),
		"no name":     b.Consume(w.ctx, broker.Queue{}, 1, handle),
		"no type":     b.Declare(w.ctx, broker.Queue{Name: w.name("queue"), Type: "stack"}),
	} {
		if !errors.Is(err, broker.ErrInvalid) {
			w.Errorf("%s: %v", what, err)
		}
	}
}
