package fleet_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"switchboard/broker"
)

// What a worker logs names the worker, and names it once: collectors of JSON
// refuse a key that comes twice.
func TestLinesOfTheLogNameTheWorkerOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newSite(t, "join.yaml", route("one"))
		s.Logger = slog.New(slog.NewJSONHandler(&log, nil))
		s.startOnMemory()
		synctest.Wait()
		if err := s.Broker.Publish(t.Context(), broker.Publication{Key: "sms.inbound", Body: []byte("malformed")}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		s.stop()
		if !strings.Contains(log.String(), "dead-lettered in sms.inbound.dead") {
			t.Errorf("the log says %s", log.String())
		}
		for line := range strings.Lines(log.String()) {
			ofProcess := strings.Contains(line, `"msg":"start`) || strings.Contains(line, `"msg":"stop`)
			if n := strings.Count(line, `"worker":`); n != 1 && !ofProcess {
				t.Errorf("%d times the worker: %s", n, line)
			}
		}
	})
}
