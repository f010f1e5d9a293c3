package middleware_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/applications"
	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	"switchboard/middleware"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// parrot repeats what it hears, and keeps the events it gets.
type parrot struct{ events []*message.Event }

func (*parrot) Receive(_ context.Context, m *message.Message) ([]*message.Message, error) {
	return []*message.Message{m.Reply(m.Content)}, nil
}

func (p *parrot) ReceiveEvent(_ context.Context, e *message.Event) error {
	p.events = append(p.events, e)
	return nil
}

// An application with opt_out around it learns what was held back, and so does
// the record; whoever else listens to its connector hears nothing of a message
// that was never there.
func TestOptOutOnAnApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, state := memory.New(memory.Settings{}), statememory.New()
		stop := mustLoad(t, middleware.NewOptOut(), "")
		env := worker.Dependencies{
			Name: "app", Kind: worker.KindApplication, Broker: b, State: state, Logger: slog.New(slog.DiscardHandler),
			Stack: worker.NewStack(worker.Layer{Name: "stop", Middleware: stop}),
		}
		for _, key := range []string{"app.outbound", "app.event", "app.receipt"} {
			if err := b.Declare(t.Context(), broker.Queue{Name: "tap." + key, Keys: []string{key}}); err != nil {
				t.Fatal(err)
			}
		}
		options, app := applications.DefaultOptions(), &parrot{}
		options.TransportName = "app"
		ctx, end := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- applications.New(env, options, app).Run(ctx) }()
		synctest.Wait()
		f := &fleet{t, b}
		for _, content := range []string{"stop", "and now?"} {
			e := envelope(message.Inbound, func(m *message.Message) { m.Content = content })
			e.Connector = "app"
			f.send(e)
		}
		time.Sleep(time.Second) // of the test's own clock: writes are gathered
		synctest.Wait()
		var reasons []string
		err := b.Browse(t.Context(), "tap.app.receipt", 10, func(d *broker.Delivery) (broker.Verdict, error) {
			receipt, err := message.DecodeReceipt(d.Body)
			reasons = append(reasons, receipt.Outcome+" "+receipt.Reason)
			return broker.Keep, err
		})
		const refused = "blocked: +27821234567 has opted out (list default)"
		if err != nil || strings.Join(reasons, "|") != "processed a reply was rejected: "+refused {
			t.Errorf("receipts: %q, %v", reasons, err)
		}
		if len(app.events) != 1 || app.events[0].Type != message.Nack || app.events[0].NackReason != refused {
			t.Errorf("events: %+v", app.events)
		}
		for queue, want := range map[string]int{"tap.app.outbound": 1, "tap.app.event": 0} {
			if info, err := b.Inspect(t.Context(), queue); err != nil || info.Messages != want {
				t.Errorf("%s has %+v, %v; want %d", queue, info, err, want)
			}
		}
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = b.Close(context.Background())
		_ = state.Close()
	})
}
