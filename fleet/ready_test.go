package fleet_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A worker that still waits for something takes no messages, and must not be
// called ready.
func TestNotReadyBeforeItConsumes(t *testing.T) {
	files := []string{"late.yaml", "application_class: quiet\ntransport_name: late\nlate: 60\n"}
	inBubble(t, files, func(t *testing.T, s *site) {
		if code, text := s.ask(http.MethodGet, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "late does not consume") {
			t.Errorf("/readyz answered %d %s", code, text)
		}
		time.Sleep(time.Minute) // of the test's own clock
		synctest.Wait()
		s.expect("/readyz", "ready\n")
	})
}
