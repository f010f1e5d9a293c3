package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"switchboard/internal/testutil"
	"switchboard/store"
)

func incrementCounts(t *testing.T, s store.State) {
	for _, step := range []struct{ by, want int64 }{{1, 1}, {10, 11}, {-20, -9}, {0, -9}} {
		if got := increment(t, s, "n", step.by, 0); got != step.want {
			t.Errorf("Increment by %d = %d, want %d", step.by, got, step.want)
		}
	}
	wantState(t, s, map[string]string{"n": "-9"}, "n")
	set(t, s, store.Entry{Key: "n", Value: "41"})
	if got := increment(t, s, "n", 1, 0); got != 42 {
		t.Errorf("Increment of what was set = %d, want 42", got)
	}
}

func incrementTTL(t *testing.T, s store.State) {
	increment(t, s, "n", 5, brief)
	testutil.EventuallyWithin(t, soon, "n counts from its beginning", func() bool { return increment(t, s, "n", 0, time.Hour) == 0 })
	if got := increment(t, s, "n", 2, brief); got != 2 {
		t.Errorf("Increment = %d, want 2", got)
	}
	wantState(t, s, map[string]string{"n": "2"}, "n")
}

func incrementText(t *testing.T, s store.State) {
	set(t, s, store.Entry{Key: "n", Value: "many"})
	if sum, err := s.Increment(t.Context(), "n", 1, 0); err == nil {
		t.Errorf("Increment of text = %d, want an error", sum)
	}
	wantState(t, s, map[string]string{"n": "many"}, "n")
}

func incrementsAtOnce(t *testing.T, s store.State) {
	const workers, each = 8, 25
	atOnce(t, workers, func(int) error {
		for range each {
			if _, err := s.Increment(t.Context(), "n", 1, 0); err != nil {
				return err
			}
		}
		return nil
	})
	wantState(t, s, map[string]string{"n": fmt.Sprint(workers * each)}, "n")
}

func writersAtOnce(t *testing.T, s store.State) {
	const keys = 50
	atOnce(t, 8, func(i int) error {
		entries := make([]store.Entry, keys)
		names := make([]string, keys)
		for k := range entries {
			n := k
			if i%2 == 1 {
				n = keys - 1 - k
			}
			names[k] = fmt.Sprintf("k%d", n)
			entries[k] = store.Entry{Key: names[k], Value: fmt.Sprint(i)}
		}
		for range 5 {
			if err := s.Set(t.Context(), entries...); err != nil {
				return err
			}
			if err := s.Delete(t.Context(), names[:keys/2]...); err != nil {
				return err
			}
		}
		return nil
	})
}

func deleteForgets(t *testing.T, s store.State) {
	set(t, s, store.Entry{Key: "a", Value: "1"}, store.Entry{Key: "b", Value: "2"})
	if err := s.Delete(t.Context(), "a", "never"); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	wantState(t, s, map[string]string{"b": "2"}, "a", "b")
	if err := s.Delete(t.Context()); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
}

func deletesAtOnce(t *testing.T, s store.State) {
	var keys []string
	for i := range 16 {
		keys = append(keys, fmt.Sprint("mine/", i))
	}
	set(t, s, store.Entry{Key: "kept", Value: "1"})
	atOnce(t, len(keys), func(i int) error {
		for round := range 10 {
			if err := s.Set(t.Context(), store.Entry{Key: keys[i], Value: "1"}, store.Entry{Key: "all's", Value: "1"}); err != nil {
				return err
			}
			if err := s.Delete(t.Context(), "all's", keys[i]); err != nil {
				return err
			}
			if got, err := s.Get(t.Context(), keys[i]); err != nil || len(got) > 0 {
				return fmt.Errorf("in round %d what was deleted is there, or not known: %v, %w", round, got, err)
			}
		}
		return nil
	})
	wantState(t, s, map[string]string{"kept": "1"}, append(keys, "all's", "kept")...)
}

func manyEntries(t *testing.T, s store.State) {
	const n = 6000
	entries := make([]store.Entry, n)
	keys := make([]string, n)
	for i := range entries {
		keys[i] = fmt.Sprintf("many/%d", i)
		entries[i] = store.Entry{Key: keys[i], Value: fmt.Sprint(i), TTL: time.Hour}
	}
	set(t, s, entries...)
	got, err := s.Get(t.Context(), keys...)
	if err != nil || len(got) != n || got["many/5999"] != "5999" {
		t.Errorf("Get = %d entries, %v; want %d", len(got), err, n)
	}
}

func sweeps(t *testing.T, s store.State) {
	sweeper, ok := s.(Sweeper)
	if !ok {
		return // a wrapper leaves the sweeping to what it wraps
	}
	const n = 2500
	entries := make([]store.Entry, n)
	for i := range entries {
		entries[i] = store.Entry{Key: fmt.Sprint(i), TTL: time.Microsecond}
	}
	set(t, s, append(entries, store.Entry{Key: "kept", Value: "1", TTL: time.Hour}, store.Entry{Key: "ever"})...)
	gone(t, s, "0")
	gone(t, s, fmt.Sprint(n-1))
	if got, err := sweeper.Sweep(t.Context()); got != n || err != nil {
		t.Errorf("Sweep = %d, %v; want %d", got, err, n)
	}
	wantState(t, s, map[string]string{"kept": "1", "ever": ""}, "kept", "ever", "0")
}

func cancelled(t *testing.T, s store.State) {
	set(t, s, store.Entry{Key: "a", Value: "1"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := s.Get(ctx, "a")
	if err == nil && got["a"] != "1" {
		t.Errorf("Get with a cancelled context = %v without an error", got)
	}
}
