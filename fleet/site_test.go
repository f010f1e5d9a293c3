package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/applications"
	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/dispatcher"
	"switchboard/fleet"
	"switchboard/message"
	"switchboard/routers"
	statememory "switchboard/store/memory"
	"switchboard/transports"
	"switchboard/worker"
)

// quiet is an application that counts how often it was started.
type quiet struct {
	Greeting string `yaml:"greeting"`
	Late     int    `yaml:"late"` // seconds before it is there
	starts   *atomic.Int32
}

func (q *quiet) Provision(context.Context, applications.Env) error {
	time.Sleep(time.Duration(q.Late) * time.Second)
	q.starts.Add(1)
	return nil
}

func (q *quiet) Receive(context.Context, *message.Message) ([]*message.Message, error) {
	return nil, nil
}

// wire is a transport that carries nothing.
type wire struct {
	Port   int    `yaml:"port"`
	Login  string `yaml:"login"`
	Broken bool   `yaml:"broken"` // it fails as if its port were in use
	Flaky  bool   `yaml:"flaky"`  // it fails at once, and again
	Slow   int    `yaml:"slow"`   // seconds that a stop takes
	Cut    bool   `yaml:"cut"`    // its link is down
}

func (w *wire) Run(ctx context.Context, out transports.Publisher) error {
	if w.Broken {
		return message.Permanent(errors.New("the port is in use"))
	}
	if w.Flaky {
		return errors.New("not today")
	}
	if w.Cut {
		_ = out.Status(ctx, message.NewStatus("wire", message.Down, "refused", "connection refused"))
	}
	<-ctx.Done()
	time.Sleep(time.Duration(w.Slow) * time.Second)
	return nil
}

func (w *wire) Send(ctx context.Context, _ *message.Message) (string, error) {
	if w.Cut {
		<-ctx.Done()
	}
	return "", ctx.Err()
}

func (w *wire) LogsInAs() string { return w.Login }

func (w *wire) Listens() []string { return []string{fmt.Sprintf("127.0.0.1:%d", w.Port)} }

// site is a process with a fleet's files in a directory of its own.
type site struct {
	*fleet.Process
	t      *testing.T
	dir    string
	starts *atomic.Int32 // of applications of class quiet
	stop   func()
	ended  func() // waits until Run has returned

	beforeRun func() // called when the files have been read
}

func classes(starts *atomic.Int32) fleet.Classes {
	return fleet.Classes{
		Routers: map[string]fleet.Class[dispatcher.Router]{
			"simple":  {New: func() dispatcher.Router { return routers.NewSimple() }, Vumi: []string{"vumi.dispatchers.SimpleDispatchRouter"}},
			"to_addr": {New: func() dispatcher.Router { return routers.NewToAddr() }},
		},
		Transports: map[string]fleet.Class[transports.Transport]{
			"line": {New: func() transports.Transport { return &wire{} }},
		},
		Applications: map[string]fleet.Class[applications.Application]{
			"quiet": {New: func() applications.Application { return &quiet{starts: starts} }},
		},
		Middleware: map[string]fleet.Class[worker.Middleware]{},
	}
}

// newSite writes files, named in pairs of name and text.
func newSite(t *testing.T, files ...string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), starts: new(atomic.Int32)}
	for i := 0; i < len(files); i += 2 {
		s.write(files[i], files[i+1])
	}
	s.Process = &fleet.Process{
		Classes: classes(s.starts), Logger: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry(), Paths: []string{s.dir},
	}
	return s
}

// start runs the process on a broker.
func (s *site) start(b broker.Broker) {
	s.t.Helper()
	state := statememory.New()
	s.Broker, s.State = b, state
	defs, err := s.Classes.Load(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.beforeRun != nil {
		s.beforeRun()
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, defs) }()
	s.stop = func() {
		cancel()
		s.ended()
	}
	s.ended = func() {
		if err := <-done; err != nil {
			s.t.Errorf("Run: %v", err)
		}
		cancel()
		_, _ = b.Close(context.Background()), state.Close()
	}
}

// inBubble runs a test with the process on the memory broker and the test's
// own clock.
func inBubble(t *testing.T, files []string, test func(t *testing.T, s *site)) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, files...)
		s.startOnMemory()
		defer s.stop()
		synctest.Wait()
		test(t, s)
	})
}

func (s *site) startOnMemory() { s.start(memory.New(memory.Settings{})) }

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) reload() fleet.Changes {
	s.t.Helper()
	changes, err := s.Reload(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return changes
}

// ask asks the operators' port.
func (s *site) ask(method, path string, header ...string) (int, string) {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler(false).ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func (s *site) expect(path string, wants ...string) {
	s.t.Helper()
	_, text := s.ask(http.MethodGet, path)
	for _, want := range wants {
		if !strings.Contains(text, want) {
			s.t.Errorf("%s lacks %q:\n%s", path, want, text)
		}
	}
}

// send publishes an inbound message and says which of the queues it reached.
func (s *site) send(key string, queues ...string) string {
	s.t.Helper()
	m := message.New()
	m.To, m.From, m.TransportName = "12345", "+27831234567", strings.TrimSuffix(key, ".inbound")
	if err := s.Broker.Publish(s.t.Context(), broker.Publication{Key: key, Body: m.Encode()}); err != nil {
		s.t.Fatal(err)
	}
	synctest.Wait()
	for _, queue := range queues {
		if info, err := s.Broker.Inspect(s.t.Context(), queue); err == nil && info.Messages > 0 {
			if _, err := s.Broker.Purge(s.t.Context(), queue); err != nil {
				s.t.Fatal(err)
			}
			return queue
		}
	}
	return ""
}
