package fleet_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// An operator pauses a queue by HTTP; /status and /metrics say so, and the process stays ready.
func TestPause(t *testing.T) {
	files := []string{"sms.yaml", "transport_class: line\ntransport_name: sms\n"}
	inBubble(t, files, func(t *testing.T, s *site) {
		ask := func(path string, code int) {
			t.Helper()
			if got, text := s.ask(http.MethodPost, path); got != code {
				t.Errorf("%s answered %d %s, want %d", path, got, text, code)
			}
		}
		ask("/-/pause?queue=sms.outbuond", http.StatusNotFound)
		ask("/-/pause?queue=sms.outbound&why=maintenance&who=ann", http.StatusOK)
		synctest.Wait()
		s.expect("/status", "PAUSED: sms.outbound is paused since 2000-01-01 00:00:00 UTC by ann: maintenance; to end it: switchboard resume sms.outbound")
		s.expect("/metrics", `switchboard_queue_paused{queue="sms.outbound"} 1`)
		s.expect("/readyz", "ready\n")
		s.send("sms.outbound")
		time.Sleep(time.Minute) // of the test's own clock
		if info, err := s.Broker.Inspect(t.Context(), "sms.outbound"); err != nil || info.Messages != 1 || info.Consumers != 0 {
			t.Errorf("while it is paused: %+v, %v", info, err)
		}
		ask("/-/resume?queue=sms.outbound", http.StatusOK)
		synctest.Wait()
		if info, err := s.Broker.Inspect(t.Context(), "sms.outbound"); err != nil || info.Messages != 0 || info.Consumers != 1 {
			t.Errorf("after it was resumed: %+v, %v", info, err)
		}
	})
}
