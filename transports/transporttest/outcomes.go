package transporttest

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/transports"
	"switchboard/worker"
)

// Outcome is what the outside makes of a message it is given.
type Outcome string

// The outcomes. Sent is what an Outside does until Meet says otherwise.
const (
	Sent      Outcome = "sent"      // accepted
	Pending   Outcome = "pending"   // accepted, and the outside says that it is on its way
	Temporary Outcome = "temporary" // refused once, and accepted when it comes again
	Throttled Outcome = "throttled" // too fast: accepted a little later, at the cost of no try
	Permanent Outcome = "permanent" // refused for good
	Unknown   Outcome = "unknown"   // taken without an answer
)

// name is the connector and the worker's name in the suite's fleets.
const name = "tested"

// fleet is a transport in its frame, on a broker in memory.
type fleet struct {
	*Outside
	t      *testing.T
	broker broker.Broker
	bodies map[string]chan *broker.Delivery // by queue
}

// startFleet runs a transport in its frame until the test ends.
func startFleet(t *testing.T, o *Outside, env worker.Dependencies, attempts int) *fleet {
	t.Helper()
	f := &fleet{Outside: o, t: t, broker: memory.New(memory.Settings{}), bodies: map[string]chan *broker.Delivery{}}
	env.Broker, env.Now = f.broker, o.Now
	opts := transports.DefaultOptions()
	opts.TransportName, opts.MaxAttempts = name, attempts
	opts.RetryInitialDelay, opts.RetryMaxDelay = options.Duration(10*time.Millisecond), options.Duration(20*time.Millisecond)
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	outbound := name + ".outbound"
	if err := f.broker.Declare(ctx, broker.Queue{Name: outbound, Keys: []string{outbound}}); err != nil {
		t.Fatal(err)
	}
	for _, flow := range []string{".inbound", ".event", ".failures", ".outbound.dead"} {
		queue := broker.Queue{Name: name + flow, Keys: []string{name + flow}}
		bodies := make(chan *broker.Delivery, publisherBuffer)
		f.bodies[flow] = bodies
		if err := f.broker.Declare(ctx, queue); err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			err := f.broker.Consume(ctx, queue, 100, func(d *broker.Delivery) {
				bodies <- d
				d.Ack()
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	ended := make(chan error, 1)
	go func() { ended <- transports.New(env, opts, o.Transport).Run(ctx) }()
	t.Cleanup(func() {
		if o.Leave != nil {
			o.Leave()
		}
		stop()
		if err := await(t, ended, "the worker to end"); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the worker ended with %v after a clean stop", err)
		}
		group.Wait()
		_ = f.broker.Close(context.Background())
	})
	return f
}

// outbound is a message to a person: an answer, where people speak.
func (f *fleet) outbound(text string) *message.Message {
	f.t.Helper()
	if f.Say == nil {
		return unasked(text)
	}
	if err := f.Say(within(f.t), "hello"); err != nil {
		f.t.Fatal(err)
	}
	for {
		m, err := message.Decode(await(f.t, f.bodies[".inbound"], "a message to be received").Body)
		if err != nil {
			f.t.Fatal(err)
		}
		if m.Content != "" {
			return m.Reply(text)
		}
	}
}

// unasked is a message to somebody who said nothing.
func unasked(text string) *message.Message {
	m := message.New()
	m.To, m.From, m.Content, m.TransportName = "+27831234567", "9292", text, name
	return m
}

func (f *fleet) send(m *message.Message) {
	f.t.Helper()
	if err := f.broker.Publish(within(f.t), broker.Publication{Key: name + ".outbound", Body: m.Encode()}); err != nil {
		f.t.Fatal(err)
	}
}

// event is the next event about m.
func (f *fleet) event(m *message.Message) *message.Event {
	f.t.Helper()
	e, err := message.DecodeEvent(await(f.t, f.bodies[".event"], "an event").Body)
	if err != nil {
		f.t.Fatal(err)
	}
	if e.MessageID != m.ID {
		f.t.Fatalf("an event about another message: %s", e.Encode())
	}
	return e
}

func (f *fleet) isAcked(m *message.Message) {
	f.t.Helper()
	if e := f.event(m); e.Type != message.Ack || e.SentMessageID == "" {
		f.t.Fatalf("want an ack with a sent_message_id: %s", e.Encode())
	}
}

// hears checks that the person gets m, and gets it once: what is sent after it comes
// next.
func (f *fleet) hears(m *message.Message) {
	f.t.Helper()
	if f.Hear == nil {
		return
	}
	for _, want := range []*message.Message{m, nil} {
		if want == nil {
			want = f.outbound("and then")
			f.send(want)
		}
		if text, err := f.Hear(within(f.t)); err != nil || text != want.Content {
			f.t.Fatalf("the person heard %q and %v, want %q", text, err, want.Content)
		}
	}
}

// nothing checks that a queue got nothing so far.
func (f *fleet) nothing(flow string) {
	f.t.Helper()
	select {
	case d := <-f.bodies[flow]:
		f.t.Errorf("%s%s got %s", name, flow, d.Body)
	default:
	}
}

// outcomes are what the frame makes of what the outside says.
var outcomes = []struct {
	outcome  Outcome
	attempts int // max_attempts
	check    func(f *fleet, m *message.Message)
}{
	{Sent, 1, func(f *fleet, m *message.Message) {
		f.isAcked(m)
		f.hears(m)
	}},
	{Pending, 1, func(f *fleet, m *message.Message) {
		found := map[string]bool{} // in any order: a report may overtake the answer
		for range 2 {
			e := f.event(m)
			found[string(e.Type)+string(e.DeliveryStatus)] = true
		}
		if !found["ack"] || !found["delivery_reportpending"] {
			f.t.Errorf("want an ack and a delivery report that says pending: %v", found)
		}
	}},
	{Temporary, 10, func(f *fleet, m *message.Message) {
		f.isAcked(m)
		f.hears(m)
	}},
	{Throttled, 1, func(f *fleet, m *message.Message) {
		f.isAcked(m)
		f.hears(m)
	}},
	{Permanent, 10, func(f *fleet, m *message.Message) {
		if e := f.event(m); e.Type != message.Nack || e.NackReason == "" {
			f.t.Errorf("want a nack with a reason: %s", e.Encode())
		}
		failure, err := message.DecodeFailure(await(f.t, f.bodies[".failures"], "a failure").Body)
		if err != nil || failure.Message.ID != m.ID || failure.Reason == "" {
			f.t.Errorf("got the failure %+v, %v", failure, err)
		}
		dead := await(f.t, f.bodies[".outbound.dead"], "a dead letter")
		if dead.Headers[worker.HeaderReason] != worker.ReasonPermanent || dead.Headers[worker.HeaderAttempts] != "1" {
			f.t.Errorf("it was tried again: %v", dead.Headers)
		}
		f.nothing(".event")
	}},
	{Unknown, 10, func(f *fleet, m *message.Message) {
		// It was heard, and nobody knows: never an ack, never a second time.
		if e := f.event(m); e.Type != message.Nack || e.NackReason == "" {
			f.t.Errorf("want a nack that says that it is not known: %s", e.Encode())
		}
		f.hears(m)
	}},
}

// runOutcomes tries what an Outside can be made to answer.
func runOutcomes(t *testing.T, open func(*testing.T) *Outside, has *Outside) {
	for _, c := range outcomes {
		if c.outcome != Sent && has.Meet[c.outcome] == nil {
			continue
		}
		run(t, "in the frame: "+string(c.outcome), open, func(t *testing.T, o *Outside, env worker.Dependencies) {
			f := startFleet(t, o, env, c.attempts)
			m := f.outbound("what becomes of it")
			if meet := o.Meet[c.outcome]; meet != nil {
				meet()
			}
			f.send(m)
			c.check(f, m)
		})
	}
	if has.Stall == nil {
		return
	}
	run(t, "in the frame: acknowledged after the outside accepted", open, func(t *testing.T, o *Outside, env worker.Dependencies) {
		f := startFleet(t, o, env, 1)
		m := f.outbound("held")
		release := o.Stall()
		defer release()
		f.send(m)
		time.Sleep(settle) // what must not happen is waited for
		f.nothing(".event")
		release()
		f.isAcked(m)
	})
}

// dependencies are what a frame or plugin under test is given; printed is all that was
// logged.
func dependencies(t *testing.T, state store.State) (env worker.Dependencies, printed func() string) {
	var log lockedBuilder
	return worker.Dependencies{
		Name: name, Kind: worker.KindTransport, State: state, Registerer: prometheus.NewRegistry(),
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, log.String
}

type lockedBuilder struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuilder) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuilder) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
