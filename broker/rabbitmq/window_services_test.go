//go:build services

package rabbitmq_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/internal/testutil"
)

// TestThePrefetchIsBoundedInBytes consumes large bodies behind small ones, more of them
// than fit: few are unsettled at once, and all come in order, again where the connection
// was dropped since too many came at once.
func TestThePrefetchIsBoundedInBytes(t *testing.T) {
	const small, large, size, most = 3000, 300, 200_000, 10 << 20
	b := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
	ctx := testContext(t)
	q := newQueue(t)
	results := make(chan error, small+large)
	for i := range small + large {
		body := fmt.Appendf(nil, "%d ", i)
		if i >= small {
			body = append(body, make([]byte, size)...)
		}
		b.PublishAsync(ctx, broker.Publication{Queue: q.Name, Body: body}, func(err error) { results <- err })
	}
	for range small + large {
		must(t, <-results)
	}
	var mu sync.Mutex
	var held []*broker.Delivery
	next, bytes, peak := 0, 0, 0
	consuming, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- b.Consume(consuming, q, 1000, func(d *broker.Delivery) {
			mu.Lock()
			defer mu.Unlock()
			var i int
			if _, err := fmt.Sscan(string(d.Body[:min(8, len(d.Body))]), &i); err != nil || i > next || i < next && !d.Redelivered {
				t.Errorf("%d came in the place of %d", i, next)
			}
			next = i + 1
			if i < small {
				d.Ack()
				return
			}
			held = append(held, d)
			bytes += len(d.Body)
			peak = max(peak, bytes)
		})
	}()
	ackAll := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, d := range held {
			d.Ack()
		}
		held, bytes = nil, 0
		return next
	}
	testutil.Eventually(t, "large ones are held", func() bool { mu.Lock(); defer mu.Unlock(); return bytes > 1<<20 })
	testutil.Eventually(t, "all have come", func() bool { return ackAll() == small+large })
	ackAll()
	stop()
	must(t, <-done)
	if peak > most {
		t.Errorf("%d bytes were held, want at most %d", peak, most)
	}
	t.Logf("at most %d bytes were held", peak)
}

// TestAGrowingPrefetchDeliversOnce: what is unsettled while the prefetch grows does not come
// again, on queues of either type. A quorum queue marks as redelivered what it had handed out and
// not sent.
func TestAGrowingPrefetchDeliversOnce(t *testing.T) {
	const bodies, lag = 1000, 15
	b := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
	for _, kind := range []broker.QueueType{broker.Classic, broker.Quorum} {
		t.Run(string(kind), func(t *testing.T) {
			ctx := testContext(t)
			q := broker.Queue{Name: "rabbitmqtest." + rand.Text(), Type: kind}
			must(t, b.Declare(ctx, q))
			t.Cleanup(func() { _ = b.Delete(context.Background(), q.Name) })
			results := make(chan error, bodies)
			for i := range bodies {
				b.PublishAsync(ctx, broker.Publication{Queue: q.Name, Body: fmt.Append(nil, i)}, func(err error) { results <- err })
			}
			for range bodies {
				must(t, <-results)
			}
			consuming, stop := context.WithCancel(ctx)
			defer stop()
			var unsettled []*broker.Delivery
			got := 0
			must(t, b.ConsumeWithin(consuming, q, func() int { return 2*lag + got/2 }, func(d *broker.Delivery) {
				if string(d.Body) != fmt.Sprint(got) || d.Redelivered && kind == broker.Classic {
					t.Errorf("%s came in the place of %d, redelivered: %v", d.Body, got, d.Redelivered)
				}
				got++
				unsettled = append(unsettled, d)
				for len(unsettled) > lag || got == bodies && len(unsettled) > 0 {
					unsettled[0].Ack()
					unsettled = unsettled[1:]
				}
				if got == bodies {
					stop()
				}
			}))
		})
	}
}
