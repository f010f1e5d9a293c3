package dispatcher_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
	"switchboard/routers"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// bench is a dispatcher on a broker of its own, between two transports and two
// applications.
type bench struct {
	t      *testing.T
	broker *memory.Broker
	stop   func()
}

func start(t *testing.T, router dispatcher.Router) *bench {
	t.Helper()
	opts := dispatcher.DefaultOptions()
	opts.Transports = options.Names{"sms", "xmpp"}
	opts.Exposed = options.Names{"app", "log"}
	return startWith(t, opts, router)
}

func startWith(t *testing.T, opts dispatcher.Options, router dispatcher.Router, layers ...worker.Layer) *bench {
	t.Helper()
	if checker, can := router.(dispatcher.Checker); can {
		if err := checker.Check(opts.Names()); err != nil {
			t.Fatal(err)
		}
	}
	state := statememory.New()
	b := memory.New(memory.Settings{})
	env := worker.Dependencies{Name: "join", Broker: b, State: state, Logger: slog.New(slog.DiscardHandler), Stack: worker.NewStack(layers...)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- dispatcher.New(env, opts, router).Run(ctx) }()
	synctest.Wait()
	stop := func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		_ = b.Close(context.Background())
		_ = state.Close()
	}
	return &bench{t, b, stop}
}

func (b *bench) publish(key string, body []byte) {
	b.t.Helper()
	if err := b.broker.Publish(b.t.Context(), broker.Publication{Key: key, Body: body}); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

// bodies are what a queue holds.
func (b *bench) bodies(queue string) (found []*broker.Delivery) {
	b.t.Helper()
	err := b.broker.Browse(b.t.Context(), queue, 100000, func(d *broker.Delivery) (broker.Verdict, error) {
		found = append(found, d)
		return broker.Keep, nil
	})
	if err != nil && !errors.Is(err, broker.ErrNoQueue) {
		b.t.Fatal(err)
	}
	return found
}

func (b *bench) one(queue string) *broker.Delivery {
	b.t.Helper()
	found := b.bodies(queue)
	if len(found) != 1 {
		b.t.Fatalf("%s holds %d bodies, want 1", queue, len(found))
	}
	return found[0]
}

func simple() *routers.Simple {
	r := routers.NewSimple()
	r.RouteMappings = options.Map[options.Names]{{Key: "sms", Value: options.Names{"app", "log"}}, {Key: "xmpp", Value: options.Names{"app"}}}
	return r
}

func inbound(id string) *message.Message {
	m := message.New()
	m.ID, m.To, m.From, m.Content = id, "12345", "+27831234567", "hello "+id
	m.TransportName, m.TransportType = "sms", "sms"
	return m
}

func decode(t *testing.T, d *broker.Delivery) *message.Message {
	t.Helper()
	m, err := message.Decode(d.Body)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestInboundGoesToEveryMappedName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, simple())
		defer b.stop()
		b.publish("sms.inbound", inbound("1").Encode())
		for _, queue := range []string{"app.inbound", "log.inbound"} {
			if m := decode(t, b.one(queue)); m.ID != "1" || m.Content != "hello 1" {
				t.Errorf("%s got %+v", queue, m)
			}
		}
	})
}

// The order of a queue is kept, however many are on their way at once.
func TestOrderIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, simple())
		defer b.stop()
		const n = 3000
		for i := range n {
			b.broker.PublishAsync(t.Context(), broker.Publication{Key: "xmpp.inbound", Body: inbound(fmt.Sprint(i)).Encode()}, func(error) {})
		}
		synctest.Wait()
		found := b.bodies("app.inbound")
		if len(found) != n {
			t.Fatalf("%d of %d arrived", len(found), n)
		}
		for i, d := range found {
			if m := decode(t, d); m.ID != fmt.Sprint(i) {
				t.Fatalf("at place %d is message %s", i, m.ID)
			}
		}
	})
}

// An event goes to the application that sent the message, and to no other,
// although both applications share the transport.
func TestEventComesHomeByTheStamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, simple())
		defer b.stop()
		out := inbound("1").Reply("hi")
		b.publish("log.outbound", out.Encode())
		sent := decode(t, b.one("sms.outbound"))
		b.publish("sms.event", message.NewAck(sent, "smsc-1").Encode())
		e, err := message.DecodeEvent(b.one("log.event").Body)
		if err != nil || e.MessageID != out.ID {
			t.Fatalf("got %+v, %v", e, err)
		}
		if others := b.bodies("app.event"); len(others) != 0 {
			t.Errorf("the event went to app as well")
		}
	})
}

type routerFunc func(dispatcher.Arrival) ([]dispatcher.Target, error)

func (f routerFunc) Route(_ context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	return f(a)
}

// What cannot be routed is dead-lettered with its reason, and what comes behind it
// is routed meanwhile.
func TestSetAside(t *testing.T) {
	moody := routerFunc(func(a dispatcher.Arrival) ([]dispatcher.Target, error) {
		switch a.Message.Content {
		case "panic":
			panic("I do not like this one")
		case "nowhere":
			return nil, nil
		case "permanent":
			return nil, message.Permanent(errors.New("never"))
		case "unbound":
			return dispatcher.To("nobody"), nil
		}
		return dispatcher.To("app"), nil
	})
	speak := func(content string) []byte {
		m := inbound("1")
		m.Content = content
		return m.Encode()
	}
	for name, c := range map[string]struct {
		body         []byte
		reason, text string
	}{
		"no JSON":         {[]byte("hello"), worker.ReasonInvalid, "not valid JSON"},
		"not UTF-8":       {[]byte("{\"a\": \"\xff\"}"), worker.ReasonInvalid, "not valid UTF-8"},
		"another shape":   {[]byte(`[1, 2]`), worker.ReasonInvalid, "is an array, not an object"},
		"an event":        {message.NewAck(inbound("1"), "x").Encode(), worker.ReasonInvalid, "message_type"},
		"5 MB of nothing": {[]byte(strings.Repeat(" ", 5<<20)), worker.ReasonInvalid, "the body has 5242880 bytes"},
		"much nothing":    {[]byte(strings.Repeat(" ", 1<<20)), worker.ReasonInvalid, "not valid JSON"},
		"a panic":         {speak("panic"), worker.ReasonPanic, "I do not like this one"},
		"no target":       {speak("nowhere"), worker.ReasonPermanent, "no target"},
		"refused":         {speak("permanent"), worker.ReasonPermanent, "never"},
		"no queue":        {speak("unbound"), worker.ReasonPermanent, "no queue is bound"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, moody)
				defer b.stop()
				b.publish("sms.inbound", c.body)
				b.publish("sms.inbound", inbound("next").Encode())
				dead := b.one("sms.inbound.dead")
				if string(dead.Body) != string(c.body) {
					t.Error("the body was changed")
				}
				if h := dead.Headers; h[worker.HeaderReason] != c.reason || !strings.Contains(h[worker.HeaderError], c.text) {
					t.Errorf("reason %q, error %q", h[worker.HeaderReason], h[worker.HeaderError])
				}
				if m := decode(t, b.one("app.inbound")); m.ID != "next" {
					t.Errorf("got %s", m.ID)
				}
			})
		})
	}
}

// An outbound message that goes nowhere is dead-lettered, and its application told.
func TestUnroutableOutboundIsNacked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, simple())
		defer b.stop()
		m := inbound("1")
		m.TransportName = "pigeon"
		b.publish("app.outbound", m.Encode())
		b.one("app.outbound.dead")
		e, err := message.DecodeEvent(b.one("app.event").Body)
		if err != nil || e.Type != message.Nack || !strings.Contains(e.NackReason, "pigeon") {
			t.Errorf("got %+v, %v", e, err)
		}
	})
}

// The record learns of messages that a dispatcher neither routes nor hands over.
func TestReceiptsOfDeadEnds(t *testing.T) {
	router := routerFunc(func(a dispatcher.Arrival) ([]dispatcher.Target, error) {
		switch a.Message.Content {
		case "drop":
			return nil, message.Discard("not wanted")
		case "refuse":
			return nil, message.Reject("opted out")
		}
		return nil, message.Permanent(errors.New("no route"))
	})
	for _, c := range []struct{ key, content, receipts, outcome, reason string }{
		{"sms.inbound", "dead", "sms.receipt", message.ReceiptErrored, "no route"},
		{"sms.inbound", "drop", "sms.receipt", message.ReceiptProcessed, "dropped: not wanted"},
		{"sms.inbound", "refuse", "sms.receipt", message.ReceiptProcessed, "dropped: opted out"},
		{"app.outbound", "dead", "app.receipt", message.ReceiptRefused, "no route"},
		{"app.outbound", "drop", "app.receipt", message.ReceiptRefused, "dropped: not wanted"},
		{"app.outbound", "refuse", "app.receipt", message.ReceiptRefused, "opted out"},
	} {
		t.Run(c.key+" "+c.content, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, router)
				defer b.stop()
				if err := b.broker.Declare(t.Context(), broker.Queue{Name: "record", Keys: []string{c.receipts}}); err != nil {
					t.Fatal(err)
				}
				m := inbound("1")
				m.Content = c.content
				b.publish(c.key, m.Encode())
				r, err := message.DecodeReceipt(b.one("record").Body)
				if err != nil || r.MessageID != "1" || r.Outcome != c.outcome || r.Reason != c.reason {
					t.Errorf("receipt: %+v, %v", r, err)
				}
				refused := c.outcome == message.ReceiptRefused
				if refused != (len(r.Message) > 0) || refused && r.Application != "app" {
					t.Errorf("of application %q with message %s", r.Application, r.Message)
				}
			})
		})
	}
}

// What fails for the moment is tried again, later and later, and dead-lettered when
// it has failed often enough.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries []time.Time
		opts := dispatcher.DefaultOptions()
		opts.Transports, opts.Exposed = options.Names{"sms"}, options.Names{"app"}
		opts.MaxAttempts = 4
		b := startWith(t, opts, routerFunc(func(dispatcher.Arrival) ([]dispatcher.Target, error) {
			tries = append(tries, time.Now())
			return nil, errors.New("the moon is wrong")
		}))
		defer b.stop()
		b.publish("sms.inbound", inbound("1").Encode())
		time.Sleep(time.Minute) // of the test's own clock
		synctest.Wait()
		if len(tries) != 4 {
			t.Fatalf("tried %d times, want 4", len(tries))
		}
		for i, least := range []time.Duration{time.Second, 3 * time.Second, 9 * time.Second} {
			if gap := tries[i+1].Sub(tries[i]); gap < least || gap > 2*least {
				t.Errorf("waited %s before try %d, want %s to %s", gap, i+2, least, 2*least)
			}
		}
		dead := b.one("sms.inbound.dead")
		if dead.Headers[worker.HeaderReason] != worker.ReasonExhausted || dead.Headers[worker.HeaderAttempts] != "4" {
			t.Errorf("headers %v", dead.Headers)
		}
	})
}

// Two dispatchers that route to each other do not do it for ever.
func TestCirclesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := dispatcher.DefaultOptions()
		opts.Transports, opts.Exposed = options.Names{"a"}, options.Names{"b"}
		b := startWith(t, opts, routerFunc(func(dispatcher.Arrival) ([]dispatcher.Target, error) {
			return dispatcher.To("a"), nil
		}))
		defer b.stop()
		b.publish("a.inbound", inbound("1").Encode())
		if h := b.one("a.inbound.dead").Headers; !strings.Contains(h[worker.HeaderError], "max_hops") {
			t.Errorf("headers %v", h)
		}
	})
}
