package simulator

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The meter finds what counting every window finds.
func TestMeter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gaps := rapid.SliceOfN(rapid.Int64Range(0, int64(400*time.Millisecond)), 1, 200).Draw(t, "gaps")
		var m meter
		var times []int64
		at, want := int64(1_000_000_000_000), 0
		for _, gap := range gaps {
			at += gap
			times = append(times, at)
			m.add(time.Unix(0, at))
			first, _ := slices.BinarySearch(times, at-int64(time.Second)+1)
			want = max(want, len(times)-first)
		}
		if m.peak != want || m.total != uint64(len(gaps)) {
			t.Fatalf("peak %d of %d, want %d", m.peak, m.total, want)
		}
		if got := m.rate(time.Unix(0, at+int64(time.Second))); got != 0 {
			t.Fatalf("%d in the second after", got)
		}
	})
}

func TestScheduleKeepsOrder(t *testing.T) {
	s := newSchedule()
	defer s.close()
	got := make(chan int, 4)
	for i, d := range []time.Duration{20, 10, 10, 0} {
		s.after(d*time.Millisecond, func() { got <- i })
	}
	for _, want := range []int{3, 1, 2, 0} {
		if i := <-got; i != want {
			t.Fatalf("did %d, want %d", i, want)
		}
	}
}
