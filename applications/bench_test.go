package applications_test

import (
	"context"
	"log/slog"
	"strconv"
	"testing"

	"switchboard/applications"
	"switchboard/applications/echo"
	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// BenchmarkEcho has an application answer messages of a thousand people.
func BenchmarkEcho(b *testing.B) { answer(b, echo.New()) }

// BenchmarkCounted is the same for an application whose messages the frame
// remembers.
func BenchmarkCounted(b *testing.B) { answer(b, new(answering)) }

// answering answers, and leaves it to the frame to recognise second copies.
type answering struct{}

func (*answering) Receive(_ context.Context, m *message.Message) ([]*message.Message, error) {
	return []*message.Message{m.Reply(m.Content)}, nil
}

func answer(b *testing.B, app applications.Application) {
	br, state := memory.New(memory.Settings{}), statememory.New()
	env := worker.Dependencies{Name: "app", Kind: worker.KindApplication, Broker: br, State: state, Logger: slog.New(slog.DiscardHandler)}
	opts := applications.DefaultOptions()
	opts.TransportName, opts.Prefetch = "app", 500
	ctx, stop := context.WithCancel(b.Context())
	replies := make(chan struct{}, 1000)
	for _, key := range []string{"app.inbound", "app.outbound"} {
		if err := br.Declare(ctx, broker.Queue{Name: key, Keys: []string{key}}); err != nil {
			b.Fatal(err)
		}
	}
	collected, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		collected <- br.Consume(ctx, broker.Queue{Name: "app.outbound", Keys: []string{"app.outbound"}}, 1000, func(d *broker.Delivery) {
			d.Ack()
			replies <- struct{}{}
		})
	}()
	go func() { ended <- applications.New(env, opts, app).Run(ctx) }()
	bodies := make([][]byte, 1000)
	for i := range bodies {
		m := message.New()
		m.From, m.To, m.Content = "+2783"+strconv.Itoa(1_000_000+i), "12345", "hello"
		bodies[i] = m.Encode()
	}
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for i := range b.N {
			br.PublishAsync(ctx, broker.Publication{Key: "app.inbound", Body: bodies[i%len(bodies)]}, func(error) {})
		}
	}()
	for range b.N {
		<-replies
	}
	b.StopTimer()
	stop()
	for _, done := range []chan error{collected, ended} {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	_ = br.Close(context.Background())
	_ = state.Close()
}
