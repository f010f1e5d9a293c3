package worker

import (
	"context"
	"sync"
)

// Lanes lets a frame that waits for the outside work on several items at once,
// while items of one key (a person's address) are handled one after the other
// in their order. It holds no more than is in hand, which the prefetch bounds.
func Lanes(key func(*Delivery) string, handle func(ctx context.Context, item *Delivery) error) func(context.Context, *Delivery) {
	l := &lanes{waiting: map[string][]*Delivery{}, key: key, handle: handle}
	return l.add
}

type lanes struct {
	mu      sync.Mutex
	waiting map[string][]*Delivery // keys being worked on, and what waits behind
	key     func(*Delivery) string
	handle  func(context.Context, *Delivery) error
}

func (l *lanes) add(ctx context.Context, item *Delivery) {
	key := l.key(item)
	l.mu.Lock()
	defer l.mu.Unlock()
	if behind, busy := l.waiting[key]; busy {
		l.waiting[key] = append(behind, item)
		return
	}
	l.waiting[key] = nil
	go l.work(ctx, key, item)
}

func (l *lanes) work(ctx context.Context, key string, item *Delivery) {
	for item != nil {
		item.Settle(Protect(func() error { return l.handle(ctx, item) }))
		item = l.next(key)
	}
}

func (l *lanes) next(key string) *Delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	behind := l.waiting[key]
	if len(behind) == 0 {
		delete(l.waiting, key)
		return nil
	}
	l.waiting[key] = behind[1:]
	return behind[0]
}
