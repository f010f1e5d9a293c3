package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/store"
	"switchboard/store/memory"
	"switchboard/store/storetest"
)

// counting counts the statements of a state, and can block or fail them.
type counting struct {
	store.State
	mu         sync.Mutex
	sets, gets int
	deletes    int
	gate       chan struct{} // each Set takes one, when not nil
	takes      time.Duration // each statement
	fail       error
}

func (c *counting) Set(ctx context.Context, entries ...store.Entry) error {
	if c.gate != nil {
		<-c.gate
	}
	time.Sleep(c.takes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sets++
	if c.fail != nil {
		return c.fail
	}
	return c.State.Set(ctx, entries...)
}

func (c *counting) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	time.Sleep(c.takes)
	c.mu.Lock()
	c.gets++
	c.mu.Unlock()
	return c.State.Get(ctx, keys...)
}

func (c *counting) Delete(ctx context.Context, keys ...string) error {
	time.Sleep(c.takes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deletes++
	if c.fail != nil {
		return c.fail
	}
	return c.State.Delete(ctx, keys...)
}

func newCounting(t *testing.T) *counting {
	m := memory.New()
	t.Cleanup(func() { _ = m.Close() })
	return &counting{State: m}
}

func TestBatcherIsAState(t *testing.T) {
	storetest.RunState(t, func(t *testing.T) store.State {
		b := store.NewBatcher(newCounting(t), store.BatchSettings{MaxBatch: 7})
		t.Cleanup(func() { _ = b.Close() })
		return b
	})
}

func TestBatcherBeforeMemoryIsAState(t *testing.T) {
	storetest.RunState(t, func(t *testing.T) store.State {
		b := store.NewBatcher(newCounting(t).State, store.BatchSettings{})
		t.Cleanup(func() { _ = b.Close() })
		return b
	})
}

// What comes while a statement is under way is in the next.
func TestBatcherGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(t)
		c.takes = time.Millisecond
		b := store.NewBatcher(c, store.BatchSettings{MaxBatch: 100})
		defer b.Close()
		var safe sync.WaitGroup
		for i := range 1000 {
			safe.Add(1)
			done := func(error) { safe.Done() }
			if err := b.SetAsync(t.Context(), done, store.Entry{Key: fmt.Sprint(i), Value: "v"}); err != nil {
				t.Fatal(err)
			}
		}
		safe.Wait()
		for i := range 1000 {
			safe.Go(func() {
				if got, err := b.Get(t.Context(), fmt.Sprint(i)); err != nil || got[fmt.Sprint(i)] != "v" {
					t.Errorf("Get = %v, %v", got, err)
				}
			})
		}
		safe.Wait()
		for i := range 1000 {
			safe.Go(func() {
				if err := b.Delete(t.Context(), fmt.Sprint(i)); err != nil {
					t.Errorf("Delete = %v", err)
				}
			})
		}
		safe.Wait()
		if left, err := c.State.Get(t.Context(), "0", "500", "999"); err != nil || len(left) != 0 {
			t.Errorf("left is %v, %v", left, err)
		}
		if c.sets > 20 || c.gets > 20 || c.deletes > 20 {
			t.Errorf("%d sets, %d gets and %d deletes for 1000 each", c.sets, c.gets, c.deletes)
		}
	})
}

// What comes while nothing is under way waits for nothing.
func TestBatcherDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(t)
		c.takes = time.Millisecond
		b := store.NewBatcher(c, store.BatchSettings{})
		defer b.Close()
		began := time.Now()
		for range 3 {
			if err := b.Set(t.Context(), store.Entry{Key: "a"}); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Get(t.Context(), "b"); err != nil {
				t.Fatal(err)
			}
			if err := b.Delete(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 9*time.Millisecond {
			t.Errorf("9 statements of 1 ms took %v", took)
		}
	})
}

// A state in memory is asked at once.
func TestBatcherPassesOnToMemory(t *testing.T) {
	m := memory.New()
	defer m.Close()
	b := store.NewBatcher(m, store.BatchSettings{})
	safe := false
	if err := b.SetAsync(t.Context(), func(err error) { safe = err == nil }, store.Entry{Key: "a", Value: "v"}); err != nil || !safe {
		t.Errorf("SetAsync = %v, and safe is %v", err, safe)
	}
	_ = b.Close()
	_, err := b.Get(t.Context(), "a")
	for _, err := range []error{err, b.Set(t.Context()), b.Delete(t.Context(), "a"), b.SetAsync(t.Context(), func(error) {})} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestBatcherShowsWhatIsNotWrittenYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(t)
		c.gate = make(chan struct{})
		b := store.NewBatcher(c, store.BatchSettings{})
		var order []int
		for i := range 3 {
			done := func(error) { order = append(order, i) }
			if err := b.SetAsync(t.Context(), done, store.Entry{Key: "a", Value: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := b.Get(t.Context(), "a"); err != nil || got["a"] != "2" {
			t.Errorf("Get = %v, %v", got, err)
		}
		added := make(chan string)
		go func() {
			value, _, _ := b.Add(t.Context(), store.Entry{Key: "a", Value: "other"})
			added <- value
		}()
		synctest.Wait()
		close(c.gate)
		if got := <-added; got != "2" {
			t.Errorf("Add after SetAsync found %q, want what was handed over before", got)
		}
		if err := b.Close(); err != nil || fmt.Sprint(order) != "[0 1 2]" {
			t.Errorf("done in order %v, %v", order, err)
		}
	})
}

// A key that is set and deleted in one batch ends as its newest request says, also before it
// is written.
func TestBatcherKeepsTheOrderOfSetsAndDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(t)
		c.gate = make(chan struct{})
		b := store.NewBatcher(c, store.BatchSettings{})
		var all sync.WaitGroup
		later := func(do func() error) {
			all.Go(func() {
				if err := do(); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		set := func(key, value string) func() error {
			return func() error { return b.Set(t.Context(), store.Entry{Key: key, Value: value}) }
		}
		later(set("held up", "")) // so that the rest is one batch
		time.Sleep(time.Second)
		later(set("set, deleted", "1"))
		later(set("set, deleted, set", "1"))
		later(func() error { return b.Delete(t.Context(), "set, deleted", "set, deleted, set") })
		if got, err := b.Get(t.Context(), "set, deleted", "set, deleted, set"); err != nil || len(got) != 0 {
			t.Errorf("what was deleted is seen: %v, %v", got, err)
		}
		later(set("set, deleted, set", "2"))
		close(c.gate)
		all.Wait()
		got, err := c.State.Get(t.Context(), "set, deleted", "set, deleted, set")
		if err != nil || fmt.Sprint(got) != "map[set, deleted, set:2]" || c.sets != 2 {
			t.Errorf("after %d sets there are %v, %v", c.sets, got, err)
		}
		_ = b.Close()
	})
}

func TestBatcherBlocksWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounting(t)
		c.gate = make(chan struct{})
		b := store.NewBatcher(c, store.BatchSettings{MaxBatch: 1, MaxQueue: 2})
		none := func(error) {}
		for i := range 3 { // one in the writer's hand, two in the queue
			if err := b.SetAsync(t.Context(), none, store.Entry{Key: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		refused := store.Entry{Key: "refused", Value: "x"}
		if err := b.SetAsync(ctx, none, refused); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("SetAsync on a full queue = %v", err)
		}
		close(c.gate)
		_ = b.Close()
		if got, _ := c.State.Get(t.Context(), "0", "1", "2", "refused"); len(got) != 3 {
			t.Errorf("written: %v", got)
		}
	})
}

func TestBatcherTellsFailureAndClose(t *testing.T) {
	c := newCounting(t)
	c.fail = errors.New("disk full")
	b := store.NewBatcher(c, store.BatchSettings{})
	if err := b.Set(t.Context(), store.Entry{Key: "a"}); !errors.Is(err, c.fail) {
		t.Errorf("Set = %v", err)
	}
	if err := b.Delete(t.Context(), "a"); !errors.Is(err, c.fail) {
		t.Errorf("Delete = %v", err)
	}
	if got, err := b.Get(t.Context(), "a"); len(got) != 0 || err != nil {
		t.Errorf("Get of what failed = %v, %v", got, err)
	}
	_ = b.Close()
	_ = b.Close()
	if err := b.Set(t.Context(), store.Entry{Key: "a"}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Set after Close = %v", err)
	}
	if _, err := b.Get(t.Context(), "a"); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Get after Close = %v", err)
	}
}
