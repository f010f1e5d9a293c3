package cli

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"time"
)

// A machine's log is read by people too, at night: 100ms, and not 100000000.
func TestLogsHaveReadableDurations(t *testing.T) {
	var log bytes.Buffer
	logger, err := (&processFlags{logLevel: "info"}).logger(&log)
	if err != nil {
		t.Fatal(err)
	}
	logger.With("every", time.Minute).Info("trying again", "in", 100*time.Millisecond, slog.Group("queue", "age", 90*time.Second))
	var line struct {
		In, Every string
		Queue     struct{ Age string }
	}
	if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.In != "100ms" || line.Every != "1m0s" || line.Queue.Age != "1m30s" {
		t.Errorf("%v: %s", err, log.Bytes())
	}
}
