package worker_test

import (
	"context"
	"log/slog"
	"strconv"
	"testing"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	"switchboard/worker"
)

// BenchmarkLanes consumes messages of a thousand people through lanes, alone and
// through middleware.
func BenchmarkLanes(b *testing.B) {
	for name, layers := range map[string][]worker.Layer{
		"alone":      nil,
		"middleware": {{Name: "a", Middleware: passing{}}, {Name: "b", Middleware: passing{}}},
	} {
		b.Run(name, func(b *testing.B) {
			settled := make(chan struct{}, 1000)
			consume(b, layers, func(r *worker.Runtime) func(context.Context, *worker.Delivery) {
				return r.Lanes(func(d *worker.Delivery) string { return d.Message.From }, func(context.Context, *worker.Delivery) error {
					settled <- struct{}{}
					return nil
				})
			}, settled)
		})
	}
}

// BenchmarkStart consumes messages as a dispatcher does: begun in order, settled
// by a callback.
func BenchmarkStart(b *testing.B) {
	for name, layers := range map[string][]worker.Layer{
		"alone":      nil,
		"middleware": {{Name: "a", Middleware: passing{}}, {Name: "b", Middleware: passing{}}},
	} {
		b.Run(name, func(b *testing.B) {
			settled := make(chan struct{}, 1000)
			consume(b, layers, func(r *worker.Runtime) func(context.Context, *worker.Delivery) {
				return func(ctx context.Context, d *worker.Delivery) {
					r.Stack.Start(ctx, d.Envelope, func(_ context.Context, _ *message.Envelope, done func(error)) { go done(nil) }, func(err error) {
						d.Settle(err)
						settled <- struct{}{}
					})
				}
			}, settled)
		})
	}
}

// passing is a middleware that does nothing.
type passing struct{}

func (passing) Wrap(_ message.Flow, next worker.Handler) worker.Handler {
	return func(ctx context.Context, e *message.Envelope) error { return next(ctx, e) }
}

// consume publishes b.N messages and waits until all are settled.
func consume(b *testing.B, layers []worker.Layer, handle func(*worker.Runtime) func(context.Context, *worker.Delivery), settled <-chan struct{}) {
	br := memory.New(memory.Settings{})
	settings := worker.DefaultSettings()
	settings.Prefetch = 500
	r := &worker.Runtime{
		Dependencies: worker.Dependencies{Name: "bench", Broker: br, Logger: slog.New(slog.DiscardHandler), Stack: worker.NewStack(layers...)},
		Settings:     settings,
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	queue := broker.Queue{Name: "sms.inbound", Keys: []string{"sms.inbound"}}
	if err := br.Declare(ctx, queue); err != nil {
		b.Fatal(err)
	}
	bodies := make([][]byte, 1000)
	for i := range bodies {
		m := message.New()
		m.From, m.To, m.Content = "+2783"+strconv.Itoa(1_000_000+i), "12345", "hello"
		bodies[i] = m.Encode()
	}
	go func() {
		ended <- r.Serve(ctx, worker.Subscription{Connector: "sms", Flow: message.Inbound, Handle: handle(r)})
	}()
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for i := range b.N {
			br.PublishAsync(ctx, broker.Publication{Key: "sms.inbound", Body: bodies[i%len(bodies)]}, func(error) {})
		}
	}()
	for range b.N {
		<-settled
	}
	b.StopTimer()
	stop()
	if err := <-ended; err != nil {
		b.Error(err)
	}
	_ = br.Close(context.Background())
}
