package smpp

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"switchboard/internal/testutil"
	"switchboard/smpp/simulator"
	"switchboard/transports"
	"switchboard/transports/transporttest"
)

// trap is a log whose reader has a fault: it panics over one record.
type trap struct {
	slog.Handler
	word   string
	sprung *atomic.Int64
}

func (h trap) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

func (h trap) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.word) && h.sprung.Add(1) == 1 {
		panic("the log is full")
	}
	return h.Handler.Handle(ctx, r)
}

// A panic where what the SMSC sends is handled costs the connection, which is
// made anew, and no more. What was in flight ends as in any other loss.
func TestPanicCostsTheConnection(t *testing.T) {
	for name, c := range map[string]struct {
		word, at  string
		behaviour simulator.Behaviour
	}{
		"reading": {"what it should not have", "a session panicked", simulator.Behaviour{Links: &simulator.Links{UnknownCommand: 1}}},
		"tending": {"did not answer submit_sm", "a session panicked", simulator.Behaviour{Answers: &simulator.Answers{Lost: 1}}},
		"binding": {"bind is up", "a session panicked", simulator.Behaviour{}},
	} {
		t.Run(name, func(t *testing.T) {
			var log lockedBuffer
			v := simulate(t, simulator.Settings{Behaviour: c.behaviour})
			tr := connected(t, v.Addr(), remember(t), nil, func(o *Transport) { o.SubmitTimeout, o.UnknownPolicy = quick, transports.UnknownResend })
			handler := trap{slog.NewTextHandler(&log, nil), c.word, new(atomic.Int64)}
			if err := tr.Provision(t.Context(), transports.Env{State: remember(t), Logger: slog.New(handler)}); err != nil {
				t.Fatal(err)
			}
			b := &bundle{T: t, Transport: tr, smsc: v, line: transporttest.NewPublisher()}
			transporttest.Start(t, tr, b.line)
			ended := make(chan error, 1)
			ctx := within(t)
			go func() {
				_, err := tr.Send(ctx, outgoing("hello"))
				ended <- err
			}()
			testutil.Eventually(t, "the trap is sprung", func() bool { return handler.sprung.Load() > 0 })
			v.SetBehaviour(simulator.Behaviour{})
			if err := <-ended; err != nil {
				t.Errorf("the message that was in flight: %v", err)
			}
			b.send(outgoing("afterwards"))
			if s := b.awaitStatus("connection_lost"); !strings.Contains(s.Text, "the log is full") {
				t.Errorf("status = %s", s.Encode())
			}
			if n := v.Counters().Connections; n != 2 {
				t.Errorf("%d connections, want two", n)
			}
			if text := log.text(); !strings.Contains(text, c.at) || !strings.Contains(text, "guard_test.go") {
				t.Errorf("the log lacks the panic or its stack: %s", text)
			}
		})
	}
}
