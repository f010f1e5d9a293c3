package transports

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"switchboard/internal/backoff"
	"switchboard/message"
)

const (
	// maxStatuses is how many status events may wait for the broker; with more the
	// oldest are only logged.
	maxStatuses = 100
	// statusTimeout is how long one may take.
	statusTimeout = 10 * time.Second
	// statusRetry is the wait before one that failed is published again.
	statusRetry = time.Second
	// lastStatuses is how long those of a stop may take.
	lastStatuses = time.Second
)

// Statuses publishes how the components of a transport are, without making anybody
// wait for the broker.
type Statuses struct {
	publisher Publisher
	logger    *slog.Logger
	waiting   chan *message.Status

	mu   sync.Mutex
	last map[string]*message.Status // by component
}

// NewStatuses makes one; Run publishes.
func NewStatuses(publisher Publisher, logger *slog.Logger) *Statuses {
	return &Statuses{
		publisher: publisher, logger: logger, waiting: make(chan *message.Status, maxStatuses), last: map[string]*message.Status{},
	}
}

// Tell queues a status event, unless it says what the component's last one said.
func (s *Statuses) Tell(component string, health message.Health, kind, text string, reasons ...string) {
	status := message.NewStatus(component, health, kind, text, reasons...)
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.last[component]
	if last != nil && last.Health == health && last.Type == kind && last.Text == text && slices.Equal(last.Reasons, reasons) {
		return
	}
	s.last[component] = status
	for {
		select {
		case s.waiting <- status:
			return
		default:
		}
		select { // the oldest makes room: the newest is what counts
		case old := <-s.waiting:
			s.logger.Debug("a status event was dropped: the broker does not keep up", "component", old.Component, "type", old.Type)
		default:
		}
	}
}

// Run publishes what is queued until ctx ends, and then what is left.
func (s *Statuses) Run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case one := <-s.waiting:
			for !s.publish(ctx, one) && s.isLast(one) && backoff.Sleep(ctx, statusRetry) {
			}
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastStatuses)
	defer cancel()
	for len(s.waiting) > 0 && last.Err() == nil {
		s.publish(last, <-s.waiting)
	}
}

func (s *Statuses) isLast(one *message.Status) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[one.Component] == one
}

func (s *Statuses) publish(ctx context.Context, one *message.Status) (published bool) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	err := s.publisher.Status(ctx, one)
	if err != nil {
		s.logger.Debug("publishing a status event failed", "component", one.Component, "type", one.Type, "error", err)
	}
	return err == nil
}
