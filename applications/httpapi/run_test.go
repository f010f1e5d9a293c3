package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/applications"
	"switchboard/message"
	"switchboard/worker"
)

func newTestRun(t *testing.T) *run {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	app := New()
	app.metrics = m
	r := &run{
		Application: app, connector: "shop", log: slog.New(slog.DiscardHandler),
		slots: make(chan struct{}, 1), breaker: newBreaker(func(bool, time.Time, error) {}),
	}
	t.Cleanup(r.breaker.stop)
	return r
}

// openNow opens the breaker, as posts to several people do that fail.
func (b *breaker) openNow() {
	for _, lane := range []string{"a", "b", "c", "d", "e"} {
		b.note(lane, errors.New("the webhook answered HTTP 500"))
	}
}

// Who waits for a request at the webhook in vain, gives back the places that it has.
func TestPlacesAtTheWebhookAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRun(t)
		r.breaker.openNow()
		r.breaker.wait(t.Context()) // it closes, and probes
		for range probes {
			r.breaker.probe <- struct{}{}
		}
		ctx, cancel := context.WithCancel(t.Context())
		entered := make(chan error, 1)
		enter := func() {
			_, err := r.enter(ctx)
			entered <- err
		}
		go enter()
		synctest.Wait()
		cancel()
		if err := <-entered; !errors.Is(err, context.Canceled) || len(r.slots) != 0 {
			t.Errorf("it ended with %v, and has %d places", err, len(r.slots))
		}
		ctx = t.Context()
		r.slots <- struct{}{}
		go enter()
		synctest.Wait()
		r.breaker.openNow()
		<-r.slots
		if err := <-entered; !errors.Is(err, errLeftAlone) || len(r.slots) != 0 {
			t.Errorf("while the webhook is left alone it ended with %v, and has %d places", err, len(r.slots))
		}
	})
}

// A webhook that is away is shown with the reason, and does not make the process unready.
func TestAWebhookThatIsAwayIsShown(t *testing.T) {
	r, registry := newTestRun(t), prometheus.NewRegistry()
	var err error
	if r.metrics, err = newMetrics(registry); err != nil {
		t.Fatal(err)
	}
	r.env.Monitor = worker.NewMonitor("shop", worker.NewMetrics(prometheus.NewRegistry()))
	r.breaker = newBreaker(r.report)
	defer r.breaker.stop()
	shown := func(want message.Health, up float64, reason string) {
		t.Helper()
		all := r.env.Monitor.Dependencies()
		if len(all) != 1 || all[0].Name != "webhook" || all[0].Health != want || !strings.Contains(all[0].Reason, reason) || r.env.Monitor.Down(worker.DependsOnLink) {
			t.Errorf("shown is %+v, want %s with %q", all, want, reason)
		}
		families, err := registry.Gather()
		shows := false
		for _, f := range families {
			shows = shows || f.GetName() == "switchboard_webhook_up" && f.GetMetric()[0].GetGauge().GetValue() == up
		}
		if err != nil || !shows {
			t.Errorf("the metrics are %v, %v; want the webhook's at %g", families, err, up)
		}
	}
	r.breaker.openNow()
	shown(message.Degraded, 0, "the webhook answered HTTP 500; what it is to get waits")
	r.breaker.note("a", nil)
	shown(message.OK, 1, "")
}

// countedQueues are queues of which the broker says how much is in them.
type countedQueues struct {
	applications.Queues
	count func() int
}

func (q countedQueues) Count(_ context.Context, queues ...string) (map[string]int, error) {
	return map[string]int{queues[0]: q.count()}, nil
}

// What another process has taken is not waited for; what is put meanwhile is.
func TestWhatWaitsIsCountedAnew(t *testing.T) {
	r := newTestRun(t)
	w := newWaiting(r, "webhook.0")
	put := func() { _ = w.putting(func() error { return nil }) }
	put()
	r.queues = countedQueues{count: func() int { return 0 }}
	if w.recount(t.Context()); w.length() != 0 {
		t.Errorf("%d wait in a queue that is empty", w.length())
	}
	r.queues = countedQueues{count: func() int { put(); return 0 }}
	if w.recount(t.Context()); w.length() != 1 {
		t.Errorf("%d wait, and one was put while they were counted", w.length())
	}
	_ = w.putting(func() error {
		r.queues = countedQueues{count: func() int { return 0 }}
		if w.recount(t.Context()); w.length() != 2 {
			t.Errorf("%d wait while one is being put", w.length())
		}
		return errors.New("the broker is away")
	})
	if w.length() != 1 {
		t.Errorf("%d wait after one could not be put", w.length())
	}
}

// failingSender keeps the ids of what is sent, and fails with the last.
type failingSender struct {
	left int
	ids  []string
}

func (s *failingSender) Send(_ context.Context, m *message.Message) error {
	if s.left--; s.left < 0 {
		return errors.New("the broker is away")
	}
	s.ids = append(s.ids, m.ID)
	return nil
}

// An answer that is sent in part, and comes again, has the same messages.
func TestTheSameAnswerHasTheSameMessages(t *testing.T) {
	r := newTestRun(t)
	m := message.New()
	m.From, m.To = "+27831234567", "8080"
	const answer = `{"reply": "a", "messages": [{"to": "+27830000002", "content": "b"}, {"content": "c"}]}`
	first, second := &failingSender{left: 2}, &failingSender{left: 3}
	r.out = first
	if err := r.sendReplies(t.Context(), m, []byte(answer)); err == nil {
		t.Error("the third was sent")
	}
	r.out = second
	if err := r.sendReplies(t.Context(), m, []byte(answer)); err != nil {
		t.Error(err)
	}
	if len(first.ids) != 2 || len(second.ids) != 3 || !slices.Equal(first.ids, second.ids[:2]) {
		t.Errorf("sent %q, then %q", first.ids, second.ids)
	}
}
