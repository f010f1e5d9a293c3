//go:build services

package rabbitmq_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
)

const (
	forwarded = 20_000
	bodySize  = 700
)

// BenchmarkForward moves 20,000 bodies from one queue to another: consume,
// publish, ack when confirmed; through this package and, as a yardstick,
// through a bare loop as a sensible user of amqp091-go would write it. They take
// turns, because the machine's mood changes; the ratio is of the medians.
//
//	go test -tags services -run '^$' -bench Forward -benchtime 5x ./broker/rabbitmq
func BenchmarkForward(b *testing.B) {
	var bare, ours []cost
	for b.Loop() {
		bare = append(bare, measure(b, forwardBare))
		ours = append(ours, measure(b, forwardOurs))
	}
	m, n := median(bare), median(ours)
	b.ReportMetric(forwarded/m.time.Seconds(), "bare/s")
	b.ReportMetric(forwarded/n.time.Seconds(), "ours/s")
	b.ReportMetric(m.time.Seconds()/n.time.Seconds(), "ratio")
	b.ReportMetric(float64(m.cpu.Microseconds())/forwarded, "bare-cpu-µs")
	b.ReportMetric(float64(n.cpu.Microseconds())/forwarded, "ours-cpu-µs")
}

// cost is what forwarding all bodies took.
type cost struct{ time, cpu time.Duration }

func measure(b *testing.B, forward func(b *testing.B, from, to broker.Queue)) cost {
	from := broker.Queue{Name: "bench." + rand.Text()}
	to := broker.Queue{Name: "bench." + rand.Text()}
	done := preload(b, from, to)
	defer done()
	began, cpu := time.Now(), cpuTime(b)
	forward(b, from, to)
	return cost{time.Since(began), cpuTime(b) - cpu}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(all []cost) cost {
	slices.SortFunc(all, func(x, y cost) int { return cmp.Compare(x.time, y.time) })
	return all[len(all)/2]
}

// preload fills from; what it returns checks and deletes both queues.
func preload(b *testing.B, from, to broker.Queue) func() {
	br := open(b, rabbitmq.Settings{URL: amqpURL(b)})
	ctx := b.Context()
	must(b, br.Declare(ctx, from))
	must(b, br.Declare(ctx, to))
	var all sync.WaitGroup
	for range forwarded {
		all.Add(1)
		br.PublishAsync(ctx, broker.Publication{Queue: from.Name, Body: make([]byte, bodySize)}, func(err error) {
			must(b, err)
			all.Done()
		})
	}
	all.Wait()
	return func() {
		left, err := br.Inspect(ctx, from.Name)
		must(b, err)
		arrived, err := br.Inspect(ctx, to.Name)
		must(b, err)
		if left.Messages != 0 || arrived.Messages != forwarded {
			b.Fatalf("%d bodies left behind, %d arrived", left.Messages, arrived.Messages)
		}
		must(b, br.Delete(ctx, from.Name))
		must(b, br.Delete(ctx, to.Name))
		must(b, br.Close(ctx))
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func forwardOurs(b *testing.B, from, to broker.Queue) {
	br := open(b, rabbitmq.Settings{URL: amqpURL(b)})
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	confirmed := 0
	must(b, br.Consume(ctx, from, 1000, func(d *broker.Delivery) {
		br.PublishAsync(ctx, broker.Publication{Queue: to.Name, Body: d.Body}, func(err error) {
			if err != nil {
				b.Error(err)
			}
			d.Ack()
			if confirmed++; confirmed == forwarded {
				stop()
			}
		})
	}))
	must(b, br.Close(context.Background()))
}

func forwardBare(b *testing.B, from, to broker.Queue) {
	in, err := amqp.Dial(amqpURL(b))
	must(b, err)
	defer in.Close()
	out, err := amqp.Dial(amqpURL(b))
	must(b, err)
	defer out.Close()
	consume, err := in.Channel()
	must(b, err)
	publish, err := out.Channel()
	must(b, err)
	must(b, publish.Confirm(false))
	must(b, consume.Qos(200, 0, false))
	deliveries, err := consume.Consume(from.Name, "", false, false, false, false, nil)
	must(b, err)

	type flying struct {
		d       amqp.Delivery
		confirm *amqp.DeferredConfirmation
	}
	window := make(chan flying, 200)
	var acks sync.WaitGroup
	acks.Go(func() {
		for f := range window {
			if ok, err := f.confirm.WaitContext(context.Background()); !ok || err != nil {
				b.Error("not confirmed", err)
			}
			if err := f.d.Ack(false); err != nil {
				b.Error(err)
			}
		}
	})
	for range forwarded {
		d := <-deliveries
		confirm, err := publish.PublishWithDeferredConfirmWithContext(context.Background(), "", to.Name, true, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: d.Body})
		must(b, err)
		window <- flying{d, confirm}
	}
	close(window)
	acks.Wait()
	must(b, consume.Close())
}

// BenchmarkPublish is one confirmed publication at a time: the round trip.
func BenchmarkPublish(b *testing.B) {
	br := open(b, rabbitmq.Settings{URL: amqpURL(b)})
	defer br.Close(context.Background())
	q := broker.Queue{Name: "bench." + rand.Text()}
	must(b, br.Declare(b.Context(), q))
	body := make([]byte, bodySize)
	began := time.Now()
	n := 0
	for b.Loop() {
		must(b, br.Publish(b.Context(), broker.Publication{Queue: q.Name, Body: body}))
		n++
	}
	b.ReportMetric(float64(n)/time.Since(began).Seconds(), "bodies/s")
	must(b, br.Delete(b.Context(), q.Name))
}
