package rabbitmq

import (
	"maps"
	"slices"
	"sync"
)

// consumerTracker knows of each running Consume whether RabbitMQ has accepted its
// consumer. A connected process may lack one: its queue was deleted and declared
// anew with other arguments, say.
type consumerTracker struct {
	mu        sync.Mutex
	consuming map[*consumer]bool
}

func (a *consumerTracker) begin(c *consumer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.consuming == nil {
		a.consuming = map[*consumer]bool{}
	}
	a.consuming[c] = false
}

func (a *consumerTracker) end(c *consumer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.consuming, c)
}

// mark records whether c consumes, between begin and end.
func (a *consumerTracker) mark(c *consumer, consuming bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.consuming[c]; known {
		a.consuming[c] = consuming
	}
}

// all returns those that run.
func (a *consumerTracker) all() []*consumer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Keys(a.consuming))
}

// idle returns the queues of those that do not consume, sorted.
func (a *consumerTracker) idle() (queues []string) {
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
