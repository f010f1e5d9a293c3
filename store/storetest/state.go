// Package storetest tests implementations of the store's interfaces.
package storetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"switchboard/internal/testutil"
	"switchboard/store"
)

// Sweeper is a state that can be told to delete expired entries.
type Sweeper interface {
	Sweep(ctx context.Context) (int64, error)
}

// RunState tests a store.State. open returns an empty state for each test, which the test's
// Cleanup closes. A Sweeper is tested to delete expired entries.
func RunState(t *testing.T, open func(t *testing.T) store.State) {
	for name, test := range map[string]func(*testing.T, store.State){
		"get finds what is there":              getFinds,
		"set is all of it and the last counts": setLast,
		"any bytes are keys and values":        anyBytes,
		"an entry past its TTL is gone":        ttlEnds,
		"set renews a TTL":                     setRenews,
		"add keeps what is there":              addKeeps,
		"add after the end is new":             addAfterEnd,
		"one of many adds wins":                oneAddWins,
		"increment counts":                     incrementCounts,
		"increment keeps the first TTL":        incrementTTL,
		"increment refuses what is no number":  incrementText,
		"increments at once all count":         incrementsAtOnce,
		"writers at once do not lock up":       writersAtOnce,
		"delete forgets":                       deleteForgets,
		"deletes at once forget all":           deletesAtOnce,
		"range finds what lies between":        rangeBetween,
		"many at once":                         manyEntries,
		"old entries are deleted":              sweeps,
		"a cancelled context is an error":      cancelled,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func set(t *testing.T, s store.State, entries ...store.Entry) {
	t.Helper()
	if err := s.Set(t.Context(), entries...); err != nil {
		t.Fatalf("Set: %v", err)
	}
}

func wantState(t *testing.T, s store.State, want map[string]string, keys ...string) {
	t.Helper()
	got, err := s.Get(t.Context(), keys...)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Get(%q), -want +got:\n%s", keys, diff)
	}
}

func getFinds(t *testing.T, s store.State) {
	set(t, s, store.Entry{Key: "a", Value: "1"}, store.Entry{Key: "b"})
	wantState(t, s, map[string]string{"a": "1", "b": ""}, "a", "b", "c", "a")
	wantState(t, s, map[string]string{})
}

func setLast(t *testing.T, s store.State) {
	set(t, s)
	set(t, s, store.Entry{Key: "a", Value: "1"}, store.Entry{Key: "a", Value: "2"})
	wantState(t, s, map[string]string{"a": "2"}, "a")
	set(t, s, store.Entry{Key: "a", Value: "3"})
	wantState(t, s, map[string]string{"a": "3"}, "a")
}

func anyBytes(t *testing.T, s store.State) {
	long := strings.Repeat("k", 5000)
	want := map[string]string{
		"": "empty key", "nul\x00": "nul\x00value", "bad \xff utf-8": "\xfe", "snow \u2603": "\u2603",
		long + "1": "long 1", long + "2": strings.Repeat("v", 100_000), "events/d/'; --": "quote",
	}
	for key, value := range want {
		set(t, s, store.Entry{Key: key, Value: value})
	}
	wantState(t, s, want, slices.Collect(maps.Keys(want))...)
}

const (
	brief = 30 * time.Millisecond
	soon  = 10 * time.Second
)

func gone(t *testing.T, s store.State, key string) {
	t.Helper()
	testutil.EventuallyWithin(t, soon, key+" is gone", func() bool {
		got, err := s.Get(t.Context(), key)
		return err == nil && len(got) == 0
	})
}

func ttlEnds(t *testing.T, s store.State) {
	set(t, s, store.Entry{Key: "ever", Value: "1"}, store.Entry{Key: "hour", Value: "2", TTL: time.Hour},
		store.Entry{Key: "brief", Value: "3", TTL: brief}, store.Entry{Key: "nano", Value: "4", TTL: 1})
	gone(t, s, "brief")
	gone(t, s, "nano")
	wantState(t, s, map[string]string{"ever": "1", "hour": "2"}, "ever", "hour", "brief", "nano")
}

func setRenews(t *testing.T, s store.State) {
	set(t, s, store.Entry{Key: "a", Value: "1", TTL: brief}, store.Entry{Key: "clock", TTL: 2 * brief})
	set(t, s, store.Entry{Key: "a", Value: "2"})
	gone(t, s, "clock")
	wantState(t, s, map[string]string{"a": "2"}, "a")
}

func add(t *testing.T, s store.State, e store.Entry) (string, bool) {
	t.Helper()
	value, added, err := s.Add(t.Context(), e)
	if err != nil {
		t.Fatalf("Add: %v", err)
	}
	return value, added
}

func addKeeps(t *testing.T, s store.State) {
	if value, added := add(t, s, store.Entry{Key: "a", Value: "1"}); value != "1" || !added {
		t.Errorf("first Add = %q, %v", value, added)
	}
	if value, added := add(t, s, store.Entry{Key: "a", Value: "2", TTL: brief}); value != "1" || added {
		t.Errorf("second Add = %q, %v; want what was there", value, added)
	}
	wantState(t, s, map[string]string{"a": "1"}, "a")
}

func addAfterEnd(t *testing.T, s store.State) {
	set(t, s, store.Entry{Key: "a", Value: "1", TTL: brief})
	gone(t, s, "a")
	if value, added := add(t, s, store.Entry{Key: "a", Value: "2"}); value != "2" || !added {
		t.Errorf("Add after the end = %q, %v", value, added)
	}
	wantState(t, s, map[string]string{"a": "2"}, "a")
}

// atOnce runs n calls concurrently and stops the test at the first error.
func atOnce(t *testing.T, n int, work func(i int) error) {
	t.Helper()
	var all sync.WaitGroup
	failures := make(chan error, n)
	for i := range n {
		all.Go(func() { failures <- work(i) })
	}
	all.Wait()
	for range n {
		if err := <-failures; err != nil {
			t.Fatal(err)
		}
	}
}

func oneAddWins(t *testing.T, s store.State) {
	var won atomic.Int64
	var values sync.Map
	atOnce(t, 16, func(i int) error {
		value, added, err := s.Add(t.Context(), store.Entry{Key: "a", Value: fmt.Sprint(i)})
		if added {
			won.Add(1)
		}
		values.Store(value, true)
		return err
	})
	different := 0
	values.Range(func(any, any) bool { different++; return true })
	if won.Load() != 1 || different != 1 {
		t.Errorf("%d adds won, and %d values were seen", won.Load(), different)
	}
}

func increment(t *testing.T, s store.State, key string, by int64, ttl time.Duration) int64 {
	t.Helper()
	sum, err := s.Increment(t.Context(), key, by, ttl)
	if err != nil {
		t.Fatalf("Increment: %v", err)
	}
	return sum
}
