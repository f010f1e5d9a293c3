package dispatcher

import (
	"context"
	"sync"
)

// stage is a step of a pipeline that works on many things at once, because one
// round trip to the state store serves them all, and hands them on in their
// order. What waits is in hand, which the prefetch bounds.
type stage[T any] struct {
	do      func(ctx context.Context, batch []T)
	mu      sync.Mutex
	waiting []T
	busy    bool
}

// maxBatch is how many things a stage works on at once.
const maxBatch = 500

// add puts v behind all that waits and returns at once.
func (s *stage[T]) add(ctx context.Context, v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, v)
	if !s.busy {
		s.busy = true
		go s.work(ctx)
	}
}

// idle says that nothing waits: whoever adds, and is the only one who does,
// may overtake the stage without changing the order.
func (s *stage[T]) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.busy
}

func (s *stage[T]) work(ctx context.Context) {
	for batch := s.next(); batch != nil; batch = s.next() {
		s.do(ctx, batch)
	}
}

func (s *stage[T]) next() []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		s.waiting, s.busy = nil, false
		return nil
	}
	n := min(len(s.waiting), maxBatch)
	batch := s.waiting[:n:n]
	s.waiting = s.waiting[n:]
	return batch
}
