package http

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/message"
	"switchboard/store"
	statememory "switchboard/store/memory"
	"switchboard/transports"
	"switchboard/transports/transporttest"
)

// slowRange answers with what was there when it was asked.
type slowRange struct {
	*statememory.State
	answer chan struct{}
}

func (s slowRange) Range(ctx context.Context, from, to string, limit int) ([]store.Entry, error) {
	found, err := s.State.Range(ctx, from, to, limit)
	<-s.answer
	return found, err
}

// takes is a run that takes what came, and remembers in a state.
func takes(t *testing.T, state interface {
	store.State
	Close() error
},
) (*run, *transporttest.Publisher) {
	t.Helper()
	tr, out := New(), transporttest.NewPublisher()
	tr.env = transports.Env{Now: time.Now}
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	r := &run{transport: tr, publisher: out, metrics: m, memory: &memory{state: store.NewBatcher(state, store.BatchSettings{}), options: tr}}
	r.memory.deliveries = transports.NewDeliveries(t.Context(), r.memory.state, time.Minute, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { _ = state.Close() })
	return r, out
}

// Of two parts that come at once, each may be stored after the other looked.
func TestTwoPartsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := slowRange{statememory.New(), make(chan struct{})}
		r, out := takes(t, state)
		part := func(number int, text string) {
			m := message.New()
			m.Content = text
			if err := r.takePart(t.Context(), &inbound{Message: m, join: "j", number: number, total: 2}); err != nil {
				t.Error(err)
			}
		}
		go part(1, "hello ")
		synctest.Wait()
		go part(2, "world")
		synctest.Wait()
		close(state.answer)
		synctest.Wait()
		list := out.All()
		if len(list) != 1 || list[0].Content != "hello world" {
			t.Errorf("received %v", list)
		}
	})
}

// patient is a publisher that publishes while its context lasts.
type patient struct {
	*transporttest.Publisher
	begun chan struct{}
}

func (p patient) Event(ctx context.Context, e *message.Event) error {
	<-p.begun
	if err := ctx.Err(); err != nil {
		return err
	}
	return p.Publisher.Event(ctx, e)
}

// A receipt is reported though the provider does not wait for the answer.
func TestReceiptOfARequestThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, out := takes(t, statememory.New())
		publisher := patient{out, make(chan struct{})}
		r.publisher = publisher
		if err := r.memory.remember(t.Context(), "p1", sentMessage{ID: "m1"}, r.report); err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			if err := r.takeAll(ctx, &taken{receipts: []*receipt{{ID: "p1", Status: message.Delivered}}}); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		}()
		synctest.Wait()
		leave()
		synctest.Wait()
		close(publisher.begun)
		synctest.Wait()
		if e, there := out.PeekEvent(); !there || e.MessageID != "m1" {
			t.Errorf("reported %v", e)
		}
	})
}

// Repeated is what has the same replay, whatever the message's ID is.
func TestReplay(t *testing.T) {
	r, out := takes(t, statememory.New())
	for _, one := range []struct{ replay, id string }{{"a", "1"}, {"b", "1"}, {"a", "2"}} {
		m := message.New()
		m.ID, m.Content = one.id, one.replay
		if err := r.takeMessage(t.Context(), &inbound{Message: m, replay: one.replay}); err != nil {
			t.Error(err)
		}
	}
	if list := out.All(); len(list) != 2 || list[0].Content != "a" || list[1].Content != "b" {
		t.Errorf("received %v", list)
	}
}

// The frame chooses how many are in flight, unless it would choose too few.
func TestInFlight(t *testing.T) {
	for name, c := range map[string]struct {
		asked int
		tps   float64
		send  *send
		want  int
	}{
		"few requests":          {20, 0, &send{Send: Send{Recipients: 1}}, 0},
		"as many as it finds":   {100, 5, &send{Send: Send{Recipients: 1}}, 0},
		"many requests":         {200, 0, &send{Send: Send{Recipients: 1}}, 600},
		"many people a request": {20, 0, &send{Send: Send{Recipients: 50}}, 1400},
		"at a rate":             {200, 30, &send{Send: Send{Recipients: 1}}, 230},
		"at the description's":  {200, 0, &send{Send: Send{Recipients: 1, Rate: 10}}, 210},
		"fetched":               {20, 0, &send{Send: Send{Recipients: 1, Fetched: true}}, 420},
		"receives only":         {20, 0, nil, 0},
	} {
		tr := New()
		tr.MaxInFlight, tr.MTTPS, tr.compiled = c.asked, c.tps, &channel{send: c.send}
		if got := tr.InFlight(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
