package middleware_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"switchboard/message"
	"switchboard/middleware"
	"switchboard/worker"
)

func TestLogging(t *testing.T) {
	failed := event()
	failed.Event.Type, failed.Event.NackReason = message.Nack, "no"
	for name, c := range map[string]struct {
		yaml     string
		least    slog.Level
		envelope *message.Envelope
		want     string
		no       string
	}{
		"info":            {"", slog.LevelInfo, envelope(message.Inbound, nil), "level=INFO msg=consumed", "hello"},
		"content":         {"", slog.LevelDebug, envelope(message.Inbound, nil), "content=hello", "level=ERROR"},
		"own level":       {"log_level: warning", slog.LevelInfo, envelope(message.Inbound, nil), "level=WARN", "hello"},
		"below":           {"log_level: debug", slog.LevelInfo, envelope(message.Inbound, nil), "", "level"},
		"an ack":          {"", slog.LevelInfo, event(), "level=INFO", "level=ERROR"},
		"a nack":          {"", slog.LevelInfo, failed, "level=ERROR", "level=INFO"},
		"a nack, quietly": {"failure_log_level: info", slog.LevelInfo, failed, "level=INFO", "level=ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			m := mustLoad(t, middleware.NewLogging(), c.yaml)
			logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: c.least}))
			if err := m.Provision(t.Context(), worker.Env{Logger: logger}); err != nil {
				t.Fatal(err)
			}
			if err := pass(t, m, c.envelope); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), c.want) || strings.Contains(out.String(), c.no) {
				t.Errorf("logged %q", out.String())
			}
		})
	}
	refused(t, middleware.NewLogging, map[string]string{"odd": "log_level: loud", "odd failure": "failure_log_level: quiet"})
}

// A file of Vumi's loads, warns once, and loses nothing.
func TestStoring(t *testing.T) {
	m := mustLoad(t, middleware.NewStoring(), "{store_prefix: x, store_on_consume: false, redis_manager: {host: h}, riak_manager: {bucket_prefix: b}}")
	var out bytes.Buffer
	if err := m.Provision(t.Context(), worker.Env{Logger: slog.New(slog.NewTextHandler(&out, nil))}); err != nil {
		t.Fatal(err)
	}
	e := envelope(message.Inbound, nil)
	before := string(e.Encode())
	for range 2 {
		if err := pass(t, m, e); err != nil || string(e.Encode()) != before {
			t.Errorf("changed, %v", err)
		}
	}
	if n := strings.Count(out.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings", n)
	}
}
