package smppserver

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/applications"
	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/store"
	"switchboard/store/memory"
	"switchboard/worker"
)

// cable is a process's way to a state that others share; it can be cut.
type cable struct {
	store.State
	cut atomic.Bool
}

var errCut = errors.New("no route to the database")

func (c *cable) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	if c.cut.Load() {
		return nil, errCut
	}
	return c.State.Get(ctx, keys...)
}

func (c *cable) Set(ctx context.Context, entries ...store.Entry) error {
	if c.cut.Load() {
		return errCut
	}
	return c.State.Set(ctx, entries...)
}

func (c *cable) Add(ctx context.Context, e store.Entry) (string, bool, error) {
	if c.cut.Load() {
		return "", false, errCut
	}
	return c.State.Add(ctx, e)
}

func (c *cable) Delete(ctx context.Context, keys ...string) error {
	if c.cut.Load() {
		return errCut
	}
	return c.State.Delete(ctx, keys...)
}

// inBubble runs a test of two processes that share a state, in a time of its own.
func inBubble(t *testing.T, test func(t *testing.T, one, two *cable)) {
	synctest.Test(t, func(t *testing.T) {
		state := memory.New()
		defer func() { _ = state.Close() }()
		test(t, &cable{State: state}, &cable{State: state})
	})
}

func leaseOn(c *cable) *lease {
	return newLease(c, "lease", slog.New(slog.DiscardHandler), func(bool) {})
}

// holding is a lease that is taken and kept.
func holding(t *testing.T, c *cable) *lease {
	t.Helper()
	l := leaseOn(c)
	if err := l.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// standing is a lease that is asked for in the background; the channel says when
// it was had.
func standing(t *testing.T, c *cable) (*lease, <-chan time.Time) {
	t.Helper()
	l, had := leaseOn(c), make(chan time.Time, 1)
	go func() {
		if l.acquire(t.Context()) == nil {
			had <- time.Now()
		}
	}()
	return l, had
}

func TestOnlyOneHasTheLease(t *testing.T) {
	inBubble(t, func(t *testing.T, one, two *cable) {
		first := holding(t, one)
		second, had := standing(t, two)
		time.Sleep(time.Hour)
		if !first.held() || second.held() || len(had) > 0 {
			t.Fatal("the second has the lease that the first keeps")
		}
		released := time.Now()
		first.release()
		if after := (<-had).Sub(released); after > leaseEvery {
			t.Errorf("it was had %s after it was given up", after)
		}
		second.release()
	})
}

// One that dies holds nobody up for longer than leaseTTL.
func TestALeaseOutlivesNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, one, two *cable) {
		dead := leaseOn(one)
		if err := dead.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		died := time.Now()
		second, had := standing(t, two)
		if after := (<-had).Sub(died); after < leaseTTL || after > leaseTTL+leaseEvery {
			t.Errorf("it was had after %s", after)
		}
		if dead.held() {
			t.Error("two have the lease")
		}
		second.release()
	})
}

// A process that does not reach the store writes nothing any more before another
// may, and goes on when nobody has taken over.
func TestALeaseSurvivesTheStore(t *testing.T) {
	inBubble(t, func(t *testing.T, one, _ *cable) {
		l := holding(t, one)
		written := func() error { return fenced{one, l}.Set(t.Context(), store.Entry{Key: "a", Value: "b"}) }
		if err := written(); err != nil {
			t.Fatal(err)
		}
		one.cut.Store(true)
		time.Sleep(leaseTTL)
		if err := written(); !errors.Is(err, errNoLease) {
			t.Errorf("out of reach: %v", err)
		}
		one.cut.Store(false)
		time.Sleep(2 * leaseEvery)
		if err := written(); err != nil {
			t.Errorf("in reach again: %v", err)
		}
		l.release()
	})
}

func TestALeaseMayBeTaken(t *testing.T) {
	inBubble(t, func(t *testing.T, one, two *cable) {
		first := holding(t, one)
		one.cut.Store(true)
		second, had := standing(t, two)
		<-had
		if first.held() {
			t.Error("two have the lease")
		}
		if err := second.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		one.cut.Store(false)
		<-first.taken
		first.release() // which must not give up what is another's
		if _, err := second.state.Get(t.Context(), "lease"); err != nil || !second.held() {
			t.Error("the first took the second's lease away")
		}
		if err := leaseOn(one).renew(t.Context()); !errors.Is(err, errTaken) {
			t.Errorf("a third was told %v", err)
		}
		second.release()
	})
}

// Of two processes of one name the second takes nothing and opens no port until
// the first ends; then it has what the first kept.
func TestStandby(t *testing.T) {
	b := begin(t)
	first := b.stop
	second, port := New(), 0
	second.SMPPPort, second.Interface = &port, "127.0.0.1"
	second.Customers = options.Map[Customer]{{Key: "acme", Value: acme()}}
	env := worker.Dependencies{Name: "server", Kind: worker.KindApplication, Broker: b.broker, State: b.state, Logger: b.logger()}
	conf := applications.DefaultOptions()
	conf.TransportName = connector
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- applications.New(env, conf, second).Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the second ended with %v", err)
		}
	}()
	b.eventually("the second stands by", func() bool { return strings.Contains(b.log.String(), "standing by") })
	for range 50 { // the memory broker would deal them out to both
		b.says("hi")
	}
	b.eventually("the first keeps all", func() bool { return b.queued() == 50 })
	first()
	b.app = second
	c := b.bound(pdu.CmdBindReceiver)
	for range 50 {
		c.delivered()
	}
	_ = c.conn.Close()
}

// A process whose customers were taken over says so and ends, to stand by.
func TestTakenOver(t *testing.T) {
	b := begin(t)
	b.stop()
	app, port := New(), 0
	app.SMPPPort, app.Interface = &port, "127.0.0.1"
	app.Customers = options.Map[Customer]{{Key: "acme", Value: acme()}}
	if err := app.Provision(t.Context(), applications.Env{Name: "server", State: b.state, Logger: b.logger()}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- app.Run(t.Context(), never{}) }()
	b.app = app
	c := b.bound(pdu.CmdBindTransceiver)
	if err := app.env.State.Set(t.Context(), store.Entry{Key: app.lease.key, Value: `{"id":"another"}`, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	c.ended()
	if err := <-ended; !errors.Is(err, errTaken) {
		t.Errorf("it ended with %v", err)
	}
	found, err := app.env.State.Get(t.Context(), app.lease.key)
	if err != nil || len(found) != 1 {
		t.Errorf("the other's lease is %v, %v", found, err)
	}
}
