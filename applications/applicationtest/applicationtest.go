// Package applicationtest runs an application under test in the worker that
// will run it, on a broker and a state store in memory: a test says what people
// send and looks at what they get. It needs no server, no port and no sleep,
// and may be used in a testing/synctest bubble.
package applicationtest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"switchboard/applications"
	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	"switchboard/options"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// Patience is how long the methods of a Worker wait for what must happen,
// before they end the test: long enough for a busy machine.
const Patience = 30 * time.Second

const (
	// Connector is the name of the application's connector, and of its worker.
	Connector = "app"
	// Here is the address people write to.
	Here = "8080"
	// seenQueue gets, in their order, what the application sends and the outcomes of
	// what it handles.
	seenQueue = "applicationtest"
	// seenBuffer bounds what a test may leave unlooked at.
	seenBuffer = 1024
)

// Worker is an application at work.
type Worker struct {
	t      testing.TB
	broker *memory.Broker
	seen   chan seen
}

// seen is a message the application sent, or how handling one ended.
type seen struct {
	message *message.Message
	failure string // empty where it was handled
}

// Configure decodes the application's own part of a YAML file over app, and
// checks it, as a fleet does: what is wrong is the error.
func Configure(app applications.Application, yaml string) error {
	doc, err := options.Parse("application.yaml", []byte(yaml), func(string) (string, bool) { return "", false })
	if err != nil {
		return err
	}
	if err := doc.Into(app); err != nil {
		return err
	}
	unknown := doc.Rest()
	if checked, can := app.(interface{ Validate() error }); can {
		return errors.Join(unknown, doc.Locate(checked.Validate()))
	}
	return unknown
}

// Start runs the application until the test ends, attached to Connector. A
// message that fails is dead-lettered at once, not tried again. State is in memory, and
// there is no record of messages; change gives the application another, such as a
// store/sqlite.
func Start(t testing.TB, app applications.Application, change ...func(*worker.Dependencies)) *Worker {
	t.Helper()
	w := &Worker{t: t, broker: memory.New(memory.Settings{}), seen: make(chan seen, seenBuffer)}
	state := statememory.New()
	opts := applications.DefaultOptions()
	opts.TransportName, opts.MaxAttempts = Connector, 1
	env := worker.Dependencies{
		Name: Connector, Kind: worker.KindApplication, Broker: w.broker, State: state, Logger: slog.New(slog.DiscardHandler),
		Stack: worker.NewStack(worker.Layer{Name: "outcomes", Middleware: worker.Outcomes{Broker: w.broker, Queue: seenQueue}}),
	}
	for _, do := range change {
		do(&env)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		_ = w.broker.Close(ctx)
		_ = state.Close()
	})
	w.declare()
	background(t, func(ctx context.Context) error {
		return w.broker.Consume(ctx, queueSeen(), seenBuffer, w.look)
	})
	background(t, applications.New(env, opts, app).Run)
	return w
}

// declare makes the queues of both sides, so that no start order matters.
func (w *Worker) declare() {
	w.t.Helper()
	queues := []broker.Queue{queueSeen()}
	for _, flow := range []message.Flow{message.Inbound, message.EventFlow} {
		key := message.Key(Connector, flow)
		queues = append(queues, broker.Queue{Name: key, Keys: []string{key}})
	}
	for _, queue := range queues {
		if err := w.broker.Declare(w.t.Context(), queue); err != nil {
			w.t.Fatalf("declaring %s: %v", queue.Name, err)
		}
	}
}

func queueSeen() broker.Queue {
	return broker.Queue{Name: seenQueue, Keys: []string{message.Key(Connector, message.Outbound)}}
}

// background runs a job until the test's cleanup, which is last in, first out:
// what was started last ends first.
func background(t testing.TB, run func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("the worker ended with %v", err)
		}
	})
}

func (w *Worker) look(d *broker.Delivery) {
	defer d.Ack()
	if failure, is := worker.Outcome(d); is {
		w.seen <- seen{failure: failure}
		return
	}
	m, err := message.Decode(d.Body)
	if err != nil {
		w.t.Errorf("reading what the application sent: %v", err)
		return
	}
	w.seen <- seen{message: m}
}
