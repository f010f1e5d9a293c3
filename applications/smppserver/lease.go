package smppserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/store"
)

// lease makes one process at a time serve a server's customers. It is an entry of
// the state store that its holder renews. A holder that cannot renew it regards it as
// lost before the store can give it to another process.
type lease struct {
	state  store.State
	key    string
	value  string
	log    *slog.Logger
	active func(bool) // is told whether this process is the one

	mu      sync.Mutex
	until   time.Time // the store gives it to nobody else before
	taken   chan struct{}
	stop    context.CancelFunc
	keeping sync.WaitGroup
}

// holder names the process that has a lease, for the log. ID is unique.
type holder struct {
	ID    string    `json:"id"`
	Host  string    `json:"host"`
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
}

const (
	// leaseTTL is how long nobody serves the customers after a process was killed.
	leaseTTL = 6 * time.Second
	// leaseEvery is how often the lease is renewed, and asked for by processes that
	// stand by.
	leaseEvery = 1500 * time.Millisecond
	// leaseTimeout is how long the store may take for a step.
	leaseTimeout = 3 * time.Second
	// standbyNote is how often a process that stands by logs it.
	standbyNote = 10 * time.Minute
)

var (
	errNoLease = errors.New("the state store has been out of reach for too long: another process may serve these customers by now")
	errTaken   = errors.New("another process has taken over this server while the state store was out of reach; this one unbinds its customers and stands by")
)

func newLease(state store.State, key string, log *slog.Logger, active func(bool)) *lease {
	host, _ := os.Hostname()
	// Marshalling strings, a number and a time of this century cannot fail.
	value, _ := json.Marshal(holder{ID: message.NewID(), Host: host, PID: os.Getpid(), Since: time.Now().UTC().Truncate(time.Second)})
	return &lease{state: state, key: key, value: string(value), log: log, active: active, taken: make(chan struct{})}
}

// acquire waits until no other process has the lease, and takes it.
func (l *lease) acquire(ctx context.Context) error {
	l.active(false)
	said, noted := "", time.Time{}
	for {
		why, err := l.try(ctx)
		if err == nil && why == "" {
			return nil
		}
		if err != nil {
			why = fmt.Sprintf("the state store is out of reach: %v", err)
		}
		if why != said || time.Since(noted) > standbyNote {
			l.log.Warn("standing by: customers cannot bind to this process yet", "reason", why)
			said, noted = why, time.Now()
		}
		select {
		case <-time.After(leaseEvery):
		case <-ctx.Done():
			return fmt.Errorf("standing by: %w", ctx.Err())
		}
	}
}

// try takes the lease, or returns who has it.
func (l *lease) try(ctx context.Context) (why string, err error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	value, added, err := l.state.Add(ctx, store.Entry{Key: l.key, Value: l.value, TTL: leaseTTL})
	switch {
	case err != nil:
		return "", err
	case added:
		l.setEnd(began.Add(leaseTTL))
		return "", nil
	case value == l.value: // it has run out here, and not yet there
		return "its lease is about to run out", nil
	}
	var h holder
	_ = json.Unmarshal([]byte(value), &h)
	return fmt.Sprintf("process %d on %s has served this server's customers since %s; this one takes over when that ends",
		h.PID, h.Host, h.Since.Format(time.RFC3339)), nil
}

func (l *lease) setEnd(end time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = end
}

func (l *lease) end() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

func (l *lease) held() bool { return time.Now().Before(l.end()) }

// begin renews the lease until release. It fails when the lease has run out since
// acquire, because the broker had to be waited for, and another process has it.
func (l *lease) begin(ctx context.Context) error {
	if time.Until(l.end()) < leaseTTL-leaseEvery {
		if err := l.renew(ctx); err != nil {
			return err
		}
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.keeping.Go(func() { l.keep(ctx) })
	l.active(true)
	return nil
}

func (l *lease) keep(ctx context.Context) {
	tick := time.NewTicker(leaseEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := l.renew(ctx)
		switch {
		case errors.Is(err, errTaken):
			close(l.taken)
			return
		case err != nil && ctx.Err() == nil && !l.held():
			l.log.Warn("the lease of this server could not be renewed: submits wait, and nothing is delivered, until the state store is back", "error", err)
		}
	}
}

// renew makes the lease last longer. The error is errTaken when another process has
// it; any other says that the store does not answer.
func (l *lease) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	found, err := l.state.Get(ctx, l.key)
	if err != nil {
		return fmt.Errorf("renewing the lease of the server: %w", err)
	}
	value, there := found[l.key]
	switch {
	case there && value != l.value:
		l.setEnd(time.Time{})
		return errTaken
	case there && l.held():
		return l.prolong(ctx)
	}
	why, err := l.try(ctx)
	if err != nil {
		return fmt.Errorf("renewing the lease of the server: %w", err)
	}
	if why != "" {
		return fmt.Errorf("renewing the lease of the server: %w", errNoLease)
	}
	return nil
}

// prolong writes over our entry. It ends before the lease does, so that it cannot
// write over another process's.
func (l *lease) prolong(ctx context.Context) error {
	began := time.Now()
	ctx, cancel := context.WithDeadline(ctx, l.end())
	defer cancel()
	if err := l.state.Set(ctx, store.Entry{Key: l.key, Value: l.value, TTL: leaseTTL}); err != nil {
		return fmt.Errorf("renewing the lease of the server: %w", err)
	}
	l.setEnd(began.Add(leaseTTL))
	return nil
}

// release lets another process have the lease at once.
func (l *lease) release() {
	if l.stop != nil {
		l.stop()
	}
	l.keeping.Wait()
	l.active(false)
	if !l.held() {
		return
	}
	ctx, cancel := context.WithDeadline(context.Background(), l.end())
	defer cancel()
	if err := l.state.Delete(ctx, l.key); err != nil {
		l.log.Info("giving the lease of the server up failed; it runs out by itself", "within", leaseTTL, "error", err)
	}
}

// fenced is a state that only the holder of a lease may write to, until the
// lease ends at the latest.
type fenced struct {
	store.State
	lease *lease
}

var _ store.State = fenced{}

// InMemory says whether the state is in memory.
func (f fenced) InMemory() bool { return store.InMemory(f.State) }

func (f fenced) write(ctx context.Context, do func(context.Context) error) error {
	end := f.lease.end()
	if !time.Now().Before(end) {
		return errNoLease
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	return do(ctx)
}

func (f fenced) Set(ctx context.Context, entries ...store.Entry) error {
	return f.write(ctx, func(ctx context.Context) error { return f.State.Set(ctx, entries...) })
}

func (f fenced) Add(ctx context.Context, e store.Entry) (value string, added bool, err error) {
	err = f.write(ctx, func(ctx context.Context) error {
		value, added, err = f.State.Add(ctx, e)
		return err
	})
	return value, added, err
}

func (f fenced) Increment(ctx context.Context, key string, by int64, ttl time.Duration) (sum int64, err error) {
	err = f.write(ctx, func(ctx context.Context) error {
		sum, err = f.State.Increment(ctx, key, by, ttl)
		return err
	})
	return sum, err
}

func (f fenced) Delete(ctx context.Context, keys ...string) error {
	return f.write(ctx, func(ctx context.Context) error { return f.State.Delete(ctx, keys...) })
}
