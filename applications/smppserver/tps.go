package smppserver

import (
	"sync"
	"time"
)

// perSecond limits how many things pass in any one second.
type perSecond struct {
	mu    sync.Mutex
	times []time.Time // when the last ones passed; a ring
	next  int         // the oldest
}

func newPerSecond(limit int) *perSecond { return &perSecond{times: make([]time.Time, limit)} }

// allow reports whether k more may pass now; all of them do or none. A k above the
// limit counts as the limit.
func (s *perSecond) allow(now time.Time, k int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.times)
	if n == 0 {
		return true
	}
	k = min(k, n)
	if latest := s.times[(s.next+k-1)%n]; now.Sub(latest) < time.Second {
		return false
	}
	for range k {
		s.times[s.next] = now
		s.next = (s.next + 1) % n
	}
	return true
}
