package lanes

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

func TestOneKeyKeepsItsOrder(t *testing.T) {
	var l Lanes[int]
	var mu sync.Mutex
	got := map[int][]int{}
	var group sync.WaitGroup
	for i := range 1000 {
		group.Add(1)
		l.Go(i%7, func() {
			defer group.Done()
			mu.Lock()
			defer mu.Unlock()
			got[i%7] = append(got[i%7], i)
		})
	}
	group.Wait()
	for key, list := range got {
		if !slices.IsSorted(list) {
			t.Errorf("key %d was worked on in the order %v", key, list)
		}
	}
}

func TestKeysDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Lanes[string]
		release := make(chan struct{})
		var behind, other bool
		l.Go("a", func() { <-release })
		l.Go("a", func() { behind = true })
		l.Go("b", func() { other = true })
		synctest.Wait()
		if behind || !other {
			t.Errorf("behind a busy key: done %v; another key: done %v", behind, other)
		}
		close(release)
		synctest.Wait()
		if !behind || len(l.queued) != 0 {
			t.Errorf("done %v, %d keys left", behind, len(l.queued))
		}
	})
}
