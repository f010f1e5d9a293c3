package middleware_test

import (
	"testing"
	"testing/synctest"
	"time"

	"switchboard/message"
	"switchboard/middleware"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// session passes one message of a session through m and returns the times it
// got.
func session(t *testing.T, m worker.Middleware, flow message.Flow, event message.SessionEvent, change func(*message.Message)) (start, end float64) {
	t.Helper()
	e := envelope(flow, func(msg *message.Message) {
		msg.SessionEvent = event
		if change != nil {
			change(msg)
		}
	})
	if err := pass(t, m, e); err != nil {
		t.Fatal(err)
	}
	times := e.Message.HelperMetadata.Object("session")
	if err := times.Decode("session_start", &start); err != nil {
		t.Fatal(err)
	}
	if err := times.Decode("session_end", &end); err != nil {
		t.Fatal(err)
	}
	return start, end
}

func now() float64 { return float64(time.Now().UnixMicro()) / 1e6 }

func TestSessionLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := statememory.New()
		defer func() { _ = state.Close() }()
		m := mustLoad(t, middleware.NewSessionLength(), "")
		bindTo(t, m, worker.KindDispatcher, state)
		began := now()
		check := func(what string, gotStart, gotEnd, wantStart, wantEnd float64) {
			t.Helper()
			if gotStart != wantStart || gotEnd != wantEnd {
				t.Errorf("%s: %.6f to %.6f, want %.6f to %.6f", what, gotStart, gotEnd, wantStart, wantEnd)
			}
		}
		step := func(what string, flow message.Flow, event message.SessionEvent, wantStart, wantEnd float64, change func(*message.Message)) {
			t.Helper()
			start, end := session(t, m, flow, event, change)
			check(what, start, end, wantStart, wantEnd)
		}
		step("before any session", message.Inbound, message.SessionNone, 0, 0, nil)
		step("new", message.Inbound, message.SessionNew, began, 0, nil)
		time.Sleep(time.Minute)
		step("resume", message.Inbound, message.SessionResume, began, 0, nil)
		step("reply", message.Outbound, message.SessionNone, began, 0, nil)
		step("another person", message.Inbound, message.SessionResume, 0, 0, func(m *message.Message) { m.From = "+1" })
		step("another transport", message.Inbound, message.SessionResume, 0, 0, func(m *message.Message) { m.TransportName = "ussd" })
		named := func(m *message.Message) { m.ID = "the close" }
		step("close", message.Outbound, message.SessionClose, began, now(), named)
		step("the same close again", message.Outbound, message.SessionClose, began, now(), named)
		step("after the close", message.Inbound, message.SessionNone, 0, 0, nil)
		step("another close", message.Inbound, message.SessionClose, 0, now(), nil)
		again := now()
		step("new again", message.Outbound, message.SessionNew, again, 0, nil)
		time.Sleep(10*time.Minute + time.Second)
		step("past the timeout", message.Inbound, message.SessionResume, 0, 0, nil)
	})
}

func TestSessionLengthByTag(t *testing.T) {
	m := mustLoad(t, middleware.NewSessionLength(), "{namespace_type: tag, field_name: session, timeout: 60, redis_manager: {host: x}}")
	bind(t, m, worker.KindTransport)
	tag := func(name string) func(*message.Message) {
		return func(m *message.Message) {
			m.HelperMetadata.Set("tag", map[string]any{"tag": []string{"pool", name}})
		}
	}
	start, _ := session(t, m, message.Inbound, message.SessionNew, tag("one"))
	if same, _ := session(t, m, message.Inbound, message.SessionResume, tag("one")); start == 0 || same != start {
		t.Errorf("the same tag: %v, want %v", same, start)
	}
	if other, _ := session(t, m, message.Inbound, message.SessionResume, tag("two")); other != 0 {
		t.Errorf("another tag: %v", other)
	}
	if none, _ := session(t, m, message.Inbound, message.SessionNew, nil); none != 0 {
		t.Errorf("no tag: %v", none)
	}
	if err := pass(t, m, event()); err != nil {
		t.Error(err)
	}
	refused(t, middleware.NewSessionLength, map[string]string{
		"no time": "timeout: 0", "odd namespace": "namespace_type: person", "no field": "field_name: ''",
	})
}
