package fleet_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/internal/testutil"
)

func route(app string) string {
	return "router_class: simple\ntransport_names: [sms]\nexposed_names: [" + app + "]\nroute_mappings: {sms: " + app + "}\n"
}

// The watch takes an edited file, and one replaced as Kubernetes replaces them.
func TestWatchTakesEdits(t *testing.T) {
	inBubble(t, []string{"join.yaml", route("one")}, func(t *testing.T, s *site) {
		go s.Watch(t.Context())
		if at := s.send("sms.inbound", "one.inbound", "two.inbound"); at != "one.inbound" {
			t.Fatalf("went to %q", at)
		}
		s.write("join.yaml", route("two"))
		time.Sleep(10 * time.Second) // of the test's own clock
		if at := s.send("sms.inbound", "one.inbound", "two.inbound"); at != "two.inbound" {
			t.Fatalf("after the edit it went to %q", at)
		}
		s.expect("/status", "reloads: 1; the last: reloaded join")
	})
}

// An edit between reading the files and starting the workers is not missed.
func TestWatchSeesEditsBeforeTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "join.yaml", route("one"))
		s.beforeRun = func() { s.write("join.yaml", route("two")) }
		s.startOnMemory()
		defer s.stop()
		go s.Watch(t.Context())
		time.Sleep(10 * time.Second)
		if at := s.send("sms.inbound", "one.inbound", "two.inbound"); at != "two.inbound" {
			t.Errorf("went to %q", at)
		}
	})
}

// A Kubernetes volume: the file is a symlink to ..data/file, ..data a symlink
// that is swapped for another.
func TestWatchFollowsSwappedSymlinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		version := func(n, app string) {
			dir := filepath.Join(s.dir, "..version"+n)
			must(t, os.Mkdir(dir, 0o700))
			must(t, os.WriteFile(filepath.Join(dir, "join.yaml"), []byte(route(app)), 0o600))
			must(t, os.Symlink("..version"+n, filepath.Join(s.dir, "..tmp")))
			must(t, os.Rename(filepath.Join(s.dir, "..tmp"), filepath.Join(s.dir, "..data")))
		}
		version("1", "one")
		must(t, os.Symlink("..data/join.yaml", filepath.Join(s.dir, "join.yaml")))
		s.startOnMemory()
		defer s.stop()
		synctest.Wait()
		go s.Watch(t.Context())
		for n, app := range map[string]string{"2": "two", "3": "three"} {
			version(n, app)
			must(t, os.RemoveAll(filepath.Join(s.dir, "..version1")))
			time.Sleep(10 * time.Second)
			if at := s.send("sms.inbound", app+".inbound"); at != app+".inbound" {
				t.Errorf("swap %s was not seen", n)
			}
		}
	})
}

// A file that is still being written is not read, valid as it may look.
func TestHalfWrittenFilesAreNotRead(t *testing.T) {
	inBubble(t, []string{"join.yaml", route("one")}, func(t *testing.T, s *site) {
		go s.Watch(t.Context())
		for range 50 {
			time.Sleep(200 * time.Millisecond)
			s.write("join.yaml", route("half")+"# "+time.Now().String()+"\n")
			if at := s.send("sms.inbound", "one.inbound", "half.inbound"); at != "one.inbound" {
				t.Fatalf("went to %q by a file still being written", at)
			}
		}
		s.write("join.yaml", route("whole"))
		time.Sleep(10 * time.Second)
		if at := s.send("sms.inbound", "whole.inbound"); at != "whole.inbound" {
			t.Errorf("went to %q", at)
		}
	})
}

// A bad file changes nothing and is reported everywhere; a good one mends it.
func TestBadFilesChangeNothing(t *testing.T) {
	for name, bad := range map[string]string{
		"no YAML":       "router_class: [",
		"unknown key":   route("two") + "route_mapings: {}\n",
		"no such class": "router_class: pigeon\n",
		"bad route":     route("two") + "transport_mappings: {a: b}\n",
		"empty":         "",
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, []string{"join.yaml", route("one"), "two.yaml", "application_class: quiet\ntransport_name: two\n"}, func(t *testing.T, s *site) {
				s.write("join.yaml", bad)
				s.write("two.yaml", "application_class: quiet\ntransport_name: two\ngreeting: hello\n") // good, and not taken either
				if _, err := s.Reload(t.Context()); err == nil {
					t.Fatal("the file was taken")
				}
				if at := s.send("sms.inbound", "one.inbound", "two.inbound"); at != "one.inbound" {
					t.Errorf("went to %q", at)
				}
				if n := s.starts.Load(); n != 1 {
					t.Errorf("the application was started %d times", n)
				}
				s.expect("/status", "FAILED; what was loaded before stays in use", filepath.Join(s.dir, "join.yaml"))
				s.expect("/metrics", "switchboard_config_last_reload_successful 0", `switchboard_config_reloads_total{outcome="failed"} 1`)
				s.expect("/readyz", "ready")
				s.write("join.yaml", route("three"))
				s.reload()
				s.expect("/metrics", "switchboard_config_last_reload_successful 1")
				if at := s.send("sms.inbound", "three.inbound"); at != "three.inbound" {
					t.Errorf("went to %q", at)
				}
			})
		})
	}
}

// Only the workers whose files changed are touched.
func TestOtherWorkersAreRestartedAlone(t *testing.T) {
	files := []string{
		"join.yaml", route("one"),
		"a.yaml", "application_class: quiet\ntransport_name: one\n",
		"b.yaml", "application_class: quiet\ntransport_name: other\n",
	}
	inBubble(t, files, func(t *testing.T, s *site) {
		s.write("a.yaml", "application_class: quiet\ntransport_name: one\ngreeting: hello\n")
		if got := s.reload().String(); got != "restarted a" {
			t.Errorf("%s", got)
		}
		synctest.Wait()
		if n := s.starts.Load(); n != 3 {
			t.Errorf("applications were started %d times, want 3", n)
		}
		s.write("c.yaml", "application_class: quiet\ntransport_name: third\n")
		must(t, os.Remove(filepath.Join(s.dir, "b.yaml")))
		if got := s.reload().String(); got != "started c; stopped b" {
			t.Errorf("%s", got)
		}
		synctest.Wait()
		if info, err := s.Broker.Inspect(t.Context(), "other.inbound"); err != nil || info.Consumers != 0 {
			t.Errorf("%+v %v", info, err)
		}
		if info, err := s.Broker.Inspect(t.Context(), "third.inbound"); err != nil || info.Consumers != 1 {
			t.Errorf("%+v %v", info, err)
		}
		if got := s.reload().String(); got != "nothing changed" {
			t.Errorf("%s", got)
		}
	})
}

// An option every worker has, such as its name, needs a new start.
func TestADispatchersSettingsRestartIt(t *testing.T) {
	inBubble(t, []string{"join.yaml", route("one")}, func(t *testing.T, s *site) {
		s.write("join.yaml", route("two")+"max_attempts: 3\n")
		if got := s.reload().String(); got != "restarted join" {
			t.Errorf("%s", got)
		}
		synctest.Wait()
		if at := s.send("sms.inbound", "two.inbound"); at != "two.inbound" {
			t.Errorf("went to %q", at)
		}
	})
}

// A worker that cannot start after a reload takes nobody down with it, shows,
// and comes up when its file is mended.
func TestAWorkerThatCannotStartAfterAReload(t *testing.T) {
	line := "transport_class: line\ntransport_name: sms\n"
	inBubble(t, []string{"join.yaml", route("one"), "line.yaml", line}, func(t *testing.T, s *site) {
		s.write("line.yaml", line+"broken: true\n")
		s.reload()
		time.Sleep(time.Minute)
		if at := s.send("sms.inbound", "one.inbound"); at != "one.inbound" {
			t.Errorf("went to %q", at)
		}
		s.expect("/status", "line failed last with: transport sms: the port is in use")
		if code, text := s.ask(http.MethodGet, "/readyz"); code != http.StatusServiceUnavailable {
			t.Errorf("/readyz answered %d %s", code, text)
		}
		s.write("line.yaml", line)
		s.reload()
		synctest.Wait()
		s.expect("/readyz", "ready")
	})
}

func TestReloadByHTTP(t *testing.T) {
	inBubble(t, []string{"join.yaml", route("one")}, func(t *testing.T, s *site) {
		s.write("join.yaml", route("two"))
		if code, _ := s.ask(http.MethodGet, "/-/reload"); code != http.StatusMethodNotAllowed {
			t.Errorf("GET answered %d", code)
		}
		if code, _ := s.ask(http.MethodPost, "/-/reload", "Sec-Fetch-Site", "cross-site"); code != http.StatusForbidden {
			t.Errorf("a page of another site got %d", code)
		}
		if code, text := s.ask(http.MethodPost, "/-/reload"); code != http.StatusOK || text != "reloaded join\n" {
			t.Errorf("%d %s", code, text)
		}
		s.write("join.yaml", "nonsense")
		if code, _ := s.ask(http.MethodPost, "/-/reload"); code != http.StatusUnprocessableEntity {
			t.Errorf("a bad file got %d", code)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A worker that starts again while a reload is being carried out is looked at by
// both at once; the race detector tells.
func TestRestartDuringReload(t *testing.T) {
	slow := "transport_class: line\ntransport_name: slow\nslow: 3\n"
	files := []string{"flaky.yaml", "transport_class: line\ntransport_name: flaky\nflaky: true\n", "slow.yaml", slow}
	s := newSite(t, files...)
	s.startOnMemory()
	defer s.stop()
	testutil.Eventually(t, "the flaky worker starts again", func() bool {
		_, text := s.ask(http.MethodGet, "/status")
		return strings.Contains(text, "flaky failed last with")
	})
	s.write("slow.yaml", slow+"# edited\n")
	if changes := s.reload(); changes.String() != "restarted slow" {
		t.Errorf("did %s", changes)
	}
}
