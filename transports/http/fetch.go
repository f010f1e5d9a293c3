package http

import (
	"context"
	"sync"

	"switchboard/message"
)

// shelf holds messages that a phone fetches. Each stays on the broker's queue until
// the phone says that it has it; the prefetch bounds how many there are.
type shelf struct {
	stopping <-chan struct{} // closed when nothing may wait any more
	mu       sync.Mutex
	waiting  map[string]*shelved // by attempt id
	order    []string
}

type shelved struct {
	message *message.Message
	taken   chan struct{} // closed when the phone has it
}

func newShelf(stopping <-chan struct{}) shelf {
	return shelf{stopping: stopping, waiting: map[string]*shelved{}}
}

// put waits until a phone has taken a message.
func (s *shelf) put(ctx context.Context, m *message.Message) error {
	id := attemptID(m)
	s.mu.Lock()
	one := s.waiting[id]
	if one == nil {
		one = &shelved{m, make(chan struct{})}
		s.waiting[id], s.order = one, append(s.order, id)
	}
	s.mu.Unlock()
	select {
	case <-one.taken:
		return nil
	case <-s.stopping:
		s.remove(id)
		return context.Canceled
	case <-ctx.Done():
		s.remove(id)
		return ctx.Err()
	}
}

// hand makes what the phone gets of each message that waits, the oldest first.
func (s *shelf) hand(what func(*sending) (any, error)) ([]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []any{}
	for _, id := range s.order {
		m := s.waiting[id].message
		one, err := what(&sending{Message: m, to: m.To})
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

// take says that the phone has messages, and returns the ids of those that waited.
func (s *shelf) take(ids []any) []any {
	known := []any{}
	for _, id := range ids {
		if s.remove(asText(id)) {
			known = append(known, id)
		}
	}
	return known
}

func (s *shelf) remove(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.waiting[id]
	if one == nil {
		return false
	}
	close(one.taken)
	delete(s.waiting, id)
	for i, other := range s.order {
		if other == id {
			s.order = append(s.order[:i:i], s.order[i+1:]...)
			break
		}
	}
	return true
}
