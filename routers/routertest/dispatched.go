package routertest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"

	"switchboard/broker"
	brokermemory "switchboard/broker/memory"
	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store/memory"
	"switchboard/worker"
)

// running is a dispatcher with the subject's router, in a bubble of its own.
type running struct {
	t      *testing.T
	broker *brokermemory.Broker
}

func (s *Subject) inBubble(t *testing.T, test func(t *testing.T, d *running)) {
	synctest.Test(t, func(t *testing.T) {
		state, b := memory.New(), brokermemory.New(brokermemory.Settings{})
		defer func() {
			_ = b.Close(context.Background())
			_ = state.Close()
		}()
		router, err := s.load(t, s.Config, state)
		if err != nil {
			t.Fatal(err)
		}
		opts := dispatcher.DefaultOptions()
		opts.Transports, opts.Exposed = options.Names(s.Names.Transports), options.Names(s.Names.Exposed)
		env := worker.Dependencies{Name: "routertest", Broker: b, State: state, Logger: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- dispatcher.New(env, opts, router).Run(ctx) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("stopping the dispatcher: %v", err)
			}
		}()
		synctest.Wait()
		test(t, &running{t, b})
	})
}

func (d *running) publish(connector string, flow message.Flow, body []byte) {
	d.t.Helper()
	key := message.Key(connector, flow)
	if err := d.broker.Publish(d.t.Context(), broker.Publication{Key: key, Body: body}); err != nil {
		d.t.Fatalf("publishing to %s: %v", key, err)
	}
	synctest.Wait()
}

// take empties a queue.
func (d *running) take(queue string) (bodies []*broker.Delivery) {
	d.t.Helper()
	err := d.broker.Browse(d.t.Context(), queue, 1000, func(body *broker.Delivery) (broker.Verdict, error) {
		bodies = append(bodies, body)
		return broker.Remove, nil
	})
	if err != nil && !errors.Is(err, broker.ErrNoQueue) {
		d.t.Fatal(err)
	}
	return bodies
}

// deadLetters: what has no way lies in the dead letters as it came, with a reason
// an operator can read; the application that sent it gets a nack.
func (s Subject) deadLetters(t *testing.T) {
	s.inBubble(t, func(t *testing.T, d *running) {
		for _, a := range s.Astray {
			body := a.Encode()
			d.publish(a.Connector, a.Flow, body)
			dead := d.take(message.Key(a.Connector, a.Flow) + broker.DeadSuffix)
			if len(dead) != 1 || string(dead[0].Body) != string(body) {
				t.Fatalf("%s from %s: %d bodies in the dead letters", &a, a.Connector, len(dead))
			}
			if dead[0].Headers[worker.HeaderReason] != worker.ReasonPermanent || dead[0].Headers[worker.HeaderError] == "" {
				t.Errorf("%s from %s was dead-lettered without a reason: %v", &a, a.Connector, dead[0].Headers)
			}
			if a.Flow != message.Outbound {
				continue
			}
			events := d.take(message.Key(a.Connector, message.EventFlow))
			if len(events) != 1 {
				t.Errorf("the application got %d events for what went nowhere, want one nack", len(events))
			}
		}
	})
}

// returnsEvents: an event goes to the application that sent the message and
// to no other, of replies and of messages it began with, whether the transport
// is ours, which keeps the return path, or a foreign one, which drops it.
func (s Subject) returnsEvents(t *testing.T) {
	s.inBubble(t, func(t *testing.T, d *running) {
		for _, application := range s.Names.Exposed {
			d.publish(application, message.Outbound, s.Outbound(application).Encode())
			d.expectEvents(s.Names, application, "of a message it began with")
		}
		for _, transport := range s.From {
			d.publish(transport, message.Inbound, s.Inbound(transport).Encode())
			for _, application := range s.Names.Exposed {
				for _, body := range d.take(message.Key(application, message.Inbound)) {
					m, err := message.Decode(body.Body)
					if err != nil {
						t.Fatal(err)
					}
					d.publish(application, message.Outbound, m.Reply("yes").Encode())
					d.expectEvents(s.Names, application, "of its reply")
				}
			}
		}
	})
}

// expectEvents lets the transport that got a message tell of it, as ours and as
// a foreign one would, and counts who hears.
func (d *running) expectEvents(names dispatcher.Names, application, what string) {
	d.t.Helper()
	sent := 0
	for _, transport := range names.Transports {
		for _, body := range d.take(message.Key(transport, message.Outbound)) {
			m, err := message.Decode(body.Body)
			if err != nil {
				d.t.Fatal(err)
			}
			ack := message.NewAck(m, "1")
			ack.TransportName = transport
			report := message.NewDeliveryReport(m, message.Delivered)
			report.TransportName = transport
			report.RoutingMetadata = message.Object{} // as a foreign transport sends it
			d.publish(transport, message.EventFlow, ack.Encode())
			d.publish(transport, message.EventFlow, report.Encode())
			sent++
		}
	}
	if sent != 1 {
		d.t.Fatalf("%s sent one message, and transports got %d", application, sent)
	}
	for _, name := range names.Exposed {
		want := 0
		if name == application {
			want = 2
		}
		if got := len(d.take(message.Key(name, message.EventFlow))); got != want {
			d.t.Errorf("%s got %d events %s of %s, want %d", name, got, what, application, want)
		}
	}
}
