package lease

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/store"
	"switchboard/store/memory"
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

func leaseOn(c *cable) *Lease { return New(c, "lease", slog.New(slog.DiscardHandler)) }

// holding is a lease that is taken and kept.
func holding(t *testing.T, c *cable) *Lease {
	t.Helper()
	l := leaseOn(c)
	if err := l.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// standing is a lease that is asked for in the background; the channel says when
// it was had.
func standing(t *testing.T, c *cable) (*Lease, <-chan time.Time) {
	t.Helper()
	l, had := leaseOn(c), make(chan time.Time, 1)
	go func() {
		if l.Acquire(t.Context()) == nil {
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
		first.Release()
		if after := (<-had).Sub(released); after > renewEvery {
			t.Errorf("it was had %s after it was given up", after)
		}
		second.Release()
	})
}

// One that dies holds nobody up for longer than ttl.
func TestALeaseOutlivesNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, one, two *cable) {
		dead := leaseOn(one)
		if err := dead.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		died := time.Now()
		second, had := standing(t, two)
		if after := (<-had).Sub(died); after < ttl || after > ttl+renewEvery {
			t.Errorf("it was had after %s", after)
		}
		if dead.held() {
			t.Error("two have the lease")
		}
		second.Release()
	})
}

// A process that does not reach the store writes nothing any more before another
// may, and goes on when nobody has taken over.
func TestALeaseSurvivesTheStore(t *testing.T) {
	inBubble(t, func(t *testing.T, one, _ *cable) {
		l := holding(t, one)
		written := func() error { return l.Fence().Set(t.Context(), store.Entry{Key: "a", Value: "b"}) }
		if err := written(); err != nil {
			t.Fatal(err)
		}
		one.cut.Store(true)
		time.Sleep(ttl)
		if err := written(); !errors.Is(err, ErrLost) {
			t.Errorf("out of reach: %v", err)
		}
		one.cut.Store(false)
		time.Sleep(2 * renewEvery)
		if err := written(); err != nil {
			t.Errorf("in reach again: %v", err)
		}
		l.Release()
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
		one.cut.Store(false) // what it began while it had the lease comes late
		if err := first.Fence().Delete(t.Context(), "lease"); !errors.Is(err, ErrLost) {
			t.Errorf("it deletes what is another's: %v", err)
		}
		one.cut.Store(true)
		if err := second.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		one.cut.Store(false)
		<-first.Taken()
		first.Release() // which must not give up what is another's
		if _, err := second.state.Get(t.Context(), "lease"); err != nil || !second.held() {
			t.Error("the first took the second's lease away")
		}
		if err := leaseOn(one).renew(t.Context()); !errors.Is(err, ErrTaken) {
			t.Errorf("a third was told %v", err)
		}
		second.Release()
	})
}
