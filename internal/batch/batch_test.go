package batch_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/internal/batch"
)

func run(ctx context.Context, queue <-chan int, l batch.Limits) (batches [][]int) {
	batch.Run(ctx, queue, l, func(n int) (int, int) { return 1, n }, func(b []int) { batches = append(batches, slices.Clone(b)) })
	return batches
}

func filled(sizes ...int) <-chan int {
	queue := make(chan int, len(sizes))
	for _, n := range sizes {
		queue <- n
	}
	close(queue)
	return queue
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		limits batch.Limits
		sizes  []int
		want   [][]int
	}{
		{"items", batch.Limits{Items: 2, Delay: time.Hour}, []int{1, 1, 1, 1, 1}, [][]int{{1, 1}, {1, 1}, {1}}},
		{"bytes", batch.Limits{Items: 10, Bytes: 5, Delay: time.Hour}, []int{3, 3, 1, 9, 2}, [][]int{{3, 3}, {1, 9}, {2}}},
		{"no delay", batch.Limits{Items: 3}, []int{1, 1, 1, 1}, [][]int{{1, 1, 1}, {1}}},
		{"nothing", batch.Limits{Items: 2, Delay: time.Hour}, nil, nil},
	} {
		if got := run(t.Context(), filled(c.sizes...), c.limits); !slices.EqualFunc(got, c.want, slices.Equal) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		queue := make(chan int)
		var at []time.Duration
		began := time.Now()
		go func() {
			defer close(queue)
			for range 2 {
				queue <- 1 // alone
				time.Sleep(time.Second)
			}
		}()
		batch.Run(t.Context(), queue, batch.Limits{Items: 10, Delay: 10 * time.Millisecond},
			func(int) (int, int) { return 1, 0 }, func([]int) { at = append(at, time.Since(began)) })
		if want := []time.Duration{2 * time.Millisecond, time.Second + 2*time.Millisecond}; !slices.Equal(at, want) {
			t.Errorf("batches closed at %v, want %v", at, want)
		}
	})
}

// Without a delay what comes alone is alone, and the rest is what came meanwhile.
func TestNoDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		queue := make(chan int, 3)
		var sizes []int
		go func() {
			defer close(queue)
			queue <- 1
			synctest.Wait()
			for range 3 {
				queue <- 1
			}
		}()
		batch.Run(t.Context(), queue, batch.Limits{Items: 10}, func(int) (int, int) { return 1, 0 }, func(b []int) {
			sizes = append(sizes, len(b))
			time.Sleep(time.Second)
		})
		if want := []int{1, 3}; !slices.Equal(sizes, want) {
			t.Errorf("batches of %v, want %v", sizes, want)
		}
	})
}

func TestStopClosesBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		queue := make(chan int, 1)
		queue <- 1
		var got [][]int
		done := make(chan struct{})
		go func() {
			defer close(done)
			got = run(ctx, queue, batch.Limits{Items: 10, Delay: time.Hour})
		}()
		synctest.Wait()
		stop()
		synctest.Wait()
		close(queue)
		<-done
		if len(got) != 1 {
			t.Errorf("batches %v, want one", got)
		}
	})
}
