package middleware_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/message"
	"switchboard/middleware"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

func newRateLimit(t *testing.T, kind, yaml string) (m *middleware.RateLimit, end func()) {
	t.Helper()
	state := statememory.New()
	m = mustLoad(t, middleware.NewRateLimit(), yaml)
	bindTo(t, m, kind, state)
	return m, func() { _ = state.Close() }
}

// passed counts how many of n messages at one moment pass.
func passed(t *testing.T, m worker.Middleware, n int, flow message.Flow, change func(*message.Message)) (passed int) {
	t.Helper()
	for range n {
		err := pass(t, m, envelope(flow, change))
		_, retry := message.RetryDelay(err)
		if err == nil {
			passed++
		} else if !retry && !message.IsRejection(err) {
			t.Fatal(err)
		}
	}
	return passed
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, end := newRateLimit(t, worker.KindDispatcher, "{limit: 6, per: 60s, burst: 3, flows: [inbound, outbound], exempt: '27829999999'}")
		defer end()
		expect := func(what string, got, want int) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %d passed, want %d", what, got, want)
			}
		}
		expect("a burst", passed(t, m, 5, message.Outbound, nil), 3)
		expect("the other flow", passed(t, m, 5, message.Inbound, nil), 3)
		expect("another person", passed(t, m, 5, message.Outbound, func(m *message.Message) { m.To = "1" }), 3)
		expect("an exempt person", passed(t, m, 5, message.Outbound, func(m *message.Message) { m.To = "+27829999999" }), 5)
		expect("nobody", passed(t, m, 5, message.Outbound, func(m *message.Message) { m.To = "" }), 5)
		time.Sleep(10 * time.Second)
		expect("10 s later", passed(t, m, 5, message.Outbound, nil), 1)
		time.Sleep(20*time.Second - time.Millisecond)
		expect("almost 20 s later", passed(t, m, 5, message.Outbound, nil), 1)
		time.Sleep(time.Hour)
		expect("an hour later", passed(t, m, 5, message.Outbound, nil), 3)
	})
}

func TestRateLimitOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		retry, end := newRateLimit(t, worker.KindTransport, "{limit: 1, per: 30s}")
		defer end()
		drop, endDrop := newRateLimit(t, worker.KindTransport, "{limit: 1, over_limit: discard}")
		defer endDrop()
		e := envelope(message.Outbound, nil)
		if err := pass(t, retry, e); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		err := pass(t, retry, e)
		if delay, asked := message.RetryDelay(err); !asked || delay != 20*time.Second {
			t.Errorf("got %v, want to wait 20s", err)
		}
		time.Sleep(20 * time.Second)
		if err := pass(t, retry, e); err != nil {
			t.Errorf("after waiting as told: %v", err)
		}
		if err := pass(t, drop, e); err != nil {
			t.Fatal(err)
		}
		if err := pass(t, drop, e); !message.IsRejection(err) {
			t.Errorf("got %v, want a refusal", err)
		}
		if err := pass(t, drop, event()); err != nil {
			t.Error(err)
		}
	})
}

// An application only publishes what it sends: there it must be counted.
func TestRateLimitOfWhatIsOnlyPublished(t *testing.T) {
	m, end := newRateLimit(t, worker.KindApplication, "limit: 1")
	defer end()
	if err := pass(t, m, envelope(message.Outbound, nil)); err != nil {
		t.Fatal(err)
	}
	if err := pass(t, m, envelope(message.Outbound, nil)); err == nil {
		t.Error("a second message passed")
	}
}

func TestRateLimitShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := statememory.New()
		defer func() { _ = state.Close() }()
		var replicas []worker.Middleware
		for range 2 {
			m := mustLoad(t, middleware.NewRateLimit(), "{limit: 4, per: 60s, shared: true}")
			bindTo(t, m, worker.KindDispatcher, state)
			replicas = append(replicas, m)
		}
		count := func() int {
			return passed(t, replicas[0], 3, message.Outbound, nil) + passed(t, replicas[1], 3, message.Outbound, nil)
		}
		if n := count(); n != 4 {
			t.Errorf("%d passed, want 4 by both replicas together", n)
		}
		err := pass(t, replicas[1], envelope(message.Outbound, nil))
		delay, _ := message.RetryDelay(err)
		time.Sleep(delay)
		if n := count(); n != 4 {
			t.Errorf("in the next period, after %s, %d passed, want 4", delay, n)
		}
	})
}

// People who come and go are forgotten, also when very many come at once.
func TestRateLimitManyPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, end := newRateLimit(t, worker.KindDispatcher, "{limit: 1, per: 1h}")
		defer end()
		for i := range 250_000 {
			if err := pass(t, m, envelope(message.Outbound, func(m *message.Message) { m.To = fmt.Sprint(i) })); err != nil {
				t.Fatal(err)
			}
		}
		last := func(m *message.Message) { m.To = "249999" }
		if n := passed(t, m, 1, message.Outbound, last); n != 0 {
			t.Error("the last to come is forgotten already")
		}
	})
	refused(t, middleware.NewRateLimit, map[string]string{
		"no limit": "", "no time": "{limit: 1, per: 0}", "a negative burst": "{limit: 1, burst: -1}",
		"odd answer": "{limit: 1, over_limit: drop}", "no flow": "{limit: 1, flows: []}",
	})
}
