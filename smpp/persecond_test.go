package smpp

import (
	"testing"
	"testing/quick"
	"time"
)

// In no second do more pass than are allowed, and in each as many.
func TestPerSecond(t *testing.T) {
	holds := func(limit uint8, gaps []uint16) bool {
		n := int(limit%20) + 1
		s, now := PerSecond{Most: n}, time.Unix(1_000_000, 0)
		var passed []time.Time
		for _, gap := range gaps {
			now = now.Add(time.Duration(gap%300) * time.Millisecond)
			within := 0
			for _, at := range passed {
				if now.Sub(at) < time.Second {
					within++
				}
			}
			if s.Allow(now, 1) != (within < n) {
				return false
			}
			if within < n {
				passed = append(passed, now)
			}
		}
		return true
	}
	if err := quick.Check(holds, nil); err != nil {
		t.Error(err)
	}
	s, now := PerSecond{Most: 5}, time.Unix(1_000_000, 0)
	if !s.Allow(now, 3) || s.Allow(now, 3) || !s.Allow(now, 2) || s.Allow(now, 1) {
		t.Error("several in one go do not count as several")
	}
	if !s.Allow(now.Add(time.Second), 100) {
		t.Error("more than the limit in one go never pass")
	}
	if !new(PerSecond).Allow(now, 1000) {
		t.Error("no limit is one")
	}
}
