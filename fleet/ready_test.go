package fleet_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/fleet"
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

// A link that is down shows everywhere, with the reason, since when and what
// waits for it, and does not hold up a stop.
func TestLinkThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newSite(t, "cut.yaml", "transport_class: line\ntransport_name: sms\ncut: true\n")
		s.Logger = slog.New(slog.NewTextHandler(&log, nil))
		s.BrokerName, s.StateName = "amqp://rabbit:5672", "memory:"
		s.startOnMemory()
		synctest.Wait()
		s.send("sms.outbound")
		time.Sleep(time.Minute) // of the test's own clock
		if code, text := s.ask(http.MethodGet, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "link wire is down since") {
			t.Errorf("/readyz answered %d %s", code, text)
		}
		s.expect("/status", "cut: link wire is down since 2000-01-01 00:00:00 UTC (1m0s): connection refused")
		s.expect("/metrics", `switchboard_dependency_up{dependency="wire",kind="link",worker="cut"} 0`, "switchboard_state_durable 0",
			`switchboard_oldest_seconds{queue="sms.outbound",worker="cut"} 60`)
		for _, ask := range [][]string{{"/status?format=json"}, {"/status", "Accept", "application/json"}} {
			var status fleet.Status
			_, text := s.ask(http.MethodGet, ask[0], ask[1:]...)
			if err := json.Unmarshal([]byte(text), &status); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			w := status.Workers[0]
			if status.Broker.Name != "amqp://rabbit:5672" || w.Link() != "down" || w.Held["sms.outbound"] != 1 || w.Dependencies[0].Reason != "connection refused" {
				t.Errorf("says %+v", status)
			}
		}
		began := time.Now()
		s.stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("the stop took %s", took)
		}
		for _, want := range []string{"starting version", "broker=amqp://rabbit:5672", "msg=\"stopping: nothing more is received", "in_flight=1", "msg=stopped"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %s:\n%s", want, log.String())
			}
		}
	})
}

// early is an answer that is looked at when it is flushed.
type early struct {
	*httptest.ResponseRecorder
	flushed func(text string)
}

func (e early) FlushError() error {
	e.flushed(e.Body.String())
	return nil
}

// The answer to a drain is complete before the stop begins: an idle process is gone at once.
func TestDrainAnswersFirst(t *testing.T) {
	inBubble(t, []string{"idle.yaml", "transport_class: line\ntransport_name: sms\n"}, func(t *testing.T, s *site) {
		answered := ""
		w := early{httptest.NewRecorder(), func(text string) {
			answered = text
			synctest.Wait()
			s.expect("/readyz", "stopping")
			if info, err := s.Broker.Inspect(t.Context(), "sms.outbound"); err != nil || info.Consumers != 1 {
				t.Errorf("the stop has begun: %+v, %v", info, err)
			}
		}}
		s.Handler(false).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/-/drain", nil))
		if w.Code != http.StatusAccepted || !strings.Contains(answered, "stopping") || w.Header().Get("Content-Length") == "" {
			t.Errorf("flushed %d %q %v", w.Code, answered, w.Header())
		}
	})
}

// A process is not ready from the moment it is told to stop, whatever its workers
// still have to finish.
func TestNotReadyWhileStopping(t *testing.T) {
	for name, tell := range map[string]func(*site){
		"signal": func(s *site) { s.stop() },
		"drain": func(s *site) {
			if code, text := s.ask(http.MethodPost, "/-/drain", "Sec-Fetch-Site", "cross-site"); code != http.StatusForbidden {
				t.Errorf("a foreign page's request is answered %d %s", code, text)
			}
			if code, text := s.ask(http.MethodPost, "/-/drain"); code != http.StatusAccepted || !strings.Contains(text, "in flight: 0") {
				t.Errorf("answered %d %s", code, text)
			}
			s.ended()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, "slow.yaml", "transport_class: line\ntransport_name: sms\nslow: 5\n")
				s.startOnMemory()
				synctest.Wait()
				s.expect("/readyz", "ready\n")
				stopped := make(chan struct{})
				go func() {
					tell(s)
					close(stopped)
				}()
				synctest.Wait()
				if code, text := s.ask(http.MethodGet, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "stopping") {
					t.Errorf("/readyz answered %d %s", code, text)
				}
				s.expect("/status", "STOPPING")
				<-stopped
			})
		})
	}
}
