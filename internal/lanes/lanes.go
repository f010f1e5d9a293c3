// Package lanes does work of one key in order, and work of different keys at the
// same time.
package lanes

import "sync"

// Lanes runs work by key. The zero value is ready. It holds all work that it is
// given: who calls Go bounds how much that is.
type Lanes[K comparable] struct {
	mu     sync.Mutex
	queued map[K][]func() // the keys being worked on, and what waits behind
}

// Go runs work on another goroutine, after all work of the same key before it.
func (l *Lanes[K]) Go(key K, work func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if behind, busy := l.queued[key]; busy {
		l.queued[key] = append(behind, work)
		return
	}
	if l.queued == nil {
		l.queued = map[K][]func(){}
	}
	l.queued[key] = nil
	go func() {
		for work != nil {
			work()
			work = l.next(key)
		}
	}()
}

func (l *Lanes[K]) next(key K) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	behind := l.queued[key]
	if len(behind) == 0 {
		delete(l.queued, key)
		return nil
	}
	l.queued[key] = behind[1:]
	return behind[0]
}
