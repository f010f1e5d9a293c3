package dispatcher_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"switchboard/broker"
	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
)

// prepared is a router that routes what it was prepared for, and panics once.
type prepared struct {
	known    map[string]bool
	panicked bool
}

func (p *prepared) Prepare(_ context.Context, arrivals []dispatcher.Arrival) {
	if !p.panicked {
		p.panicked = true
		panic("not yet")
	}
	for _, a := range arrivals {
		p.known[a.Message.ID] = true
	}
}

func (p *prepared) Route(_ context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	if !p.known[a.Message.ID] && a.Message.ID != "first" {
		return nil, fmt.Errorf("%s was not prepared for", a.Message.ID)
	}
	return dispatcher.To("app"), nil
}

// A router that prepares does so for many at once, before each is routed, and
// the queue's order is kept.
func TestPrepare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := &prepared{known: map[string]bool{}}
		b := start(t, router)
		defer b.stop()
		b.publish("sms.inbound", inbound("first").Encode())
		const n = 2000
		for i := range n {
			b.broker.PublishAsync(t.Context(), broker.Publication{Key: "sms.inbound", Body: inbound(fmt.Sprint(i)).Encode()}, func(error) {})
		}
		synctest.Wait()
		found := b.bodies("app.inbound")
		if len(found) != n+1 {
			t.Fatalf("%d of %d arrived", len(found), n+1)
		}
		for i, d := range found[1:] {
			if m := decode(t, d); m.ID != fmt.Sprint(i) {
				t.Fatalf("at place %d is message %s", i, m.ID)
			}
		}
	})
}

// watch is a middleware that sees what became of each message.
type watch struct {
	mu       sync.Mutex
	outcomes map[string]error
}

func (w *watch) Wrap(_ message.Flow, next worker.Handler) worker.Handler {
	return func(ctx context.Context, e *message.Envelope) error {
		err := next(ctx, e)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.outcomes[e.ID()] = err
		return err
	}
}

// Middleware of a dispatcher sees what the broker answered, and the queue keeps
// its order.
func TestMiddlewareSeesTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watch{outcomes: map[string]error{}}
		opts := dispatcher.DefaultOptions()
		opts.Transports, opts.Exposed = options.Names{"sms"}, options.Names{"app"}
		b := startWith(t, opts, routerFunc(func(a dispatcher.Arrival) ([]dispatcher.Target, error) {
			if a.Message.Content == "lost" {
				return dispatcher.To("nobody"), nil
			}
			return dispatcher.To("app"), nil
		}), worker.Layer{Name: "watch", Middleware: w})
		defer b.stop()
		const many = 300
		for i := range many {
			b.publish("sms.inbound", inbound(fmt.Sprint(i)).Encode())
		}
		lost := inbound("lost")
		lost.Content = "lost"
		b.publish("sms.inbound", lost.Encode())
		for i, d := range b.bodies("app.inbound") {
			if m := decode(t, d); m.ID != fmt.Sprint(i) {
				t.Fatalf("%s is the %d-th", m.ID, i)
			}
		}
		if n := len(w.outcomes); n != many+1 || w.outcomes["7"] != nil || !errors.Is(w.outcomes["lost"], broker.ErrUnroutable) {
			t.Errorf("%d outcomes; of the lost one %v", n, w.outcomes["lost"])
		}
	})
}

// A dispatcher of one transport and no application runs.
func TestOneTransportAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := dispatcher.DefaultOptions()
		opts.Transports = options.Names{"sms"}
		if err := opts.Validate(); err != nil {
			t.Fatal(err)
		}
		b := startWith(t, opts, routerFunc(func(dispatcher.Arrival) ([]dispatcher.Target, error) {
			return []dispatcher.Target{{Connector: "sms", Flow: message.Outbound}}, nil
		}))
		defer b.stop()
		b.publish("sms.inbound", inbound("1").Encode())
		b.one("sms.outbound")
	})
}

// What a router makes of an inbound message for a transport passes the
// middleware as an outbound message.
func TestRepliesOfTheRouterPassTheMiddleware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := dispatcher.DefaultOptions()
		opts.Transports = options.Names{"sms", "xmpp"}
		b := startWith(t, opts, routerFunc(func(dispatcher.Arrival) ([]dispatcher.Target, error) {
			return []dispatcher.Target{{Connector: "xmpp", Flow: message.Outbound}}, nil
		}), worker.Layer{Name: "mark", Middleware: flows{}})
		defer b.stop()
		b.publish("sms.inbound", inbound("1").Encode())
		if m := decode(t, b.one("xmpp.outbound")); m.Content != "hello 1 inbound outbound" {
			t.Errorf("sent %q", m.Content)
		}
	})
}

// flows is a middleware that adds the flow to a message's content.
type flows struct{}

func (flows) Wrap(flow message.Flow, next worker.Handler) worker.Handler {
	return func(ctx context.Context, e *message.Envelope) error {
		e.Message.Content += " " + string(flow)
		return next(ctx, e)
	}
}
