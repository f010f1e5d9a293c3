package middleware_test

import (
	"context"
	"log/slog"
	"testing"

	"switchboard/message"
	"switchboard/options"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// load makes a middleware of YAML as a worker's file does.
func load[M any](t *testing.T, fresh M, yaml string) (M, error) {
	t.Helper()
	doc, err := options.Parse("worker.yaml", []byte(yaml), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Into(fresh); err != nil {
		return fresh, err
	}
	if err := doc.Rest(); err != nil {
		return fresh, err
	}
	if v, can := any(fresh).(interface{ Validate() error }); can {
		return fresh, doc.Locate(v.Validate())
	}
	return fresh, nil
}

func mustLoad[M any](t *testing.T, fresh M, yaml string) M {
	t.Helper()
	m, err := load(t, fresh, yaml)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// bind gives m env of a worker of a kind, with a state of its own.
func bind(t *testing.T, m worker.Provisioner, kind string) {
	t.Helper()
	state := statememory.New()
	t.Cleanup(func() { _ = state.Close() })
	bindTo(t, m, kind, state)
}

func bindTo(t *testing.T, m worker.Provisioner, kind string, state *statememory.State) {
	t.Helper()
	env := worker.Env{Name: "w", Kind: kind, State: state, Logger: slog.New(slog.DiscardHandler)}
	if err := worker.Provision(t.Context(), m, env); err != nil {
		t.Fatal(err)
	}
}

// envelope is a message between a person and the short code 12345.
func envelope(flow message.Flow, change func(*message.Message)) *message.Envelope {
	m := message.New()
	m.From, m.To, m.Content, m.TransportName = "+27821234567", "12345", "hello", "sms"
	if flow == message.Outbound {
		m.From, m.To = m.To, m.From
	}
	if change != nil {
		change(m)
	}
	return &message.Envelope{Flow: flow, Connector: "sms", Message: m}
}

func event() *message.Envelope {
	return &message.Envelope{Flow: message.EventFlow, Connector: "sms", Event: message.NewAck(message.New(), "1")}
}

// pass passes an envelope through a middleware.
func pass(t *testing.T, m worker.Middleware, e *message.Envelope) error {
	t.Helper()
	return m.Wrap(e.Flow, func(context.Context, *message.Envelope) error { return nil })(t.Context(), e)
}

// refused are files that must not load.
func refused[M any](t *testing.T, fresh func() M, files map[string]string) {
	t.Helper()
	for name, yaml := range files {
		if _, err := load(t, fresh(), yaml); err == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}
