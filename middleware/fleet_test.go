package middleware_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/middleware"
	"switchboard/options"
	"switchboard/routers"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// fleet is a dispatcher between sms and app, with one middleware around it.
type fleet struct {
	t      *testing.T
	broker *memory.Broker
}

// around runs a test with a dispatcher that has m around it.
func around(t *testing.T, m worker.Middleware, test func(f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, state := memory.New(memory.Settings{}), statememory.New()
		env := worker.Dependencies{
			Name: "join", Kind: worker.KindDispatcher, Broker: b, State: state, Logger: slog.New(slog.DiscardHandler),
			Stack: worker.NewStack(worker.Layer{Name: "m", Middleware: m}),
		}
		opts := dispatcher.DefaultOptions()
		opts.Transports, opts.Exposed = options.Names{"sms"}, options.Names{"app"}
		router := routers.NewSimple()
		router.RouteMappings = options.Map[options.Names]{{Key: "sms", Value: options.Names{"app"}}}
		if err := router.Check(opts.Names()); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- dispatcher.New(env, opts, router).Run(ctx) }()
		synctest.Wait()
		test(&fleet{t, b})
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = b.Close(context.Background())
		_ = state.Close()
	})
}

func (f *fleet) send(e *message.Envelope) {
	f.t.Helper()
	if e.Flow == message.Outbound {
		e.Connector = "app"
	}
	if err := f.broker.Publish(f.t.Context(), broker.Publication{Key: e.Key(), Body: e.Encode()}); err != nil {
		f.t.Fatal(err)
	}
	synctest.Wait()
}

// take empties a queue.
func (f *fleet) take(connector string, flow message.Flow) (found []*message.Envelope) {
	f.t.Helper()
	err := f.broker.Browse(f.t.Context(), message.Key(connector, flow), 1000, func(d *broker.Delivery) (broker.Verdict, error) {
		e, err := message.DecodeEnvelope(flow, connector, d.Body)
		found = append(found, e)
		return broker.Remove, err
	})
	if err != nil && !errors.Is(err, broker.ErrNoQueue) {
		f.t.Fatal(err)
	}
	return found
}

// The application learns that its message went nowhere, and why.
func TestOptOutOnADispatcher(t *testing.T) {
	around(t, mustLoad(t, middleware.NewOptOut(), ""), func(f *fleet) {
		f.send(envelope(message.Inbound, func(m *message.Message) { m.Content = "stop" }))
		if got := f.take("app", message.Inbound); len(got) != 1 {
			t.Fatalf("the application got %d messages of STOP", len(got))
		}
		out := envelope(message.Outbound, nil)
		f.send(out)
		if got := f.take("sms", message.Outbound); len(got) != 0 {
			t.Errorf("%d messages went out", len(got))
		}
		events := f.take("app", message.EventFlow)
		if len(events) != 1 || events[0].Event.Type != message.Nack || events[0].ID() != out.ID() ||
			events[0].Event.NackReason != "blocked: +27821234567 has opted out (list default)" {
			t.Fatalf("the application got %v", events)
		}
		if dead := f.take("app.outbound", "dead"); len(dead) != 0 {
			t.Errorf("%d dead letters", len(dead))
		}
	})
}

// What passes a dispatcher's two doors is counted once, and what is above the
// limit comes later, once.
func TestRateLimitOnADispatcher(t *testing.T) {
	around(t, mustLoad(t, middleware.NewRateLimit(), "{limit: 2, per: 60s}"), func(f *fleet) {
		for range 3 {
			f.send(envelope(message.Outbound, nil))
		}
		if got := f.take("sms", message.Outbound); len(got) != 2 {
			t.Fatalf("%d went out at once, want 2", len(got))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := f.take("sms", message.Outbound); len(got) != 1 {
			t.Errorf("%d came later, want 1", len(got))
		}
	})
}

func TestDedupeOnADispatcher(t *testing.T) {
	around(t, mustLoad(t, middleware.NewDedupe(), ""), func(f *fleet) {
		for range 3 {
			f.send(envelope(message.Inbound, nil))
		}
		if got := f.take("app", message.Inbound); len(got) != 1 {
			t.Errorf("%d arrived, want 1", len(got))
		}
		if dead := f.take("sms.inbound", "dead"); len(dead) != 0 {
			t.Errorf("%d dead letters", len(dead))
		}
	})
}
