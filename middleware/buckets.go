package middleware

import (
	"sync"
	"time"
)

// buckets are token buckets by key, as the time at which each is full again. A
// full bucket is as good as none, so two generations are kept: what was not
// touched while one filled completely is forgotten with it. When a generation
// reaches its most it is old at once; then at most that many people get their
// burst early, and memory stays bounded.
type buckets struct {
	mu         *sync.Mutex
	burst      time.Duration // what filling an empty bucket takes
	cost       time.Duration // what filling one token takes
	most       int
	young, old map[string]time.Time
	turned     time.Time
}

func newBuckets(burst int, cost time.Duration, most int) buckets {
	return buckets{
		mu: &sync.Mutex{}, burst: time.Duration(burst) * cost, cost: cost, most: most,
		young: map[string]time.Time{},
	}
}

// take takes a token, or says how long it is until there is one.
func (b *buckets) take(key string, now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now)
	full, known := b.young[key]
	if !known {
		full = b.old[key]
	}
	if full.Before(now) {
		full = now
	}
	full = full.Add(b.cost)
	if wait = full.Sub(now) - b.burst; wait > 0 {
		return wait
	}
	b.young[key] = full
	return 0
}

func (b *buckets) turn(now time.Time) {
	if len(b.young) < b.most && now.Sub(b.turned) < b.burst {
		return
	}
	b.young, b.old, b.turned = make(map[string]time.Time), b.young, now
}
