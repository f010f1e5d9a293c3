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
		GrowStack()
		for work != nil {
			work()
			work = l.next(key)
		}
	}()
}

// stackSize is what handling a message needs, in bytes.
const stackSize = 12 << 10

// GrowStack grows the stack of a new goroutine once, while there is nothing on it. A stack
// that doubles as it is used is copied each time: a tenth of the processor time of a message.
func GrowStack() { _ = grown(0) }

//go:noinline
func grown(i int) byte {
	var stack [stackSize]byte
	return stack[i]
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
