package brokertest

import (
	"time"

	"switchboard/broker"
)

var delayTests = map[string]func(*world){
	"delay/holds a body back and returns it to its queue alone": delayHolds,
	"delay/needs a queue that is there":                         delayNoQueue,
	"delay/counts what it holds by queue":                       delayCounts,
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
	w.wantDelayed(b, q.Name, delay, 1)
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

// wantDelayed wants n bodies held back for a queue, none for longer than a step of delay.
func (w *world) wantDelayed(b broker.Broker, queue string, delay time.Duration, n int) {
	all, err := b.Delayed(w.ctx)
	w.must(err)
	bodies := 0
	for _, d := range all {
		if d.Queue == queue {
			bodies += d.Bodies
			if d.Within < delay || d.Within > 3*delay {
				w.Errorf("%d bodies are held back for %v, of a delay of %v", d.Bodies, d.Within, delay)
			}
		}
	}
	if bodies != n {
		w.Errorf("%d bodies are held back for %s, want %d: %v", bodies, queue, n, all)
	}
}

// delayCounts: bodies that are held back are counted by the queue they return to, and
// looking at them takes none away.
func delayCounts(w *world) {
	b := w.open()
	some, more := w.declare(b), w.declare(b)
	for range 3 {
		w.must(b.Publish(w.ctx, broker.Publication{Queue: some.Name, Body: []byte("x"), Delay: 5 * time.Second}))
	}
	w.must(b.Publish(w.ctx, broker.Publication{Queue: more.Name, Body: []byte("x"), Delay: time.Minute}))
	for range 3 {
		w.wantDelayed(b, some.Name, 5*time.Second, 3)
		w.wantDelayed(b, more.Name, time.Minute, 1)
	}
	w.drain(b, some, 3)
	w.wantDelayed(b, some.Name, 0, 0)
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
