package persistence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"switchboard/broker"
	"switchboard/internal/backoff"
	"switchboard/store"
)

// A broadcast's batches stand in the database first. A relay publishes a task
// for each that is due; the tasks' queue is shared by all replicas; whoever
// gets a task publishes its messages and marks them. Whatever dies in between,
// the database knows what is left, and the batch is due again when its lease
// has ended.
const (
	// lease is how long a batch is in somebody's hands.
	lease = time.Minute
	// relayEvery is how often the relay looks for batches that are due while
	// there are none.
	relayEvery = 500 * time.Millisecond
	// relayBatch is how many tasks the relay publishes at once.
	relayBatch = 32
	// maxTasks bounds the tasks that wait in the queue, so that pausing and
	// cancelling act soon, and a small broadcast does not wait for a large one.
	maxTasks = 2 * relayBatch
	// relayTimeout is how long publishing tasks may take.
	relayTimeout = 10 * time.Second
	// concludeEvery is how often it is looked which broadcasts are done.
	concludeEvery = time.Second
)

// RecordQueue is the queue of what the worker of that name is to record.
func RecordQueue(worker string) string { return "persistence." + worker }

// TaskQueue is the queue of broadcasts' tasks, which the replicas of the worker
// of that name share.
func TaskQueue(worker string) string { return RecordQueue(worker) + ".tasks" }

func (r *recorder) tasks() broker.Queue {
	return broker.Queue{Name: TaskQueue(r.core.Name), Type: r.QueueType}
}

// relay publishes a task for every batch that is due.
func (r *recorder) relay(ctx context.Context) error {
	if err := r.core.Broker.Declare(ctx, r.tasks()); err != nil {
		return ignoreStop(ctx, fmt.Errorf("declaring %s: %w", r.tasks().Name, err))
	}
	var concluded time.Time
	for ctx.Err() == nil {
		published, err := r.relayOnce(ctx)
		if err == nil && time.Since(concluded) > concludeEvery {
			concluded = time.Now()
			err = r.db.Conclude(ctx)
		}
		if err != nil && ctx.Err() == nil {
			r.core.Logger.Error("looking for batches of broadcasts failed; trying again", "error", err, "in", schemaRetry)
			backoff.Sleep(ctx, schemaRetry)
		}
		if published == 0 {
			backoff.Sleep(ctx, relayEvery)
		}
	}
	return nil
}

func (r *recorder) relayOnce(ctx context.Context) (published int, err error) {
	info, err := r.core.Broker.Inspect(ctx, r.tasks().Name)
	if err != nil {
		return 0, err
	}
	if info.Messages >= maxTasks {
		return 0, nil
	}
	due, err := r.db.Due(ctx, relayBatch, lease)
	if err != nil {
		return 0, err
	}
	left, failed := r.publishTasks(ctx, due)
	if len(left) > 0 {
		failed = fmt.Errorf("publishing tasks: %w", errors.Join(failed, r.release(ctx, left)))
	}
	return len(due) - len(left), failed
}

// publishTasks publishes a task for each batch, and returns those for which
// that failed. The batches are lent already: a worker that is stopping
// publishes them all the same.
func (r *recorder) publishTasks(ctx context.Context, due []store.Batch) (left []int64, failed error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayTimeout)
	defer cancel()
	confirmations := make(chan confirmation, len(due))
	for i, batch := range due {
		body, _ := json.Marshal(batch) // numbers and texts: cannot fail
		r.core.Broker.PublishAsync(ctx, broker.Publication{Queue: r.tasks().Name, Body: body}, func(err error) { confirmations <- confirmation{i, err} })
	}
	for range due {
		if f := <-confirmations; f.err != nil {
			failed = f.err
			left = append(left, due[f.i].ID)
		}
	}
	return left, failed
}

// release gives batches back whose tasks were not published.
func (r *recorder) release(ctx context.Context, batches []int64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayTimeout)
	defer cancel()
	return r.db.Release(ctx, batches)
}

// confirmation is what became of the publishing of one of several.
type confirmation struct {
	i   int
	err error
}

func ignoreStop(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
