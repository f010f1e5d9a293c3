package brokertest

import (
	"math/rand/v2"
	"sync"

	"github.com/google/go-cmp/cmp"

	"switchboard/broker"
)

var settleTests = map[string]func(*world){
	"settle/in any order, from any goroutine":       settleAnyOrder,
	"settle/only the first call counts":             settleTwice,
	"settle/requeued comes again at once":           requeueFirst,
	"settle/requeued bodies return to their places": requeueOrder,
}

// settleAnyOrder acknowledges all but some, in a random order, and then finds
// exactly those again.
func settleAnyOrder(w *world) {
	const n = 200
	b, next := w.open(), w.open()
	q := w.declare(next)
	w.publish(next, q, n)
	c := w.consume(b, q, n)
	var left []string
	var acks sync.WaitGroup
	taken := c.take(n)
	for _, i := range rand.Perm(n) {
		if i%7 != 2 {
			acks.Go(taken[i].Ack)
		}
	}
	acks.Wait()
	for i, d := range taken {
		if i%7 == 2 {
			left = append(left, string(d.Body))
		}
	}
	closeBroker(w, b)
	w.wantErr(c.end(), broker.ErrClosed)
	if d := cmp.Diff(left, bodies(w.drain(next, q, len(left)))); d != "" {
		w.Fatal(d)
	}
}

func settleTwice(w *world) {
	b := w.open()
	q := w.declare(b)
	w.publish(b, q, 2)
	c := w.consume(b, q, 2)
	first, second := c.next(), c.next()
	first.Ack()
	first.Requeue()
	first.Ack()
	second.Requeue()
	second.Ack()
	again := c.next()
	if string(again.Body) != string(second.Body) {
		w.Fatalf("%q came again", again.Body)
	}
	again.Ack()
	c.finish()
	if n := w.inspect(b, q).Messages; n != 0 {
		w.Fatalf("%d bodies are left", n)
	}
}

func requeueFirst(w *world) {
	b := w.open()
	q := w.declare(b)
	w.publish(b, q, 3)
	c := w.consume(b, q, 1)
	d := c.next()
	if d.Redelivered {
		w.Fatal("redelivered at first")
	}
	d.Requeue()
	again := c.next()
	if string(again.Body) != string(d.Body) || !again.Redelivered {
		w.Fatalf("%q came after %q was requeued, redelivered %v", again.Body, d.Body, again.Redelivered)
	}
	again.Ack()
	rest := []*broker.Delivery{c.next()}
	rest[0].Ack()
	rest = append(rest, c.next())
	rest[1].Ack()
	c.finish()
	if got := bodies(rest); !cmp.Equal(got, numbers(1, 3)) {
		w.Fatalf("then came %q", got)
	}
}

func requeueOrder(w *world) {
	const n, held = 20, 10
	b := w.open()
	q := w.declare(b)
	w.publish(b, q, n)
	c := w.consume(b, q, held)
	taken := c.take(held)
	c.stop()
	for _, i := range rand.Perm(held) {
		taken[i].Requeue()
	}
	w.must(c.end())
	if d := cmp.Diff(numbers(0, n), bodies(w.drain(b, q, n))); d != "" {
		w.Fatal(d)
	}
}
