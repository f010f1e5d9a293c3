package brokertest

import (
	"errors"
	"sync/atomic"

	"github.com/google/go-cmp/cmp"

	"switchboard/broker"
)

var asyncTests = map[string]func(*world){
	"async/order is kept, also with a large prefetch":          asyncOrder,
	"async/each outcome belongs to its publication":            asyncOutcomes,
	"async/consume, publish, ack when confirmed: in order":     asyncPipeline,
	"async/done is called once for each":                       asyncDoneOnce,
	"async/closing waits for the confirms and then ends it":    asyncClose,
	"async/publishers on many goroutines keep their own order": asyncManyPublishers,
}

func asyncOrder(w *world) {
	const n = 3000
	b := w.open()
	q := w.declare(b)
	c := w.consume(b, q, 500)
	go w.publish(b, q, n)
	var got []string
	for range n {
		d := c.next()
		got = append(got, string(d.Body))
		d.Ack()
	}
	c.finish()
	if d := cmp.Diff(numbers(0, n), got); d != "" {
		w.Fatal(d)
	}
}

// asyncOutcomes mixes publications that have a queue with some that have none.
func asyncOutcomes(w *world) {
	const n = 600
	b := w.open()
	q := w.declare(b, w.name("key"))
	outcomes := make([]error, n)
	results := make(chan struct{}, n)
	for i := range n {
		p := broker.Publication{Key: q.Keys[0], Body: number(i)}
		if i%3 == 1 {
			p.Key = "nobody." + p.Key
		}
		b.PublishAsync(w.ctx, p, func(err error) {
			outcomes[i] = err
			results <- struct{}{}
		})
	}
	for range n {
		<-results
	}
	for i, err := range outcomes {
		if got := errors.Is(err, broker.ErrUnroutable); got != (i%3 == 1) {
			w.Fatalf("publication %d got %v", i, err)
		}
	}
	if got := w.inspect(b, q).Messages; got != n/3*2 {
		w.Fatalf("%d bodies arrived, want %d", got, n/3*2)
	}
}

// asyncPipeline is what a dispatcher does.
func asyncPipeline(w *world) {
	const n = 2000
	b := w.open()
	from, to := w.declare(b), w.declare(b)
	w.publish(b, from, n)
	c := w.consume(b, from, 300)
	go func() {
		for d := range c.deliverer {
			b.PublishAsync(w.ctx, broker.Publication{Queue: to.Name, Body: d.Body}, func(err error) {
				if err == nil {
					d.Ack()
				}
			})
		}
	}()
	defer close(c.deliverer)
	w.awaitReady(b, to, n)
	c.stop()
	w.must(c.end())
	if d := cmp.Diff(numbers(0, n), bodies(w.drain(b, to, n))); d != "" {
		w.Fatal(d)
	}
	if left := w.inspect(b, from).Messages; left != 0 {
		w.Fatalf("%d bodies were not acknowledged", left)
	}
}

func asyncDoneOnce(w *world) {
	const n = 500
	b := w.open()
	q := w.declare(b)
	var calls atomic.Int64
	all := make(chan struct{}, 2*n)
	for i := range n {
		b.PublishAsync(w.ctx, broker.Publication{Queue: q.Name, Body: number(i)}, func(error) {
			calls.Add(1)
			all <- struct{}{}
		})
	}
	for range n {
		<-all
	}
	closeBroker(w, b)
	if calls.Load() != n {
		w.Fatalf("%d calls for %d publications", calls.Load(), n)
	}
}

func asyncClose(w *world) {
	const n = 500
	watcher, b := w.open(), w.open()
	q := w.declare(watcher)
	var safe atomic.Int64
	for i := range n {
		b.PublishAsync(w.ctx, broker.Publication{Queue: q.Name, Body: number(i)}, func(err error) {
			if err == nil {
				safe.Add(1)
			}
		})
	}
	closeBroker(w, b)
	if safe.Load() != n {
		w.Fatalf("%d of %d confirmed when Close returned", safe.Load(), n)
	}
	w.drain(watcher, q, n)
}

func asyncManyPublishers(w *world) {
	const publishers, each = 8, 200
	b := w.open()
	queues := make([]broker.Queue, publishers)
	done := make(chan struct{}, publishers)
	for i := range queues {
		queues[i] = w.declare(b)
	}
	for _, q := range queues {
		go func() {
			w.publish(b, q, each)
			done <- struct{}{}
		}()
	}
	for range queues {
		<-done
	}
	for _, q := range queues {
		if d := cmp.Diff(numbers(0, each), bodies(w.drain(b, q, each))); d != "" {
			w.Fatal(d)
		}
	}
}
