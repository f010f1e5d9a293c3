package queues

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"switchboard/broker"
)

// Count is a number of messages of one queue.
type Count struct {
	Queue    string `json:"queue"`
	Messages int    `json:"messages"`
}

// Waiting counts the messages that wait, for each queue that has any.
func Waiting(ctx context.Context, b broker.Admin, queues []string) (counts []Count, err error) {
	for _, queue := range queues {
		info, _, err := inspect(ctx, b, queue)
		if err != nil {
			return nil, err
		}
		if info.Messages > 0 {
			counts = append(counts, Count{queue, info.Messages})
		}
	}
	return counts, nil
}

// Sum adds up counts.
func Sum(counts []Count) (n int) {
	for _, c := range counts {
		n += c.Messages
	}
	return n
}

// Clear deletes what waits in queues, and counts it for each queue that had any.
func Clear(ctx context.Context, b broker.Admin, queues []string) (cleared []Count, err error) {
	for _, queue := range queues {
		n, err := b.Purge(ctx, queue)
		if err != nil && !errors.Is(err, broker.ErrNoQueue) {
			return cleared, err
		}
		if n > 0 {
			cleared = append(cleared, Count{queue, n})
		}
	}
	return cleared, nil
}

// emptyPoll is how often the queues are looked at; brokers announce nothing.
const emptyPoll = 500 * time.Millisecond

// AwaitEmpty returns once nothing waits in the queues. It gives up after timeout,
// where that is above 0, with an error that says what is left.
func AwaitEmpty(ctx context.Context, b broker.Admin, queues []string, timeout time.Duration) error {
	var late <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	poll := time.NewTicker(emptyPoll)
	defer poll.Stop()
	for {
		left, err := Waiting(ctx, b, queues)
		if err != nil || len(left) == 0 {
			return err
		}
		select {
		case <-poll.C:
		case <-late:
			return fmt.Errorf("not empty after %s: %s", timeout, list(left))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func list(counts []Count) string {
	parts := make([]string, len(counts))
	for i, c := range counts {
		parts[i] = fmt.Sprintf("%s (%d)", c.Queue, c.Messages)
	}
	return strings.Join(parts, ", ")
}
