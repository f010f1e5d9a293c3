package worker

import (
	"testing"
	"time"
)

func TestALimitChoosesItself(t *testing.T) {
	const ms = time.Millisecond
	// side by side up to a rate, which more in flight does not raise
	capacity := func(least time.Duration, rate int) func(int) time.Duration {
		return func(inFlight int) time.Duration {
			return max(least, time.Duration(inFlight)*time.Second/time.Duration(rate))
		}
	}
	for _, c := range []struct {
		name  string
		fixed int
		each  func(inFlight int) time.Duration // how long one takes
		full  bool
		want  int
	}{
		{"quick", 0, capacity(ms, 5000), true, mostInFlight},
		{"no time at all", 0, func(int) time.Duration { return 0 }, true, mostInFlight},
		{"slow, side by side", 0, capacity(5*time.Second, 1e6), true, mostInFlight},
		{"100 a second", 0, capacity(50*ms, 100), true, 100},
		{"6 a second, 5 s at least", 0, capacity(5*time.Second, 6), true, 60},
		{"one after the other, 1 s each", 0, capacity(time.Second, 1), true, 2 * leastInFlight},
		{"never as many", 0, capacity(ms, 5000), false, leastInFlight},
		{"fixed", 7, capacity(ms, 5000), true, 7},
	} {
		l := newLimit(c.fixed, func(int) {})
		rounds(l, c.full, c.each)
		if got := l.now(); got < c.want*3/4 || got > c.want*5/4 {
			t.Errorf("%s: %d in flight, want about %d", c.name, got, c.want)
		}
	}
}

// What becomes slow is given less, and more again when it is quick again.
func TestALimitFollowsWhatChanges(t *testing.T) {
	var published []int
	l := newLimit(0, func(n int) { published = append(published, n) })
	quick := func(int) time.Duration { return time.Millisecond }
	for range 2 {
		rounds(l, true, quick)
		if got := l.now(); got != mostInFlight {
			t.Errorf("while quick: %d", got)
		}
		rounds(l, true, func(inFlight int) time.Duration { return time.Duration(inFlight) * 10 * time.Second })
		if got := l.now(); got > 2*leastInFlight {
			t.Errorf("while slow: %d", got)
		}
	}
	if n := len(published); published[0] != leastInFlight || published[n-1] != l.now() {
		t.Errorf("it published %v", published)
	}
}

func rounds(l *limit, full bool, each func(inFlight int) time.Duration) {
	for range 30 {
		inFlight := l.now()
		if !full {
			inFlight--
		}
		took := each(inFlight)
		for range l.now() {
			l.received(int64(inFlight))
			l.settle(took)
		}
	}
}
