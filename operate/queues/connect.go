// Package queues answers what an operator asks of a fleet's queues: what waits in
// them and who takes it, what passes, and whether all that was recorded is there.
package queues

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/operate"
)

// How long a question waits for the broker, and how often it looks.
const (
	connectTimeout = 10 * time.Second
	connectPoll    = 20 * time.Millisecond
)

// Connect opens the broker that url names and waits until it is connected. The
// caller closes it with fleet.CloseBroker.
func Connect(ctx context.Context, url string) (broker.Broker, error) {
	if strings.HasPrefix(url, "memory:") {
		return nil, operate.Misused(errors.New("memory: lives within the process that runs the fleet; name RabbitMQ with --amqp-url or AMQP_URL"))
	}
	b, err := fleet.OpenBroker(url, "switchboard operator", slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return nil, operate.Misused(err)
	}
	if err := awaitConnected(ctx, b, connectTimeout); err != nil {
		return nil, errors.Join(err, fleet.CloseBroker(b))
	}
	return b, nil
}

func awaitConnected(ctx context.Context, b broker.Broker, patience time.Duration) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	poll := time.NewTicker(connectPoll)
	defer poll.Stop()
	for {
		state := b.State()
		if state.Connected {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return operate.Unreachable{Err: fmt.Errorf("reaching the broker within %s: %w; look at AMQP_URL and whether RabbitMQ is up", patience, state.LastError)}
		}
	}
}
