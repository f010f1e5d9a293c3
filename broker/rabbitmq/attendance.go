package rabbitmq

import (
	"slices"
	"sync"
)

// attendance knows of every running Consume whether RabbitMQ hands it bodies
// now. A process may be connected and still get none: a queue was deleted and
// made anew with other arguments, say.
type attendance struct {
	mu        sync.Mutex
	consuming map[*consumer]bool
}

func (a *attendance) begin(c *consumer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.consuming == nil {
		a.consuming = map[*consumer]bool{}
	}
	a.consuming[c] = false
}

func (a *attendance) end(c *consumer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.consuming, c)
}

// mark notes whether c consumes; one that has not begun is not kept.
func (a *attendance) mark(c *consumer, consuming bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.consuming[c]; known {
		a.consuming[c] = consuming
	}
}

// idle are the queues of those who do not consume, sorted.
func (a *attendance) idle() (queues []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c, consuming := range a.consuming {
		if !consuming {
			queues = append(queues, c.spec.Name)
		}
	}
	slices.Sort(queues)
	return slices.Compact(queues)
}
