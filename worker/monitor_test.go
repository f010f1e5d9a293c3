package worker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/message"
	"switchboard/store"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// away is a state store that answers or does not.
type away struct {
	store.State
	err error
}

func (a *away) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	if a.err != nil {
		return nil, a.err
	}
	return a.State.Get(ctx, keys...)
}

func TestMonitorTellsSinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := worker.NewMonitor("w", nil)
		m.Report(worker.DependsOnLink, "smpp", message.Down, "binding")
		time.Sleep(time.Minute)
		m.Report(worker.DependsOnLink, "smpp", message.Down, "connection refused")
		m.Report(worker.DependsOnDatabase, "record", message.OK, "")
		all := m.Dependencies()
		if len(all) != 2 || all[0].Kind != worker.DependsOnDatabase || all[1].Reason != "connection refused" || time.Since(all[1].Since) != time.Minute {
			t.Errorf("%+v", all)
		}
		if !m.Down(worker.DependsOnLink) || m.Down(worker.DependsOnDatabase) || m.Down(worker.DependsOnState) {
			t.Error("it does not say what is down")
		}
		m.Report(worker.DependsOnLink, "smpp 2", message.Degraded, "throttled")
		if m.Down(worker.DependsOnLink) {
			t.Error("a link that is degraded is down")
		}
	})
}

// A state store that is away shows, and that it is back; a caller that gives up
// says nothing of it.
func TestMonitoredState(t *testing.T) {
	memory := statememory.New()
	defer func() { _ = memory.Close() }()
	reg := prometheus.NewRegistry()
	m := worker.NewMonitor("w", worker.NewMetrics(reg))
	s := &away{State: memory}
	state := worker.MonitoredState(s, m)
	expect := func(what string, health message.Health, up float64) {
		t.Helper()
		_, _ = state.Get(t.Context(), "key")
		all := m.Dependencies()
		if len(all) != 1 || all[0].Kind != worker.DependsOnState || all[0].Health != health {
			t.Errorf("%s: %+v", what, all)
		}
		if got := gauge(t, reg, "switchboard_dependency_up"); got != up {
			t.Errorf("%s: the gauge is %v", what, got)
		}
	}
	expect("at first", message.OK, 1)
	s.err = context.Canceled
	expect("when a caller gave up", message.OK, 1)
	s.err = errors.New("connection refused")
	expect("when it is away", message.Down, 0)
	s.err = nil
	expect("when it is back", message.OK, 1)
	m.Close()
	if got := gauge(t, reg, "switchboard_dependency_up"); got != -1 {
		t.Errorf("the gauge stays at %v", got)
	}
}

// gauge is the value of the only gauge of a name; -1 when there is none.
func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}
