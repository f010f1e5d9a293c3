// Package memory is a store.State in the process's memory, for tests, the demonstration and
// workers without replicas.
package memory

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"switchboard/store"
)

var _ store.State = (*State)(nil)

const (
	sweepEvery = time.Minute
	// sweepBatch bounds how long a sweep holds the lock.
	sweepBatch = 1000
)

// MaxEntries is how many entries with a TTL are kept; the oldest is deleted for each further
// one. Entries without a TTL are always kept.
const MaxEntries = 100_000

type entry struct {
	value string
	ends  time.Time // zero is never
	age   uint64    // a counter of stored entries
}

type stored struct {
	key string
	age uint64
}

// State is a store.State in memory. Only Increment can fail: of a value that is no number.
type State struct {
	mu      sync.Mutex
	entries map[string]entry
	order   []stored // of entries with a TTL, oldest first; some are stale
	ages    uint64
	stop    chan struct{}
	stopped sync.WaitGroup
	closing sync.Once
}

// New makes an empty state; Close ends its background work.
func New() *State {
	s := &State{entries: map[string]entry{}, stop: make(chan struct{})}
	s.stopped.Go(s.sweepForever)
	return s
}

// Close ends the background work. The state stays usable.
func (s *State) Close() error {
	s.closing.Do(func() { close(s.stop) })
	s.stopped.Wait()
	return nil
}

func ends(ttl time.Duration) time.Time {
	if ttl == 0 {
		return time.Time{}
	}
	return time.Now().Add(ttl)
}

// live returns an entry that has not expired.
func (s *State) live(key string) (entry, bool) {
	e, ok := s.entries[key]
	return e, ok && !e.ended(time.Now())
}

func (e entry) ended(now time.Time) bool { return !e.ends.IsZero() && !now.Before(e.ends) }

// InMemory says that it answers at once.
func (s *State) InMemory() bool { return true }

// Get implements store.State.
func (s *State) Get(_ context.Context, keys ...string) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]string{} // often there is nothing
	for _, key := range keys {
		if e, ok := s.live(key); ok {
			found[key] = e.value
		}
	}
	return found, nil
}

// Set implements store.State.
func (s *State) Set(_ context.Context, entries ...store.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		s.put(e.Key, entry{value: e.Value, ends: ends(e.TTL)})
	}
	return nil
}

func (s *State) put(key string, e entry) {
	s.ages++
	e.age = s.ages
	s.entries[key] = e
	if e.ends.IsZero() {
		return
	}
	s.order = append(s.order, stored{key, e.age})
	for len(s.order) > MaxEntries {
		oldest := s.order[0]
		s.order = s.order[1:]
		if s.entries[oldest.key].age == oldest.age {
			delete(s.entries, oldest.key)
		}
	}
}

// Add implements store.State.
func (s *State) Add(_ context.Context, e store.Entry) (string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if there, ok := s.live(e.Key); ok {
		return there.value, false, nil
	}
	s.put(e.Key, entry{value: e.Value, ends: ends(e.TTL)})
	return e.Value, true, nil
}

// Increment implements store.State.
func (s *State) Increment(_ context.Context, key string, by int64, ttl time.Duration) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.live(key)
	if !ok {
		e = entry{value: "0", ends: ends(ttl)}
	}
	n, err := strconv.ParseInt(e.value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("incrementing %.80q: %.40q is no whole number", key, e.value)
	}
	if by > 0 && n > math.MaxInt64-by || by < 0 && n < math.MinInt64-by {
		return 0, fmt.Errorf("incrementing %.80q: %d and %d are out of range", key, n, by)
	}
	e.value = strconv.FormatInt(n+by, 10)
	s.put(key, e)
	return n + by, nil
}

// Range implements store.State.
func (s *State) Range(_ context.Context, from, to string, limit int) ([]store.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var list []store.Entry
	for key, e := range s.entries {
		if key >= from && key < to && !e.ended(now) {
			list = append(list, store.Entry{Key: key, Value: e.value})
		}
	}
	slices.SortFunc(list, func(a, b store.Entry) int { return strings.Compare(a.Key, b.Key) })
	return list[:min(len(list), max(limit, 0))], nil
}

// Delete implements store.State.
func (s *State) Delete(_ context.Context, keys ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		delete(s.entries, key)
	}
	return nil
}

func (s *State) sweepForever() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			_, _ = s.Sweep(context.Background()) // never fails
		}
	}
}

// Sweep deletes expired entries and returns how many.
func (s *State) Sweep(context.Context) (int64, error) {
	var n int64
	old := s.old()
	for len(old) > 0 {
		part := old[:min(sweepBatch, len(old))]
		n += s.drop(part)
		old = old[len(part):]
	}
	return n, nil
}

func (s *State) old() (keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for key, e := range s.entries {
		if e.ended(now) {
			keys = append(keys, key)
		}
	}
	return keys
}

// drop checks again: a key may have been set since.
func (s *State) drop(keys []string) (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		if _, there := s.entries[key]; !there {
			continue
		}
		if _, live := s.live(key); !live {
			delete(s.entries, key)
			n++
		}
	}
	return n
}
