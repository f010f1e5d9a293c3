package brokertest

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"switchboard/broker"
)

var faultTests = map[string]func(*world){
	"faults/a cut brings back what is unsettled":            cutRedelivers,
	"faults/cut again and again: nothing is lost":           cutLosesNothing,
	"faults/Publish waits while the broker is out of reach": refusedPublishWaits,
	"faults/latency costs little when publishing async":     latency,
	"faults/a black hole loses nothing and hangs nothing":   blackHole,
}

func cutRedelivers(w *world) {
	const n = 5
	b, faults := w.openFaulty()
	q := w.declare(b)
	w.publish(b, q, n)
	c := w.consume(b, q, n)
	old := c.take(n)
	faults.Cut()
	again := map[string]bool{}
	for len(again) < n {
		d := c.next()
		if !d.Redelivered {
			w.Fatalf("%q came again and does not say so", d.Body)
		}
		again[string(d.Body)] = true
		old[0].Ack() // belongs to a connection that is gone
		d.Ack()
	}
	for _, d := range old {
		d.Ack()
	}
	c.finish()
	w.awaitReady(b, q, 0)
	w.await("the state is connected", func() bool { return b.State().Connected })
	if b.State().Reconnects == 0 {
		w.Fatal("no reconnect was counted")
	}
}

// cutLosesNothing forwards bodies from one queue to another, as a dispatcher
// does, while connections are cut.
func cutLosesNothing(w *world) {
	const n, cuts, publishers = 4000, 6, 4
	watcher := w.open()
	b, faults := w.openFaulty()
	from, to := w.declare(watcher), w.declare(watcher)

	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			for i := p; i < n; i += publishers {
				if err := b.Publish(w.ctx, broker.Publication{Queue: from.Name, Body: []byte(strconv.Itoa(i))}); err != nil {
					w.Errorf("publishing %d: %v", i, err)
					return
				}
			}
		})
	}
	ctx, stop := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() {
		ended <- b.Consume(ctx, from, 100, func(d *broker.Delivery) {
			b.PublishAsync(w.ctx, broker.Publication{Queue: to.Name, Body: d.Body}, func(err error) {
				if err != nil {
					d.Requeue()
					return
				}
				d.Ack()
			})
		})
	}()

	c := w.consume(watcher, to, 1000)
	seen := map[string]bool{}
	for len(seen) < n {
		d := c.next()
		if !seen[string(d.Body)] {
			seen[string(d.Body)] = true
			if len(seen)%(n/(cuts+1)) == 0 {
				faults.Cut()
			}
		}
		d.Ack()
	}
	publishing.Wait()
	w.awaitReady(watcher, from, 0)
	stop()
	w.must(<-ended)
	c.stop()
	for {
		select {
		case d := <-c.deliverer:
			d.Ack() // repeated, as is allowed
			continue
		case err := <-c.ended:
			w.must(err)
		case <-time.After(patience):
			w.Fatal("consuming does not end")
		}
		return
	}
}

func refusedPublishWaits(w *world) {
	b, faults := w.openFaulty()
	if faults.Refuse == nil {
		return
	}
	q := w.declare(b)
	w.publish(b, q, 1)
	faults.Refuse(true)
	w.await("the loss is noticed", func() bool { return !b.State().Connected })
	if b.State().LastError == nil {
		w.Fatal("the state does not say why it is not connected")
	}
	ctx, cancel := context.WithTimeout(w.ctx, 100*time.Millisecond)
	defer cancel()
	w.wantErr(b.Publish(ctx, broker.Publication{Queue: q.Name, Body: number(1)}), context.DeadlineExceeded)
	w.wantErr(b.Declare(ctx, q), context.DeadlineExceeded)
	result := make(chan error, 1)
	go func() { result <- b.Publish(w.ctx, broker.Publication{Queue: q.Name, Body: number(1)}) }()
	faults.Refuse(false)
	w.must(<-result)
	w.drain(b, q, 2)
}

func blackHole(w *world) {
	const n = 50
	b, faults := w.openFaulty()
	if faults.BlackHole == nil {
		return
	}
	q := w.declare(b)
	w.publish(b, q, 1)
	faults.BlackHole(true)
	began, results := time.Now(), make(chan error, n)
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	go func() {
		for range n {
			// Together more than the kernel takes of a connection nobody reads.
			b.PublishAsync(ctx, broker.Publication{Queue: q.Name, Body: make([]byte, 256<<10)}, func(err error) { results <- err })
		}
	}()
	for range n {
		err := <-results
		if errors.Is(err, context.Canceled) {
			continue // was not published
		}
		cancel()
		if !errors.Is(err, broker.ErrLost) {
			w.Fatalf("got %v, want ErrLost", err)
		}
	}
	if took := time.Since(began); took > faults.Detection {
		w.Fatalf("noticed after %v, want %v", took, faults.Detection)
	}
	faults.BlackHole(false)
	w.must(b.Publish(w.ctx, broker.Publication{Queue: q.Name, Body: []byte("after")}))
}

// latency: with each way taking a while, bodies still travel by the hundred.
func latency(w *world) {
	const n, each = 500, 20 * time.Millisecond
	b, faults := w.openFaulty()
	if faults.Latency == nil {
		return
	}
	q := w.declare(b)
	faults.Latency(each)
	began := time.Now()
	c := w.consume(b, q, n)
	w.publish(b, q, n)
	for _, d := range c.take(n) {
		d.Ack()
	}
	c.finish()
	if took := time.Since(began); took > n*each/2 {
		w.Errorf("took %v, as if one waited for the other", took)
	}
	faults.Latency(0)
	w.awaitReady(b, q, 0)
}
