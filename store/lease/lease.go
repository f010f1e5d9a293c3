// Package lease makes one of several processes the active one, by an entry of a state
// store that its holder renews.
package lease

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/store"
)

// Lease is one process's claim to a key. A holder that cannot renew it regards it as lost
// before the store can give it to another process.
type Lease struct {
	state  store.State
	key    string
	holder string // unique, and for another process's log
	log    *slog.Logger

	mu      sync.Mutex
	until   time.Time // the store gives it to nobody else before
	taken   chan struct{}
	stop    context.CancelFunc
	keeping sync.WaitGroup
}

const (
	// ttl is how long nobody is active after a process was killed.
	ttl = 6 * time.Second
	// renewEvery is how often the lease is renewed, and asked for by processes that stand by.
	renewEvery = 1500 * time.Millisecond
	// timeout is how long the store may take for a step.
	timeout = 3 * time.Second
	// logEvery is how often a process that stands by logs it.
	logEvery = 10 * time.Minute
)

var (
	// ErrTaken says that another process has the lease.
	ErrTaken = errors.New("another process is active, and this one stands by")
	// ErrLost says that another process may have the lease.
	ErrLost = errors.New("the state store has been out of reach for too long: another process may be active by now")
)

// New makes a claim to a key of state.
func New(state store.State, key string, log *slog.Logger) *Lease {
	host, _ := os.Hostname()
	holder := fmt.Sprintf("process %d on %s since %s (%s)", os.Getpid(), host, time.Now().UTC().Format(time.RFC3339), message.NewID())
	return &Lease{state: state, key: key, holder: holder, log: log, taken: make(chan struct{})}
}

// Acquire waits until no other process has the lease, and takes it.
func (l *Lease) Acquire(ctx context.Context) error {
	said, logged := "", time.Time{}
	for {
		err := l.renew(ctx)
		if err == nil {
			return nil
		}
		if why := err.Error(); why != said || time.Since(logged) > logEvery {
			l.log.Warn("standing by", "reason", why)
			said, logged = why, time.Now()
		}
		select {
		case <-time.After(renewEvery):
		case <-ctx.Done():
			return fmt.Errorf("standing by: %w", ctx.Err())
		}
	}
}

// Keep renews the lease until Release. It fails when another process has it.
func (l *Lease) Keep(ctx context.Context) error {
	if time.Until(l.end()) < ttl-renewEvery {
		if err := l.renew(ctx); err != nil {
			return err
		}
	}
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.keeping.Go(func() { l.keep(ctx) })
	return nil
}

// Taken is closed when another process has taken the lease that was kept.
func (l *Lease) Taken() <-chan struct{} { return l.taken }

func (l *Lease) keep(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(renewEvery):
		}
		err := l.renew(ctx)
		switch {
		case errors.Is(err, ErrTaken):
			close(l.taken)
			return
		case err != nil && ctx.Err() == nil && !l.held():
			l.log.Warn("the lease could not be renewed: nothing is stored until the state store is back", "error", err)
		}
	}
}

// renew takes the lease, or makes it last longer. ErrTaken says that another process has
// it; any other error, that the store does not answer.
func (l *Lease) renew(ctx context.Context) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	entry := store.Entry{Key: l.key, Value: l.holder, TTL: ttl}
	holder, added, err := l.state.Add(ctx, entry)
	switch {
	case err != nil || added:
	case holder != l.holder:
		l.setEnd(time.Time{})
		return fmt.Errorf("%w: %s", ErrTaken, holder)
	default: // writing over it must end before it does
		err = fence{l.state, l}.Set(ctx, entry)
	}
	if err != nil {
		return fmt.Errorf("renewing the lease: %w", err)
	}
	l.setEnd(began.Add(ttl))
	return nil
}

func (l *Lease) setEnd(end time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = end
}

func (l *Lease) end() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

// held says that no other process has the lease.
func (l *Lease) held() bool { return time.Now().Before(l.end()) }

// Release ends Keep, and lets another process have the lease at once.
func (l *Lease) Release() {
	if l.stop != nil {
		l.stop()
	}
	l.keeping.Wait()
	if !l.held() {
		return
	}
	ctx, cancel := context.WithDeadline(context.Background(), l.end())
	defer cancel()
	if err := l.state.Delete(ctx, l.key); err != nil {
		l.log.Info("giving the lease up failed; it runs out by itself", "within", ttl, "error", err)
	}
}

// Fence is the state with a Set and a Delete for the lease's holder alone: they end when the
// lease does. What Add and Increment leave harms no other holder.
func (l *Lease) Fence() store.State { return fence{l.state, l} }

type fence struct {
	store.State
	lease *Lease
}

// InMemory says whether the state is in memory.
func (f fence) InMemory() bool { return store.InMemory(f.State) }

func (f fence) Set(ctx context.Context, entries ...store.Entry) error {
	return f.write(ctx, func(ctx context.Context) error { return f.State.Set(ctx, entries...) })
}

func (f fence) Delete(ctx context.Context, keys ...string) error {
	return f.write(ctx, func(ctx context.Context) error { return f.State.Delete(ctx, keys...) })
}

func (f fence) write(ctx context.Context, do func(context.Context) error) error {
	if !f.lease.held() {
		return ErrLost
	}
	ctx, cancel := context.WithDeadline(ctx, f.lease.end())
	defer cancel()
	return do(ctx)
}
