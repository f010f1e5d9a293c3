package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/message"
	"switchboard/worker"
)

// recorder is a middleware that adds its name to a message's content.
type recorder struct {
	name  string
	calls *[]string
	fails error
	env   worker.Env
}

func (r *recorder) Provision(_ context.Context, env worker.Env) error {
	r.env = env
	return r.fails
}

func (r *recorder) Wrap(_ message.Flow, next worker.Handler) worker.Handler {
	return func(ctx context.Context, e *message.Envelope) error {
		*r.calls = append(*r.calls, r.name)
		e.Message.Content += r.name
		if r.fails != nil {
			return r.fails
		}
		return next(ctx, e)
	}
}

// plain has nothing to provision.
type plain struct{}

func (plain) Wrap(_ message.Flow, next worker.Handler) worker.Handler { return next }

func nothing(context.Context, *message.Envelope) error { return nil }

func TestStackOrder(t *testing.T) {
	type layer struct {
		name             string
		consume, publish int
	}
	for name, c := range map[string]struct {
		layers              []layer
		consumed, published string
	}{
		"none":                       {nil, "", ""},
		"as listed, and in reverse":  {[]layer{{"a", 0, 0}, {"b", 0, 0}, {"c", 0, 0}}, "abc", "cba"},
		"consume priorities":         {[]layer{{"a", 2, 0}, {"b", 1, 0}, {"c", 0, 0}}, "cba", "cba"},
		"publish priorities":         {[]layer{{"a", 0, 0}, {"b", 0, 2}, {"c", 0, 1}}, "abc", "acb"},
		"equal ones keep the order":  {[]layer{{"a", 1, 1}, {"b", 0, 0}, {"c", 1, 1}, {"d", 0, 0}, {"e", 1, 1}}, "bdace", "dbeca"},
		"negative ones come first":   {[]layer{{"a", 0, 0}, {"b", -1, 0}, {"c", 0, -5}}, "bac", "cba"},
		"both, each for its own way": {[]layer{{"a", 3, 1}, {"b", 2, 2}, {"c", 1, 3}}, "cba", "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			var calls []string
			var layers []worker.Layer
			for _, l := range c.layers {
				layers = append(layers, worker.Layer{
					Name: l.name, Middleware: &recorder{name: l.name, calls: &calls},
					ConsumePriority: l.consume, PublishPriority: l.publish,
				})
			}
			given := slices.Clone(layers)
			stack := worker.NewStack(layers...)
			e := &message.Envelope{Flow: message.Inbound, Message: message.New()}
			if err := stack.Consume(t.Context(), e, nothing); err != nil {
				t.Fatal(err)
			}
			if got := e.Message.Content; got != c.consumed {
				t.Errorf("consumed %s, want %s", got, c.consumed)
			}
			e.Message.Content = ""
			if err := stack.Publish(t.Context(), e, nothing); err != nil {
				t.Fatal(err)
			}
			if got := e.Message.Content; got != c.published {
				t.Errorf("published %s, want %s", got, c.published)
			}
			if !slices.EqualFunc(layers, given, func(a, b worker.Layer) bool { return a.Name == b.Name }) {
				t.Error("NewStack sorted the caller's own list")
			}
		})
	}
}

// What a middleware says is the envelope's outcome, and the others do not see
// it any more.
func TestStackStopsAtAnError(t *testing.T) {
	var calls []string
	stack := worker.NewStack(
		worker.Layer{Name: "first", Middleware: &recorder{name: "a", calls: &calls}},
		worker.Layer{Name: "second", Middleware: &recorder{name: "b", calls: &calls, fails: message.Discard("enough")}},
		worker.Layer{Name: "third", Middleware: &recorder{name: "c", calls: &calls}},
	)
	for way, call := range map[string]func(context.Context, *message.Envelope, worker.Handler) error{"ab": stack.Consume, "cb": stack.Publish} {
		calls = nil
		err := call(t.Context(), &message.Envelope{Flow: message.Inbound, Message: message.New()}, func(context.Context, *message.Envelope) error {
			t.Error("it passed")
			return nil
		})
		if reason, ok := message.DiscardReason(err); !ok || reason != "enough" || !strings.HasPrefix(err.Error(), "middleware second: ") {
			t.Errorf("got %v", err)
		}
		if got := strings.Join(calls, ""); got != way {
			t.Errorf("passed %s, want %s", got, way)
		}
	}
}

// An error of the work itself passes as it is.
func TestStackLeavesErrorsOfTheWork(t *testing.T) {
	var calls []string
	broken := errors.New("broken")
	stack := worker.NewStack(worker.Layer{Name: "first", Middleware: &recorder{name: "a", calls: &calls}})
	err := stack.Consume(t.Context(), &message.Envelope{Flow: message.Inbound, Message: message.New()},
		func(context.Context, *message.Envelope) error { return broken })
	if err != broken {
		t.Errorf("got %v", err)
	}
}

func TestStackProvision(t *testing.T) {
	var calls []string
	r := &recorder{name: "a", calls: &calls}
	stack := worker.NewStack(worker.Layer{Name: "plain", Middleware: plain{}}, worker.Layer{Name: "r", Middleware: r})
	env := worker.Dependencies{Name: "w", Kind: worker.KindTransport}
	if err := stack.Provision(t.Context(), env.Env()); err != nil {
		t.Fatal(err)
	}
	if r.env.Name != "w" || r.env.Kind != worker.KindTransport {
		t.Errorf("got env %+v", r.env)
	}
	r.fails = errors.New("no")
	if err := stack.Provision(t.Context(), env.Env()); !errors.Is(err, r.fails) || !strings.Contains(err.Error(), "r: no") {
		t.Errorf("got %v", err)
	}
}

// watch is a middleware that sees how long the work took and what came of it,
// and tries it a second time.
type watch struct {
	mu      sync.Mutex
	took    time.Duration
	outcome error
}

func (w *watch) Wrap(_ message.Flow, next worker.Handler) worker.Handler {
	return func(ctx context.Context, e *message.Envelope) error {
		began := time.Now()
		err := next(ctx, e)
		if err != nil {
			err = next(ctx, e)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.took, w.outcome = time.Since(began), err
		return err
	}
}

// Work that goes on by itself is begun in order, and middleware sees its
// outcome when it is there.
func TestStackStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(watch)
		stack := worker.NewStack(worker.Layer{Name: "watch", Middleware: w})
		var mu sync.Mutex
		var began, ended []string
		tries := 0
		start := func(_ context.Context, e *message.Envelope, done func(error)) {
			mu.Lock()
			defer mu.Unlock()
			began = append(began, e.Message.Content)
			tries++
			err := error(nil)
			if tries == 1 {
				err = errors.New("once")
			}
			time.AfterFunc(time.Second, func() { done(err) })
		}
		for i := range 3 {
			e := &message.Envelope{Flow: message.Outbound, Message: &message.Message{Content: fmt.Sprint(i)}}
			stack.Start(t.Context(), e, start, func(err error) {
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, e.Message.Content)
			})
		}
		expect := func(wantBegan string, wantEnded int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if got := strings.Join(began, " "); got != wantBegan || len(ended) != wantEnded {
				t.Errorf("began %s, ended %s; want %s and %d", got, ended, wantBegan, wantEnded)
			}
		}
		expect("0 1 2", 0)
		time.Sleep(1500 * time.Millisecond)
		expect("0 1 2 0", 2)
		time.Sleep(time.Second)
		expect("0 1 2 0", 3)
		if w.took != 2*time.Second || w.outcome != nil {
			t.Errorf("watched %s, %v", w.took, w.outcome)
		}
	})
}

// hooks is a middleware in Vumi's shape.
type hooks struct{ calls []string }

func (h *hooks) Consumed(_ context.Context, e *message.Envelope) error {
	h.calls = append(h.calls, "consumed "+string(e.Flow))
	return nil
}

func (h *hooks) Published(_ context.Context, e *message.Envelope) error {
	h.calls = append(h.calls, "published "+string(e.Flow))
	return nil
}

func TestFromPair(t *testing.T) {
	for kind, want := range map[string]string{
		worker.KindTransport:   "published inbound, consumed outbound, published event",
		worker.KindApplication: "consumed inbound, published outbound, consumed event",
		worker.KindDispatcher:  "consumed inbound, consumed outbound, consumed event",
	} {
		h := new(hooks)
		stack := worker.NewStack(worker.Layer{Name: "pair", Middleware: worker.FromPair(h)})
		if err := stack.Provision(t.Context(), worker.Env{Name: "w", Kind: kind}); err != nil {
			t.Fatal(err)
		}
		for _, flow := range []message.Flow{message.Inbound, message.Outbound, message.EventFlow} {
			if err := stack.Consume(t.Context(), &message.Envelope{Flow: flow}, nothing); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Join(h.calls, ", "); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
}
