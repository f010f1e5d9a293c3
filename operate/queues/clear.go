package queues

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"switchboard/broker"
	"switchboard/operate"
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

// Clear deletes what waits in queues, and counts it for each queue that had any. It tells the
// record, for which the messages end there.
func Clear(ctx context.Context, b broker.Broker, queues []string) (cleared []Count, err error) {
	deletions := NewDeletions(b, "cleared from the queue by an operator")
	defer func() { err = errors.Join(err, deletions.Wait()) }()
	for _, queue := range queues {
		n, err := clearQueue(ctx, b, queue, deletions)
		if err != nil && !errors.Is(err, broker.ErrNoQueue) {
			return cleared, err
		}
		if n > 0 {
			cleared = append(cleared, Count{queue, n})
		}
	}
	return cleared, nil
}

func clearQueue(ctx context.Context, b broker.Broker, queue string, deletions *Deletions) (n int, err error) {
	if !passesMessages(queue) {
		return b.Purge(ctx, queue)
	}
	info, err := b.Inspect(ctx, queue)
	if err != nil || info.Messages == 0 {
		return 0, err
	}
	err = b.Browse(ctx, queue, info.Messages, func(d *broker.Delivery) (broker.Verdict, error) {
		deletions.Record(ctx, queue, d.Body)
		n++
		return broker.Remove, nil
	})
	return n, err
}

// emptyPoll is how often the queues are looked at; brokers announce nothing.
const emptyPoll = 500 * time.Millisecond

// AwaitEmpty returns once nothing waits in the target's queues and no worker holds
// anything of them. It gives up after timeout, where that is above 0, with an error
// that says what is left. Where what is in flight cannot be known, that is an error, and
// never an empty queue. ask renews whom to ask.
func (t Target) AwaitEmpty(ctx context.Context, b broker.Admin, timeout time.Duration, ask func(context.Context) (Sources, error)) error {
	var late <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	poll := time.NewTicker(emptyPoll)
	defer poll.Stop()
	for {
		left, err := t.left(ctx, b, ask)
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

// left counts what waits, and where nothing does, what is in flight.
func (t Target) left(ctx context.Context, b broker.Admin, ask func(context.Context) (Sources, error)) (left []Count, err error) {
	if left, err = Waiting(ctx, b, t.Queues()); err != nil || len(left) > 0 {
		return left, err
	}
	from, err := ask(ctx)
	if err != nil {
		return nil, err
	}
	all, err := t.Look(ctx, b, from)
	if err != nil {
		return nil, err
	}
	var unknown []string
	for _, s := range all {
		switch n := s.Messages; {
		case s.InFlight == nil:
			unknown = append(unknown, s.Queue)
		case n+int(*s.InFlight) > 0:
			left = append(left, Count{s.Queue, n + int(*s.InFlight)})
		}
	}
	if len(left) == 0 && len(unknown) > 0 {
		return nil, operate.Unreachable{Err: fmt.Errorf("nothing waits, but how much is in flight is not known of %s: "+
			"name all processes that read them (--process URL), or RabbitMQ's management (--management-url)", strings.Join(unknown, ", "))}
	}
	return left, nil
}

func list(counts []Count) string {
	parts := make([]string, len(counts))
	for i, c := range counts {
		parts[i] = fmt.Sprintf("%s (%d)", c.Queue, c.Messages)
	}
	return strings.Join(parts, ", ")
}
