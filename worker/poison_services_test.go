//go:build services

package worker_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/message"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// BenchmarkPoison measures what as many poison messages as good ones cost the good
// ones, and what as many further good ones cost: each good one publishes one message,
// as in a dispatcher, and each poison one is dead-lettered. Messages come at a fixed
// rate; good/s is what gets through, and p50-ms and p99-ms are how long it takes.
func BenchmarkPoison(b *testing.B) {
	for _, c := range []struct {
		name   string
		rate   int
		poison bool
	}{{"good alone", poisonRate, false}, {"as much poison", poisonRate, true}, {"twice as many good", 2 * poisonRate, false}} {
		b.Run(c.name, func(b *testing.B) { poisonFlood(b, c.rate, c.poison) })
	}
}

const (
	poisonRate = 1000 // messages a second, good and poison each
	poisonTime = 5 * time.Second
)

func poisonFlood(b *testing.B, rate int, poison bool) {
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	open := func() *rabbitmq.Broker {
		mq, err := rabbitmq.Open(rabbitmq.Settings{URL: os.Getenv("AMQP_URL"), Name: b.Name()})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = mq.Close(context.Background()) })
		return mq
	}
	mq, outside, name := open(), open(), "poison."+strings.ToLower(rand.Text()[:10])
	out := broker.Queue{Name: name + ".out", Keys: []string{name + ".out"}}
	in := broker.Queue{Name: name + ".inbound", Keys: []string{name + ".inbound"}}
	for _, q := range []broker.Queue{in, out} {
		if err := outside.Declare(ctx, q); err != nil {
			b.Fatal(err)
		}
	}
	b.Cleanup(func() {
		for _, queue := range []string{in.Name, out.Name, in.Name + broker.DeadSuffix} {
			_ = outside.Delete(context.Background(), queue)
		}
	})
	state := statememory.New()
	defer func() { _ = state.Close() }()
	core := &worker.Runtime{
		Dependencies: worker.Dependencies{Name: "w", Broker: mq, State: state, Logger: slog.New(slog.DiscardHandler)},
		Settings:     worker.DefaultSettings(),
	}
	var took []time.Duration
	handled := make(chan time.Duration, 2*poisonRate*60)
	source := worker.Subscription{Connector: name, Flow: message.Inbound, Prefetch: 200}
	source.Handle = func(ctx context.Context, d *worker.Delivery) {
		if d.Message.Content == "poison" {
			d.Settle(message.Permanent(errors.New("poison")))
			return
		}
		sent, _ := time.Parse(time.RFC3339Nano, d.Message.Content)
		core.Broker.PublishAsync(ctx, broker.Publication{Key: out.Keys[0], Body: []byte(d.ID())}, func(err error) {
			d.Settle(err)
			handled <- time.Since(sent)
		})
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- core.Serve(serving, source) }()
	publish := func(content string) {
		m := message.New()
		m.From, m.To, m.Content = "+27821234567", "12345", content
		outside.PublishAsync(ctx, broker.Publication{Key: in.Keys[0], Body: m.Encode()}, func(err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
	began, sent := time.Now(), 0
	for tick := time.NewTicker(10 * time.Millisecond); time.Since(began) < poisonTime; <-tick.C {
		for ; sent < int(time.Since(began).Seconds()*float64(rate)); sent++ {
			publish(time.Now().Format(time.RFC3339Nano))
			if poison {
				publish("poison")
			}
		}
	}
	for range sent {
		select {
		case d := <-handled:
			took = append(took, d)
		case <-ctx.Done():
			b.Fatal(ctx.Err())
		}
	}
	b.ReportMetric(float64(sent)/time.Since(began).Seconds(), "good/s")
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	stop()
	if err := <-served; err != nil {
		b.Error(err)
	}
}
