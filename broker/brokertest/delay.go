package brokertest

import (
	"time"

	"switchboard/broker"
)

var delayTests = map[string]func(*world){
	"delay/holds a body back and returns it to its queue alone": delayHolds,
	"delay/needs a queue that is there":                         delayNoQueue,
	"delay/short ones are not held up by long ones":             delayMixed,
}

func delayHolds(w *world) {
	const delay = time.Second
	b := w.open()
	key := w.name("key")
	q := w.declare(b, key)
	others := []broker.Queue{w.declare(b, key), w.declare(b, q.Name)}
	began := time.Now()
	headers := broker.Headers{"attempt": "2"}
	w.must(b.Publish(w.ctx, broker.Publication{Queue: q.Name, Body: []byte("later"), Headers: headers, Delay: delay}))
	if n, err := b.Delayed(w.ctx); err != nil || n == 0 {
		w.Errorf("Delayed = %d, %v, with a body held back", n, err)
	}
	c := w.consume(b, q, 1)
	d := c.next()
	if took := time.Since(began); took < delay*8/10 || took > delay*5 {
		w.Errorf("a body delayed by %v came after %v", delay, took)
	}
	d.Ack()
	c.finish()
	if diff := diffDelivery(broker.Delivery{Queue: q.Name, Key: q.Name, Body: []byte("later"), Headers: headers}, d); diff != "" {
		w.Error(diff)
	}
	for _, other := range others {
		if n := w.inspect(b, other).Messages; n != 0 {
			w.Errorf("another queue got the body")
		}
	}
}

func delayNoQueue(w *world) {
	b := w.open()
	p := broker.Publication{Queue: w.name("nothing"), Delay: time.Second}
	w.wantErr(b.Publish(w.ctx, p), broker.ErrUnroutable)
}

func delayMixed(w *world) {
	b := w.open()
	q := w.declare(b)
	w.must(b.Publish(w.ctx, broker.Publication{Queue: q.Name, Body: []byte("long"), Delay: time.Minute}))
	w.must(b.Publish(w.ctx, broker.Publication{Queue: q.Name, Body: []byte("short"), Delay: time.Second}))
	if got := bodies(w.drain(b, q, 1)); got[0] != "short" {
		w.Fatalf("got %q", got)
	}
}
