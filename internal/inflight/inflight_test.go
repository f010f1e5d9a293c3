package inflight

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// What has begun is waited for, with what it leads to; nothing begins meanwhile.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group
		end, more := make(chan struct{}), make(chan struct{})
		if !g.Begin() || !g.Go(func() { <-end; g.Again(); go func() { <-more; g.Done() }() }) {
			t.Fatal("nothing may begin")
		}
		g.Done()
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.Wait(over); !errors.Is(err, context.Canceled) {
			t.Errorf("a wait for what does not end = %v", err)
		}
		if !g.Closed() || g.Begin() || g.Go(func() {}) {
			t.Error("more may begin while somebody waits")
		}
		waited := false
		go func() {
			if err := g.Wait(t.Context()); err != nil {
				t.Error(err)
			}
			waited = true
		}()
		for _, step := range []chan struct{}{end, more} {
			if synctest.Wait(); waited {
				t.Error("the wait is over too soon")
			}
			close(step)
		}
		if synctest.Wait(); !waited {
			t.Error("the wait does not end")
		}
	})
	var none Group
	none.Close()
	if err := none.Wait(t.Context()); err != nil || none.Begin() {
		t.Errorf("a closed, empty Group: %v", err)
	}
}
