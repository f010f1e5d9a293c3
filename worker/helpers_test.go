package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	"switchboard/options"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// bench is a core on a broker of its own, consuming sms.inbound.
type bench struct {
	t      *testing.T
	broker *memory.Broker
	core   *worker.Runtime
	ends   error // what Serve is to return
}

// inBubble runs a test with a bench under synthetic time.
func inBubble(t *testing.T, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := memory.New(memory.Settings{})
		state := statememory.New()
		test(&bench{t: t, broker: b, core: newCore(b, state)})
		_ = b.Close(context.Background())
		_ = state.Close()
	})
}

func newCore(b broker.Broker, state *statememory.State) *worker.Runtime {
	return &worker.Runtime{
		Dependencies: worker.Dependencies{Name: "w", Broker: b, State: state, Logger: slog.New(slog.DiscardHandler)},
		Settings:     worker.DefaultSettings(),
	}
}

type (
	handler = func(ctx context.Context, d *worker.Delivery)
	failed  = func(ctx context.Context, d *worker.Delivery, reason error) error
)

// serve consumes until stop, which waits for the end.
func (b *bench) serve(handle handler, tell failed) (stop func()) {
	b.t.Helper()
	return b.serveSource(worker.Subscription{Connector: "sms", Flow: message.Inbound, Handle: handle, OnFailure: tell})
}

func (b *bench) serveSource(source worker.Subscription) (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- b.core.Serve(ctx, source) }()
	synctest.Wait()
	return func() {
		b.t.Helper()
		cancel()
		if err := <-done; !errors.Is(err, b.ends) {
			b.t.Errorf("Serve: %v, want %v", err, b.ends)
		}
	}
}

// answer handles every delivery with one outcome.
func answer(err error) handler {
	return func(_ context.Context, d *worker.Delivery) { d.Settle(err) }
}

// publish puts n messages into sms.inbound, named 0, 1, 2, ….
func (b *bench) publish(n int, change func(i int, m *message.Message)) {
	b.t.Helper()
	for i := range n {
		m := message.New()
		m.ID, m.From, m.To = fmt.Sprint(i), "+27821234567", "12345"
		if change != nil {
			change(i, m)
		}
		b.publishBody(m.Encode())
	}
}

func (b *bench) publishBody(body []byte) {
	b.t.Helper()
	q := broker.Queue{Name: "sms.inbound", Keys: []string{"sms.inbound"}}
	if err := b.broker.Declare(b.t.Context(), q); err != nil {
		b.t.Fatal(err)
	}
	if err := b.broker.Publish(b.t.Context(), broker.Publication{Key: "sms.inbound", Body: body}); err != nil {
		b.t.Fatal(err)
	}
}

// queue is what lies in a queue.
func (b *bench) queue(name string) (found []*broker.Delivery) {
	b.t.Helper()
	synctest.Wait()
	err := b.broker.Browse(b.t.Context(), name, 1000, func(d *broker.Delivery) (broker.Verdict, error) {
		found = append(found, d)
		return broker.Keep, nil
	})
	if err != nil && !errors.Is(err, broker.ErrNoQueue) {
		b.t.Fatal(err)
	}
	return found
}

// settled expects how many bodies there are in the queue and its dead letters.
func (b *bench) settled(what string, queued, dead int) {
	b.t.Helper()
	if q, d := len(b.queue("sms.inbound")), len(b.queue("sms.inbound.dead")); q != queued || d != dead {
		b.t.Errorf("%s: %d are queued and %d are dead, want %d and %d", what, q, d, queued, dead)
	}
}

func seconds(n int) options.Duration { return options.Duration(time.Duration(n) * time.Second) }
