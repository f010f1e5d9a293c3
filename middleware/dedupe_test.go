package middleware_test

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/message"
	"switchboard/middleware"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

func TestDedupe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := statememory.New()
		defer func() { _ = state.Close() }()
		var replicas []worker.Middleware
		for range 2 {
			m := mustLoad(t, middleware.NewDedupe(), "{window: 30s, metadata_key: smsc_id}")
			bindTo(t, m, worker.KindDispatcher, state)
			replicas = append(replicas, m)
		}
		same := func(*message.Message) {}
		id := func(v any) func(*message.Message) {
			return func(m *message.Message) { m.TransportMetadata.Set("smsc_id", v) }
		}
		expect := func(what string, passes bool, flow message.Flow, change func(*message.Message)) {
			t.Helper()
			e := envelope(flow, change)
			err := pass(t, replicas[0], e)
			if err == nil {
				err = pass(t, replicas[1], e) // delivered again, to another replica
			}
			if _, discarded := message.DiscardReason(err); discarded == passes || err != nil && !discarded {
				t.Errorf("%s: %v", what, err)
			}
		}
		expect("the first", true, message.Inbound, same)
		expect("the same", false, message.Inbound, same)
		expect("another text", true, message.Inbound, func(m *message.Message) { m.Content = "other" })
		expect("another sender", true, message.Inbound, func(m *message.Message) { m.From = "1" })
		expect("another receiver", true, message.Inbound, func(m *message.Message) { m.To = "1" })
		expect("another transport", true, message.Inbound, func(m *message.Message) { m.TransportName = "other" })
		expect("addresses run together", true, message.Inbound, func(m *message.Message) { m.From, m.To = m.From+"1", "2345" })
		for range 2 {
			expect("in a session", true, message.Inbound, func(m *message.Message) { m.SessionEvent = message.SessionResume })
			expect("no text", true, message.Inbound, func(m *message.Message) { m.Content = "" })
			expect("outbound", true, message.Outbound, same)
		}
		expect("an identifier", true, message.Inbound, id("7"))
		expect("the same text, another identifier", true, message.Inbound, id("8"))
		expect("the same identifier", false, message.Inbound, func(m *message.Message) { id("7")(m); m.Content = "else" })
		expect("the same identifier of another transport", true, message.Inbound, func(m *message.Message) { id("7")(m); m.TransportName = "x" })
		expect("a null identifier is none", false, message.Inbound, id(nil))
		time.Sleep(31 * time.Second)
		expect("past the window", true, message.Inbound, same)
		expect("the identifier is remembered longer", false, message.Inbound, id("8"))
		time.Sleep(24 * time.Hour)
		expect("but not for ever", true, message.Inbound, id("8"))
		if err := pass(t, replicas[0], event()); err != nil {
			t.Error(err)
		}
	})
}

func TestDedupeIsNotForTransports(t *testing.T) {
	m := mustLoad(t, middleware.NewDedupe(), "")
	err := m.Provision(t.Context(), worker.Env{Name: "sms", Kind: worker.KindTransport, Logger: slog.New(slog.DiscardHandler)})
	if !message.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	refused(t, middleware.NewDedupe, map[string]string{
		"nothing to compare": "window: 0", "no time": "metadata_window: 0", "a negative window": "window: -1",
	})
}
