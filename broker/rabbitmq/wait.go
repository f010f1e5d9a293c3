package rabbitmq

import (
	"context"
	"fmt"
	"sync"
)

// waitGroup is a sync.WaitGroup whose wait ends with a context, and that starts
// nothing once somebody waits.
type waitGroup struct {
	mu      sync.Mutex
	running int
	empty   chan struct{} // made by wait, closed when nobody is left
}

// goFunc runs f on a goroutine, or reports false once somebody waits.
func (w *waitGroup) goFunc(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.empty != nil {
		return false
	}
	w.running++
	go func() {
		defer w.leave()
		f()
	}()
	return true
}

func (w *waitGroup) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running--; w.running == 0 && w.empty != nil {
		close(w.empty)
	}
}

func (w *waitGroup) wait(ctx context.Context) error {
	w.mu.Lock()
	if w.empty == nil {
		w.empty = make(chan struct{})
		if w.running == 0 {
			close(w.empty)
		}
	}
	w.mu.Unlock()
	select {
	case <-w.empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("closing: sending the last acknowledgements: %w", ctx.Err())
	}
}
