package routers

import "sync"

// recent remembers what does not change, so that the store is not asked for
// every message: between one and two times recentSize users, the last seen.
type recent struct {
	mu         sync.Mutex
	young, old map[string]string
}

const (
	recentSize   = 50_000
	recentLength = 256 // bytes of an address that is remembered; longer ones are none
)

func (c *recent) get(key string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	value, found := c.young[key]
	if !found {
		if value, found = c.old[key]; found {
			c.add(key, value)
		}
	}
	return value
}

func (c *recent) put(key, value string) {
	if len(key) > recentLength {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(key, value)
}

func (c *recent) add(key, value string) {
	if c.young == nil || len(c.young) >= recentSize {
		c.young, c.old = map[string]string{}, c.young
	}
	c.young[key] = value
}
