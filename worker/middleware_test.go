package worker_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"switchboard/message"
	"switchboard/worker"
)

// recorder is a middleware that writes its name down.
type recorder struct {
	name  string
	calls *[]string
	fails error
	tools worker.Env
}

func (r *recorder) Provision(_ context.Context, tools worker.Env) error {
	r.tools = tools
	return r.fails
}

func (r *recorder) Consumed(_ context.Context, e *message.Envelope) error {
	*r.calls = append(*r.calls, r.name)
	e.Message.Content += r.name
	return r.fails
}

func (r *recorder) Published(ctx context.Context, e *message.Envelope) error {
	return r.Consumed(ctx, e)
}

// plain has nothing to bind.
type plain struct{}

func (plain) Consumed(context.Context, *message.Envelope) error  { return nil }
func (plain) Published(context.Context, *message.Envelope) error { return nil }

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
			if err := stack.Consumed(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if got := e.Message.Content; got != c.consumed {
				t.Errorf("consumed %s, want %s", got, c.consumed)
			}
			e.Message.Content = ""
			if err := stack.Published(t.Context(), e); err != nil {
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
	for way, call := range map[string]func(context.Context, *message.Envelope) error{"ab": stack.Consumed, "cb": stack.Published} {
		calls = nil
		err := call(t.Context(), &message.Envelope{Flow: message.Inbound, Message: message.New()})
		if reason, ok := message.DiscardReason(err); !ok || reason != "enough" || !strings.Contains(err.Error(), "second") {
			t.Errorf("got %v", err)
		}
		if got := strings.Join(calls, ""); got != way {
			t.Errorf("passed %s, want %s", got, way)
		}
	}
}

func TestStackBind(t *testing.T) {
	var calls []string
	r := &recorder{name: "a", calls: &calls}
	stack := worker.NewStack(worker.Layer{Name: "plain", Middleware: plain{}}, worker.Layer{Name: "r", Middleware: r})
	env := worker.Dependencies{Name: "w", Kind: worker.KindTransport}
	if err := stack.Provision(t.Context(), env.Env()); err != nil {
		t.Fatal(err)
	}
	if r.tools.Name != "w" || r.tools.Kind != worker.KindTransport {
		t.Errorf("got tools %+v", r.tools)
	}
	r.fails = errors.New("no")
	if err := stack.Provision(t.Context(), env.Env()); !errors.Is(err, r.fails) || !strings.Contains(err.Error(), "r: no") {
		t.Errorf("got %v", err)
	}
}
