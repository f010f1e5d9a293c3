package batch_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/internal/batch"
)

// bench is a group whose round trips end when the test says so.
type bench struct {
	*batch.Group[int]
	batches [][]int
	next    chan struct{}
}

func newBench(l batch.Limits) *bench {
	b := &bench{next: make(chan struct{})}
	b.Group = batch.New(l, func(n int) (int, int) { return 1, n }, func(_ context.Context, batch []int) {
		b.batches = append(b.batches, slices.Clone(batch))
		<-b.next
	})
	return b
}

func (b *bench) add(t *testing.T, sizes ...int) {
	t.Helper()
	for _, n := range sizes {
		if err := b.Add(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
}

// What comes alone goes at once; what comes meanwhile goes together, within the limits.
func TestGathersWhileOneIsUnderWay(t *testing.T) {
	for name, c := range map[string]struct {
		limits batch.Limits
		want   [][]int
	}{
		"no bound": {batch.Limits{}, [][]int{{1}, {3, 3, 1, 9, 2}}},
		"items":    {batch.Limits{Items: 2}, [][]int{{1}, {3, 3}, {1, 9}, {2}}},
		"bytes":    {batch.Limits{Items: 10, Bytes: 5}, [][]int{{1}, {3, 3}, {1, 9}, {2}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, began := newBench(c.limits), time.Now()
				if !b.Idle() {
					t.Error("a new one is not idle")
				}
				b.add(t, 1)
				if len(b.batches) != 1 || b.Idle() {
					t.Errorf("what came alone waits: %v", b.batches)
				}
				b.add(t, 3, 3, 1, 9, 2)
				close(b.next)
				b.Wait()
				if !slices.EqualFunc(b.batches, c.want, slices.Equal) {
					t.Errorf("batches %v, want %v", b.batches, c.want)
				}
				if took := time.Since(began); took != 0 || !b.Idle() {
					t.Errorf("it took %s on timers", took)
				}
			})
		})
	}
}

func TestAFullQueueBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(batch.Limits{Queue: 2})
		b.add(t, 0) // under way
		b.add(t, 1, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Add(ctx, 3); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("adding to a full queue: %v", err)
		}
		added := make(chan error, 1)
		go func() { added <- b.Add(t.Context(), 4) }()
		synctest.Wait()
		select {
		case err := <-added:
			t.Fatalf("added to a full queue: %v", err)
		default:
		}
		close(b.next)
		if err := <-added; err != nil {
			t.Error(err)
		}
		b.Wait()
		if got := slices.Concat(b.batches...); !slices.Equal(got, []int{0, 1, 2, 4}) {
			t.Errorf("done: %v", got)
		}
	})
}

func TestAloneDoesWhatIsAddedAtOnce(t *testing.T) {
	var done [][]int
	g := batch.New(batch.Limits{Alone: true}, batch.One[int], func(_ context.Context, b []int) { done = append(done, b) })
	for i := range 3 {
		if err := g.Add(t.Context(), i); err != nil || len(done) != i+1 || !g.Idle() {
			t.Errorf("after %d: %v done, idle %v, %v", i, done, g.Idle(), err)
		}
	}
	if !reflect.DeepEqual(done, [][]int{{0}, {1}, {2}}) {
		t.Errorf("done %v", done)
	}
}
