package session

import (
	"sync"
	"time"
)

const (
	// complaintPause is how long the log is silent about one peer's further PDUs
	// that cannot be read: whoever connects can send as many as they like.
	complaintPause = time.Minute
	// maxComplaints is how many peers are told apart; then it begins anew.
	maxComplaints = 1000
)

// complaints are what a server's log has told of late of its peers, by
// system_id; all that are not bound are one.
type complaints struct {
	mu   sync.Mutex
	told map[string]*complaint
}

type complaint struct {
	at      time.Time
	further int // since then
}

// due says whether the log is to tell, and of how many others it did not.
func (c *complaints) due(systemID string, now time.Time) (others int, due bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.told) >= maxComplaints {
		clear(c.told)
	}
	last := c.told[systemID]
	switch {
	case last == nil:
		c.told[systemID] = &complaint{at: now}
		return 0, true
	case now.Sub(last.at) < complaintPause:
		last.further++
		return 0, false
	}
	others = last.further
	*last = complaint{at: now}
	return others, true
}
