package brokertest

import (
	"errors"

	"github.com/google/go-cmp/cmp"

	"switchboard/broker"
)

var adminTests = map[string]func(*world){
	"admin/inspect, purge and delete":             adminLifeOfQueue,
	"admin/what is not there":                     adminNoQueue,
	"admin/declaring again adds bindings":         adminDeclareAgain,
	"admin/another queue type is a mismatch":      adminMismatch,
	"admin/unbind takes one key away":             adminUnbind,
	"admin/browse keeps and removes, in order":    adminBrowse,
	"admin/browse ends with an error of visit":    adminBrowseError,
	"admin/browse shows what others cannot touch": adminBrowseBody,
	"admin/quorum queues keep the promises too":   adminQuorum,
}

func adminLifeOfQueue(w *world) {
	b := w.open()
	q := w.declare(b)
	w.publish(b, q, 10)
	c := w.consume(b, q, 4)
	held := c.take(4)
	w.awaitReady(b, q, 6)
	if info := w.inspect(b, q); info.Consumers != 1 {
		w.Fatalf("%d consumers", info.Consumers)
	}
	n, err := b.Purge(w.ctx, q.Name)
	w.must(err)
	if n != 6 {
		w.Fatalf("purged %d, want the 6 nobody holds", n)
	}
	for _, d := range held {
		d.Ack()
	}
	c.finish()
	other := w.declare(b)
	infos, err := b.InspectAll(w.ctx, w.name("none"), q.Name, w.name("none too"), other.Name)
	w.must(err)
	if len(infos) != 2 || infos[q.Name] != (broker.Info{}) || infos[other.Name] != (broker.Info{}) {
		w.Errorf("both queues together: %v", infos)
	}
	w.must(b.Delete(w.ctx, q.Name))
	_, err = b.Inspect(w.ctx, q.Name)
	w.wantErr(err, broker.ErrNoQueue)
}

func adminNoQueue(w *world) {
	b := w.open()
	none := w.name("nothing")
	_, inspect := b.Inspect(w.ctx, none)
	_, purge := b.Purge(w.ctx, none)
	browse := b.Browse(w.ctx, none, 1, func(*broker.Delivery) (broker.Verdict, error) { return broker.Keep, nil })
	for what, err := range map[string]error{
		"inspect": inspect, "purge": purge, "browse": browse, "unbind": b.Unbind(w.ctx, none, "key"),
	} {
		if !errors.Is(err, broker.ErrNoQueue) {
			w.Errorf("%s: %v", what, err)
		}
	}
	w.must(b.Delete(w.ctx, none))
}

func adminDeclareAgain(w *world) {
	b := w.open()
	first, second := w.name("key"), w.name("key")
	q := w.declare(b, first)
	q.Keys = []string{second}
	w.must(b.Declare(w.ctx, q))
	w.must(b.Declare(w.ctx, q))
	w.must(b.Publish(w.ctx, broker.Publication{Key: first, Body: number(0)}))
	w.must(b.Publish(w.ctx, broker.Publication{Key: second, Body: number(1)}))
	if got := bodies(w.drain(b, q, 2)); !cmp.Equal(got, numbers(0, 2)) {
		w.Fatalf("got %q", got)
	}
}

func adminMismatch(w *world) {
	b := w.open()
	q := w.declare(b)
	q.Type = broker.Quorum
	w.wantErr(b.Declare(w.ctx, q), broker.ErrQueueMismatch)
	w.wantErr(b.Consume(w.ctx, q, 1, func(*broker.Delivery) {}), broker.ErrQueueMismatch)
	q.Type = broker.Classic
	w.must(b.Declare(w.ctx, q))
	w.publish(b, q, 1)
}

func adminUnbind(w *world) {
	b := w.open()
	stays, goes := w.name("key"), w.name("key")
	q := w.declare(b, stays, goes)
	w.must(b.Publish(w.ctx, broker.Publication{Key: goes, Body: number(0)}))
	w.must(b.Unbind(w.ctx, q.Name, goes))
	w.wantErr(b.Publish(w.ctx, broker.Publication{Key: goes}), broker.ErrUnroutable)
	w.must(b.Publish(w.ctx, broker.Publication{Key: stays, Body: number(1)}))
	w.drain(b, q, 2)
}

func adminBrowse(w *world) {
	const n, limit = 10, 7
	b := w.open()
	q := w.declare(b)
	w.publish(b, q, n)
	var seen []string
	w.must(b.Browse(w.ctx, q.Name, limit, func(d *broker.Delivery) (broker.Verdict, error) {
		seen = append(seen, string(d.Body))
		if len(seen)%2 == 0 {
			return broker.Remove, nil
		}
		return broker.Keep, nil
	}))
	if d := cmp.Diff(numbers(0, limit), seen); d != "" {
		w.Fatal(d)
	}
	want := []string{"body 0", "body 2", "body 4", "body 6", "body 7", "body 8", "body 9"}
	w.awaitReady(b, q, len(want))
	if d := cmp.Diff(want, bodies(w.drain(b, q, len(want)))); d != "" {
		w.Fatal(d)
	}
}

func adminBrowseError(w *world) {
	const n = 5
	b := w.open()
	q := w.declare(b)
	w.publish(b, q, n)
	enough := errors.New("seen enough")
	calls := 0
	err := b.Browse(w.ctx, q.Name, 100, func(*broker.Delivery) (broker.Verdict, error) {
		if calls++; calls == 3 {
			return broker.Remove, enough
		}
		return broker.Keep, nil
	})
	w.wantErr(err, enough)
	w.awaitReady(b, q, n)
	if got := bodies(w.drain(b, q, n)); !cmp.Equal(got, numbers(0, n)) {
		w.Fatalf("left are %q", got)
	}
}

func adminBrowseBody(w *world) {
	b := w.open()
	q := w.declare(b)
	p := broker.Publication{Queue: q.Name, Body: []byte("mine"), Headers: broker.Headers{"reason": "none"}}
	w.must(b.Publish(w.ctx, p))
	w.must(b.Browse(w.ctx, q.Name, 1, func(d *broker.Delivery) (broker.Verdict, error) {
		want := broker.Delivery{Queue: q.Name, Key: q.Name, Body: p.Body, Headers: p.Headers}
		if diff := diffDelivery(want, d); diff != "" {
			w.Error(diff)
		}
		copy(d.Body, "your")
		d.Ack() // Browse settles it: this must do nothing
		return broker.Keep, nil
	}))
	w.awaitReady(b, q, 1)
	if got := bodies(w.drain(b, q, 1)); got[0] != "mine" {
		w.Fatalf("got %q", got)
	}
}

func adminQuorum(w *world) {
	const n, tries = 50, 30
	b := w.open()
	q := broker.Queue{Name: w.name("queue"), Keys: []string{w.name("key")}, Type: broker.Quorum}
	w.declareQueue(b, q)
	w.publish(b, q, n)
	// More often than RabbitMQ 4's default delivery limit of 20.
	c := w.consume(b, q, 1)
	for range tries {
		c.next().Requeue()
	}
	d := c.next()
	c.stop()
	d.Requeue()
	w.must(c.end())
	if got := bodies(w.drain(b, q, n)); !cmp.Equal(got, numbers(0, n)) {
		w.Fatalf("left are %q", got)
	}
}
