package smppserver

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"switchboard/applications"
	"switchboard/message"
)

// A panic ends what is passed on, for good, and is logged with its stack.
func TestPassingOnPanics(t *testing.T) {
	var log bytes.Buffer
	e := &engine{log: slog.New(slog.NewTextHandler(&log, nil)), life: t.Context()}
	e.busy.Begin()
	done := make(chan error, 1)
	e.take(t.Context(), &arrival{
		// Moving it panics: it has no delivery.
		Received: &applications.Received{Envelope: &message.Envelope{Message: message.New()}, Queue: "of nobody"},
		done:     func(err error) { done <- err },
	})
	if err := <-done; !message.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"level=ERROR", "passing something on panicked", "nil pointer", "Move"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, log.String())
		}
	}
}
