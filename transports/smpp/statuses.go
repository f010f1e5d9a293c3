package smpp

import (
	"context"
	"log/slog"
	"time"

	"switchboard/message"
	"switchboard/transports"
)

const (
	// maxStatuses is how many status events may wait for the broker; more are only
	// logged.
	maxStatuses = 100
	// statusTimeout is how long one may take.
	statusTimeout = 10 * time.Second
	// lastStatuses is how long those of a stop may take.
	lastStatuses = time.Second
)

// statuses publish how the transport is, without making anybody wait for the
// broker.
type statuses struct {
	publisher transports.Publisher
	logger    *slog.Logger
	waiting   chan *message.Status
}

func newStatuses(publisher transports.Publisher, logger *slog.Logger) *statuses {
	return &statuses{publisher, logger, make(chan *message.Status, maxStatuses)}
}

// tell queues a status event.
func (s *statuses) tell(health message.Health, kind, text string, reasons ...string) {
	select {
	case s.waiting <- message.NewStatus("smpp", health, kind, text, reasons...):
	default:
		s.logger.Debug("a status event was dropped: the broker does not keep up", "type", kind)
	}
}

// publish publishes what is queued until ctx ends, and then what is left.
func (s *statuses) publish(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case one := <-s.waiting:
			s.publishOne(ctx, one)
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastStatuses)
	defer cancel()
	for len(s.waiting) > 0 && last.Err() == nil {
		s.publishOne(last, <-s.waiting)
	}
}

func (s *statuses) publishOne(ctx context.Context, one *message.Status) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	if err := s.publisher.Status(ctx, one); err != nil {
		s.logger.Debug("publishing a status event failed", "type", one.Type, "error", err)
	}
}
