// Package loglimit keeps others from filling the log.
package loglimit

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxKeys is how many keys a Limiter tells apart; the least recently used
// one is evicted.
const maxKeys = 1000

// Limiter keeps whoever connects from filling the log: of each key it lets
// through one record in an interval, and counts the others.
type Limiter struct {
	interval time.Duration

	mu   sync.Mutex
	seen *lru.LRU[string, *logged]
}

type logged struct {
	at     time.Time
	others int // since then
}

// New lets through one record of a key in each interval.
func New(interval time.Duration) *Limiter {
	seen, _ := lru.NewLRU[string, *logged](maxKeys, nil) // fails for a size below 1 alone
	return &Limiter{interval: interval, seen: seen}
}

// Allow reports whether a record of the key may be written now, and how many
// others before it were not.
func (l *Limiter) Allow(key string, now time.Time) (others int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, known := l.seen.Get(key)
	if known && now.Sub(last.at) < l.interval {
		last.others++
		return 0, false
	}
	if known {
		others = last.others
	}
	l.seen.Add(key, &logged{at: now})
	return others, true
}
