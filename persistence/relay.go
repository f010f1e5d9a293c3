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

// Broadcasts are a transactional outbox. The batches are in the database; the relay publishes
// a task for each that is due; the replicas share the tasks' queue. Whoever gets a task
// publishes the batch's messages and marks them. When a worker dies, the lease of its batch
// ends and the batch is due again.
const (
	lease      = time.Minute
	relayEvery = 500 * time.Millisecond // between looking for due batches while there are none
	relayBatch = 32                     // tasks published at once
	// maxTasks bounds the tasks in the queue: pausing and cancelling act soon, and a small
	// broadcast does not wait for a large one.
	maxTasks      = 2 * relayBatch
	relayTimeout  = 10 * time.Second // for publishing tasks
	concludeEvery = time.Second
)

// RecordQueue is the queue of the bodies that the worker of that name is to record.
func RecordQueue(worker string) string { return "persistence." + worker }

// TaskQueue is the queue of broadcasts' tasks, which the replicas of the worker of that name
// share.
func TaskQueue(worker string) string { return RecordQueue(worker) + ".tasks" }

func (r *recorder) tasks() broker.Queue {
	return broker.Queue{Name: TaskQueue(r.core.Name), Type: r.QueueType}
}

// relay publishes a task for every batch that is due.
func (r *recorder) relay(ctx context.Context) error {
	if err := r.core.Broker.Declare(ctx, r.tasks()); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("declaring %s: %w", r.tasks().Name, err)
	}
	var concluded time.Time
	for ctx.Err() == nil {
		published, err := r.publishDue(ctx)
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

func (r *recorder) publishDue(ctx context.Context) (published int, err error) {
	info, err := r.core.Broker.Inspect(ctx, r.tasks().Name)
	if err != nil || info.Messages >= maxTasks {
		return 0, err
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

// publishTasks publishes a task for each batch, and returns those for which that failed. The
// batches are leased already, so a stopping worker publishes them all the same.
func (r *recorder) publishTasks(ctx context.Context, due []store.Batch) (left []int64, failed error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayTimeout)
	defer cancel()
	confirmations := make(chan confirmation, len(due))
	for i, batch := range due {
		body, _ := json.Marshal(batch) // numbers and texts: cannot fail
		p := broker.Publication{Queue: r.tasks().Name, Body: body}
		r.core.Broker.PublishAsync(ctx, p, func(err error) { confirmations <- confirmation{i, err} })
	}
	for range due {
		if c := <-confirmations; c.err != nil {
			failed = c.err
			left = append(left, due[c.i].ID)
		}
	}
	return left, failed
}

func (r *recorder) release(ctx context.Context, batches []int64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), relayTimeout)
	defer cancel()
	return r.db.Release(ctx, batches)
}

// confirmation is the broker's answer to publication i of several.
type confirmation struct {
	i   int
	err error
}
