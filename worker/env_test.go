package worker_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/store"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// keeper is a plugin that wants an environment and has something to close.
type keeper struct {
	env    worker.Env
	closed int
}

func (k *keeper) Provision(_ context.Context, env worker.Env) error {
	k.env = env
	return nil
}

func (k *keeper) Close() error {
	k.closed++
	return nil
}

func envOf(t *testing.T, name string, state store.State) worker.Env {
	t.Helper()
	k := new(keeper)
	d := worker.Dependencies{Name: name, Kind: worker.KindTransport, State: state, Logger: slog.New(slog.DiscardHandler)}
	if err := worker.Provision(t.Context(), k, d.Env()); err != nil {
		t.Fatal(err)
	}
	return k.env
}

// Plugins of two workers use the same keys and do not see each other's values,
// replicas of one worker do, and so do those that name the same scope.
func TestStateIsScoped(t *testing.T) {
	root := statememory.New()
	t.Cleanup(func() { _ = root.Close() })
	a, replica, b := envOf(t, "a", root), envOf(t, "a", root), envOf(t, "b", root)
	ctx := t.Context()
	if err := a.State.Set(ctx, store.Entry{Key: "k", Value: "of a"}, store.Entry{Key: "l", Value: "of a"}); err != nil {
		t.Fatal(err)
	}
	if found, err := replica.State.Get(ctx, "k", "none"); err != nil || found["k"] != "of a" || len(found) != 1 {
		t.Errorf("the replica has %v, %v", found, err)
	}
	if value, added, err := b.State.Add(ctx, store.Entry{Key: "k", Value: "of b"}); err != nil || !added || value != "of b" {
		t.Errorf("b added %q, %v, %v", value, added, err)
	}
	if n, err := b.State.Increment(ctx, "n", 2, 0); err != nil || n != 2 {
		t.Errorf("b counts %d, %v", n, err)
	}
	list, err := a.State.Range(ctx, "", "z", 10)
	if err != nil || len(list) != 2 || list[0].Key != "k" || list[1].Key != "l" {
		t.Errorf("a has %v, %v", list, err)
	}
	if err := a.State.Delete(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	if found, err := b.State.Get(ctx, "k"); err != nil || found["k"] != "of b" {
		t.Errorf("b lost its key: %v, %v", found, err)
	}
	if err := a.Shared("list").Set(ctx, store.Entry{Key: "k", Value: "everybody's"}); err != nil {
		t.Fatal(err)
	}
	if found, err := b.Shared("list").Get(ctx, "k"); err != nil || found["k"] != "everybody's" {
		t.Errorf("b does not share: %v, %v", found, err)
	}
	if found, err := b.Shared("another").Get(ctx, "k"); err != nil || len(found) != 0 {
		t.Errorf("another scope has %v, %v", found, err)
	}
}

// A worker without a state store, a log or metrics has an environment that can
// be used all the same, but for the state, which is nil.
func TestEnvIsComplete(t *testing.T) {
	env := envOf(t, "w", nil)
	if env.State != nil || env.Shared("x") != nil {
		t.Error("there is a state of nothing")
	}
	if env.Now().IsZero() || env.Health().Of("sms") != "ok" || env.Registerer == nil || env.Logger == nil {
		t.Errorf("incomplete: %+v", env)
	}
}

func TestCloseIsOptional(t *testing.T) {
	k := new(keeper)
	if err := worker.Close(k); err != nil || k.closed != 1 {
		t.Errorf("closed %d times, %v", k.closed, err)
	}
	if err := worker.Close("nothing to close"); err != nil {
		t.Error(err)
	}
}

// Two workers of a process register the same metrics, a plugin that starts again
// registers its own anew, and all of them go with the worker.
func TestRegisterer(t *testing.T) {
	reg := prometheus.NewRegistry()
	gauge := func(value float64) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "switchboard_test", Help: "A test's."})
		g.Set(value)
		return g
	}
	a, removeA := worker.NewRegisterer(reg, "a")
	b, removeB := worker.NewRegisterer(reg, "b")
	for _, err := range []error{a.Register(gauge(1)), a.Register(gauge(2)), b.Register(gauge(3))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := gathered(t, reg); len(got) != 2 || got["a"] != 2 || got["b"] != 3 {
		t.Errorf("gathered %v", got)
	}
	removeA()
	if got := gathered(t, reg); len(got) != 1 || got["b"] != 3 {
		t.Errorf("gathered %v without a", got)
	}
	removeB()
	if got := gathered(t, reg); len(got) != 0 {
		t.Errorf("gathered %v without any", got)
	}
}

func gathered(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			values[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
		}
	}
	return values
}
