package memory_test

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/store"
	"switchboard/store/memory"
	"switchboard/store/storetest"
)

func open(t *testing.T) *memory.State {
	s := memory.New()
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestState(t *testing.T) {
	storetest.RunState(t, func(t *testing.T) store.State { return open(t) })
}

func TestOldEntriesGoByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t)
		for i := range 10 {
			if err := s.Set(t.Context(), store.Entry{Key: fmt.Sprint(i), TTL: time.Second}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Minute) // of the bubble's own clock
		synctest.Wait()
		if n, err := s.Sweep(t.Context()); n != 0 || err != nil {
			t.Errorf("Sweep after the background's = %d, %v; want 0 left", n, err)
		}
	})
}

func TestMemoryStaysFlat(t *testing.T) {
	s := open(t)
	if err := s.Set(t.Context(), store.Entry{Key: "for ever", Value: "kept"}); err != nil {
		t.Fatal(err)
	}
	for i := range memory.MaxEntries + 1000 {
		if err := s.Set(t.Context(), store.Entry{Key: strconv.Itoa(i), TTL: time.Hour}, store.Entry{Key: "again", TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	found, err := s.Get(t.Context(), "for ever", "again", "0", strconv.Itoa(memory.MaxEntries+999))
	if err != nil || len(found) != 3 {
		t.Errorf("found %v, %v; want all but the oldest", found, err)
	}
}
