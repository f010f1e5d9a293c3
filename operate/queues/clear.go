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

// AwaitEmpty returns once nothing waits in the target's queues, nothing waits for a
// retry, and no worker holds anything of them: two looks must find nothing, since one
// misses what moves from a queue that it comes to later to one that it has seen. It gives up after timeout, where that is above 0, with an error
// that says what is left. Where what is in flight cannot be known, that is an error, and
// never an empty queue. ask renews whom to ask.
func (t Target) AwaitEmpty(ctx context.Context, b broker.Admin, timeout time.Duration, ask func(context.Context) (Sources, error)) error {
	var late <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	for empty := false; ; {
		left, again, err := t.left(ctx, b, ask)
		if err != nil || left == "" && empty {
			return err
		}
		if empty = left == ""; empty {
			left = "looked at once only"
		}
		select {
		case <-time.After(max(again, emptyPoll)):
		case <-late:
			return fmt.Errorf("not empty after %s: %s", timeout, left)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const (
	// staleness is how old the numbers of RabbitMQ's management are at most: queues report
	// every 5 s, answers are cached for some more, and a busy broker is late with both.
	staleness = 12 * time.Second
	// retryPoll is how often bodies that wait for a retry are looked at, which holds them.
	retryPoll = 2 * time.Second
)

// left says what waits, and where nothing does, what is in flight or waits for a retry;
// again is how long later it is to be looked at again.
func (t Target) left(ctx context.Context, b broker.Admin, ask func(context.Context) (Sources, error)) (left string, again time.Duration, err error) {
	waiting, err := Waiting(ctx, b, t.Queues())
	if err != nil || len(waiting) > 0 {
		return list(waiting), 0, err
	}
	from, err := ask(ctx)
	if err != nil {
		return "", 0, err
	}
	if from.Management != nil {
		again = staleness // what has been received since is not counted yet
	}
	all, unplaced, err := t.Look(ctx, b, from)
	if err != nil {
		return "", 0, err
	}
	var parts, unknown []string
	for _, s := range all {
		if n := Retries(s.Retrying); n > 0 {
			parts, again = append(parts, fmt.Sprintf("%s (%d wait for a retry)", s.Queue, n)), max(again, retryPoll)
		}
		switch n := s.Messages; {
		case s.InFlight == nil:
			unknown = append(unknown, s.Queue)
		case n+int(*s.InFlight) > 0:
			parts = append(parts, list([]Count{{s.Queue, n + int(*s.InFlight)}}))
		}
	}
	if n := Retries(unplaced); n > 0 {
		parts, again = append(parts, fmt.Sprintf("%d more wait for a retry, of queues that are not known", n)), max(again, retryPoll)
	}
	if len(parts) == 0 && len(unknown) > 0 {
		return "", 0, operate.Unreachable{Err: fmt.Errorf("nothing waits, but how much is in flight is not known of %s: "+
			"name all processes that read them (--process URL), or RabbitMQ's management (--management-url)", strings.Join(unknown, ", "))}
	}
	return strings.Join(parts, ", "), again, nil
}

func list(counts []Count) string {
	parts := make([]string, len(counts))
	for i, c := range counts {
		parts[i] = fmt.Sprintf("%s (%d)", c.Queue, c.Messages)
	}
	return strings.Join(parts, ", ")
}
