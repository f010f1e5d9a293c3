package dispatcher_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// foreignAck is the ack of a transport that drops what it does not know.
func foreignAck(m *message.Message) []byte {
	ack := message.NewAck(m, "smsc-1")
	ack.RoutingMetadata = message.Object{}
	return ack.Encode()
}

func decodeEvent(t *testing.T, d *broker.Delivery) *message.Event {
	t.Helper()
	e, err := message.DecodeEvent(d.Body)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Events of foreign transports find the application that sent the message, of
// replies and of messages the application began with.
func TestEventComesHomeByMemory(t *testing.T) {
	for name, out := range map[string]*message.Message{"a reply": inbound("1").Reply("hi"), "a message of its own": inbound("2")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, simple())
				defer b.stop()
				b.publish("log.outbound", out.Encode())
				b.publish("sms.event", foreignAck(decode(t, b.one("sms.outbound"))))
				if e := decodeEvent(t, b.one("log.event")); e.MessageID != out.ID {
					t.Errorf("got the event of %s", e.MessageID)
				}
				if n := len(b.bodies("app.event")); n != 0 {
					t.Errorf("another application got %d events", n)
				}
			})
		})
	}
}

// With memory switched off only the router is asked, which cannot know.
func TestWithoutMemoryNoApplicationIsGuessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := dispatcher.DefaultOptions()
		opts.Transports, opts.Exposed = options.Names{"sms", "xmpp"}, options.Names{"app", "log"}
		opts.RememberOutbound = false
		b := startWith(t, opts, simple())
		defer b.stop()
		b.publish("log.outbound", inbound("1").Encode())
		b.publish("sms.event", foreignAck(decode(t, b.one("sms.outbound"))))
		b.one("sms.event.dead")
	})
}

// The application's endpoint comes back with the event, whatever the message
// had on its way, by return path and by memory.
func TestEventComesHomeToItsEndpoint(t *testing.T) {
	out := inbound("1")
	out.SetEndpoint("billing")
	elsewhere := routerFunc(func(a dispatcher.Arrival) ([]dispatcher.Target, error) {
		e := a.Clone()
		e.Message.SetEndpoint("smsc2")
		return []dispatcher.Target{{Connector: "sms", Envelope: e}}, nil
	})
	for name, ack := range map[string]func(*message.Message) []byte{
		"ours":    func(m *message.Message) []byte { return message.NewAck(m, "x").Encode() },
		"foreign": foreignAck,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, elsewhere)
				defer b.stop()
				b.publish("app.outbound", out.Encode())
				b.publish("sms.event", ack(decode(t, b.one("sms.outbound"))))
				if e := decodeEvent(t, b.one("app.event")); e.Endpoint() != "billing" {
					t.Errorf("came to endpoint %s", e.Endpoint())
				}
			})
		})
	}
}

// What the router itself answers has no application; its events go nowhere.
func TestEventsOfTheRoutersOwnMessagesAreDropped(t *testing.T) {
	answer := routerFunc(func(a dispatcher.Arrival) ([]dispatcher.Target, error) {
		if a.Flow == message.EventFlow {
			return dispatcher.To("app"), nil
		}
		reply := &message.Envelope{Message: a.Message.Reply("closed")}
		return []dispatcher.Target{{Connector: a.Connector, Flow: message.Outbound, Envelope: reply}}, nil
	})
	synctest.Test(t, func(t *testing.T) {
		b := start(t, answer)
		defer b.stop()
		b.publish("sms.inbound", inbound("1").Encode())
		sent := decode(t, b.one("sms.outbound"))
		b.publish("sms.event", foreignAck(sent))
		b.publish("sms.event", message.NewAck(sent, "x").Encode())
		for _, queue := range []string{"app.event", "log.event", "sms.event", "sms.event.dead"} {
			if n := len(b.bodies(queue)); n != 0 {
				t.Errorf("%s holds %d events", queue, n)
			}
		}
	})
}

// Events with a return path and those that need memory keep their queue's order, and so do
// the messages that are remembered.
func TestMemoryKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, simple())
		defer b.stop()
		const n = 1500
		for i := range n {
			b.broker.PublishAsync(t.Context(), broker.Publication{Key: "app.outbound", Body: inbound(fmt.Sprint(i)).Encode()}, func(error) {})
		}
		synctest.Wait()
		sent := b.bodies("sms.outbound")
		if len(sent) != n {
			t.Fatalf("%d of %d went out", len(sent), n)
		}
		for i, d := range sent {
			m := decode(t, d)
			if m.ID != fmt.Sprint(i) {
				t.Fatalf("at place %d is message %s", i, m.ID)
			}
			body := foreignAck(m)
			if i%3 == 0 {
				body = message.NewAck(m, "x").Encode()
			}
			b.broker.PublishAsync(t.Context(), broker.Publication{Key: "sms.event", Body: body}, func(error) {})
		}
		synctest.Wait()
		events := b.bodies("app.event")
		if len(events) != n {
			t.Fatalf("%d of %d events came back", len(events), n)
		}
		for i, d := range events {
			if e := decodeEvent(t, d); e.MessageID != fmt.Sprint(i) {
				t.Fatalf("at place %d is the event of %s", i, e.MessageID)
			}
		}
	})
}

// forgetful is a state store that is out of reach.
type forgetful struct{ store.State }

func (forgetful) Set(context.Context, ...store.Entry) error { return errors.New("out of reach") }
func (forgetful) Get(context.Context, ...string) (map[string]string, error) {
	return nil, errors.New("out of reach")
}

// A state store that is out of reach holds no message up; an event waits for it.
func TestMemoryOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Settings{})
		opts := dispatcher.DefaultOptions()
		opts.Transports, opts.Exposed = options.Names{"sms"}, options.Names{"app", "log"}
		env := worker.Dependencies{Name: "join", Broker: b, State: forgetful{}, Logger: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		r := routerFunc(func(dispatcher.Arrival) ([]dispatcher.Target, error) { return dispatcher.To("sms"), nil })
		go func() { done <- dispatcher.New(env, opts, r).Run(ctx) }()
		synctest.Wait()
		bench := &bench{t: t, broker: b}
		bench.publish("app.outbound", inbound("1").Encode())
		bench.publish("sms.event", foreignAck(decode(t, bench.one("sms.outbound"))))
		if n := len(bench.bodies("app.event")) + len(bench.bodies("sms.event.dead")); n != 0 {
			t.Errorf("the event did not wait")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = b.Close(context.Background())
	})
}

// BenchmarkOutbound is a message from application to transport on the memory
// broker, with and without remembering it in the memory store.
func BenchmarkOutbound(b *testing.B) {
	for name, on := range map[string]bool{"plain": false, "remember": true} {
		b.Run(name, func(b *testing.B) { benchmarkOutbound(b, on) })
	}
}

func benchmarkOutbound(b *testing.B, remember bool) {
	state := statememory.New()
	mem := memory.New(memory.Settings{})
	opts := dispatcher.DefaultOptions()
	opts.Transports, opts.Exposed = options.Names{"sms"}, options.Names{"app", "log"}
	opts.RememberOutbound = remember
	env := worker.Dependencies{Name: "join", Broker: mem, State: state, Logger: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	arrived := make(chan struct{}, 1<<20)
	out := broker.Queue{Name: "sms.outbound", Keys: []string{"sms.outbound"}}
	in := broker.Queue{Name: "app.outbound", Keys: []string{"app.outbound"}}
	if err := errors.Join(mem.Declare(ctx, out), mem.Declare(ctx, in)); err != nil {
		b.Fatal(err)
	}
	bodies := make([][]byte, b.N)
	for i := range bodies {
		bodies[i] = inbound(message.NewID()).Encode()
		mem.PublishAsync(ctx, broker.Publication{Key: "app.outbound", Body: bodies[i]}, func(error) { arrived <- struct{}{} })
	}
	for range bodies {
		<-arrived
	}
	go func() {
		_ = mem.Consume(ctx, out, 1000, func(d *broker.Delivery) {
			d.Ack()
			arrived <- struct{}{}
		})
	}()
	router := routerFunc(func(dispatcher.Arrival) ([]dispatcher.Target, error) { return dispatcher.To("sms"), nil })
	b.ReportAllocs()
	b.ResetTimer()
	go func() { _ = dispatcher.New(env, opts, router).Run(ctx) }()
	for range bodies {
		<-arrived
	}
	b.StopTimer()
	cancel()
	_ = mem.Close(context.Background())
	_ = state.Close()
}
