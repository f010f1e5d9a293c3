// Package current holds a value that is there for a while, such as what a running
// plugin works with, and lets others wait for it.
package current

import (
	"context"
	"sync"
)

// Value is there between Set and Clear. The zero Value is ready, and empty.
type Value[T any] struct {
	mu      sync.Mutex
	value   T
	there   bool
	changed chan struct{} // closed by Set; nil when nobody waits
}

// Set makes v the value.
func (c *Value[T]) Set(v T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.value, c.there = v, true
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// Clear takes the value away.
func (c *Value[T]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var none T
	c.value, c.there = none, false
}

// Get returns the value. It waits until there is one, or fails when ctx ends.
func (c *Value[T]) Get(ctx context.Context) (v T, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return v, err
		}
		found, there, changed := c.look()
		if there {
			return found, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

func (c *Value[T]) look() (v T, there bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.there && c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.value, c.there, c.changed
}
