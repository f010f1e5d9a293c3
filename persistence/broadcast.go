package persistence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/store"
	"switchboard/worker"
)

// A broadcast's batches stand in the database first. A relay publishes a task
// for each that is due; the tasks' queue is shared by all replicas; whoever
// gets a task publishes its messages and marks them. Whatever dies in between,
// the database knows what is left, and the batch is due again when its lease
// has ended.
const (
	// lease is how long a batch is in somebody's hands.
	lease = time.Minute
	// publishTime is how long a batch's messages may take to publish: what is
	// left then (the broker was away) is due again, before the lease ends and
	// somebody else publishes the same messages.
	publishTime = lease / 2
	// failedPause is how long a batch rests after the broker refused some of it.
	failedPause = 2 * time.Second
	// relayEvery is how often the relay looks for batches that are due while
	// there are none.
	relayEvery = 500 * time.Millisecond
	// relayBatch is how many tasks the relay publishes at once.
	relayBatch = 100
	// declareEvery is how often a transport's queue is made sure of, for one
	// that was deleted meanwhile.
	declareEvery = 5 * time.Second
	// tasksAhead bounds the tasks that wait in the queue, so that pausing and
	// cancelling act soon.
	tasksAhead = 2 * relayBatch
)

// TapQueue is the queue of what the worker of that name is to record.
func TapQueue(worker string) string { return "persistence." + worker }

// TaskQueue is the queue of broadcasts' tasks, which the replicas of the worker
// of that name share.
func TaskQueue(worker string) string { return TapQueue(worker) + ".tasks" }

func (r *recorder) tasks() broker.Queue {
	return broker.Queue{Name: TaskQueue(r.core.Name), Type: r.QueueType}
}

// relay publishes a task for every batch that is due.
func (r *recorder) relay(ctx context.Context) error {
	if err := r.core.Broker.Declare(ctx, r.tasks()); err != nil {
		return ignoreStop(ctx, fmt.Errorf("declaring %s: %w", r.tasks().Name, err))
	}
	for ctx.Err() == nil {
		published, err := r.relayOnce(ctx)
		if err != nil && ctx.Err() == nil {
			r.core.Logger.Error("looking for batches of broadcasts failed; trying again", "error", err, "in", schemaRetry)
			sleep(ctx, schemaRetry)
		}
		if published < relayBatch {
			sleep(ctx, relayEvery)
		}
	}
	return nil
}

func (r *recorder) relayOnce(ctx context.Context) (published int, err error) {
	info, err := r.core.Broker.Inspect(ctx, r.tasks().Name)
	if err != nil {
		return 0, err
	}
	if info.Messages >= tasksAhead {
		return 0, nil
	}
	due, err := r.db.Due(ctx, relayBatch, lease)
	if err != nil {
		return 0, err
	}
	fates := make(chan error, len(due))
	for _, batch := range due {
		body, _ := json.Marshal(batch) // numbers and texts: cannot fail
		r.core.Broker.PublishAsync(ctx, broker.Publication{Queue: r.tasks().Name, Body: body}, func(err error) { fates <- err })
	}
	// A task that was lost is made again when its batch's lease has ended.
	for range due {
		if failed := <-fates; failed != nil {
			err = fmt.Errorf("publishing a task: %w", failed)
			continue
		}
		published++
	}
	return published, err
}

// handOver works on tasks.
func (r *recorder) handOver(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(r.StopTimeout.Std(), stop) })
	err := r.core.Broker.Consume(ctx, r.tasks(), r.BroadcastTasks, func(d *broker.Delivery) {
		go r.task(ctx, work, d)
	})
	return ignoreStop(ctx, err)
}

// task hands a batch over. A task that fails is simply let go: the batch's
// lease ends, and the relay makes another.
func (r *recorder) task(stopping, ctx context.Context, d *broker.Delivery) {
	var batch store.Batch
	if err := json.Unmarshal(d.Body, &batch); err != nil {
		r.setAside(ctx, d, worker.ReasonInvalid, fmt.Errorf("reading a broadcast's task: %w", err))
		return
	}
	err := worker.Protect(func() error { return r.batch(stopping, ctx, batch) })
	if err != nil && !errors.Is(err, store.ErrNotDue) && ctx.Err() == nil {
		r.core.Logger.Error("handing over a batch of a broadcast failed; it is due again when its lease has ended",
			"broadcast", batch.Broadcast, "batch", batch.ID, "error", err, "lease", lease)
	}
	d.Ack()
}

func (r *recorder) batch(stopping, ctx context.Context, batch store.Batch) error {
	handovers, err := r.db.Claim(ctx, batch.ID, lease)
	if err != nil {
		return err
	}
	if err := r.destinations.prepare(ctx, &r.core, batch.Backend); err != nil {
		return err
	}
	handed, failed := r.publish(stopping, ctx, handovers, batch.Rate)
	if failed != nil && stopping.Err() == nil {
		r.core.Logger.Warn("publishing messages of a broadcast failed; they are tried again", "broadcast", batch.Broadcast,
			"batch", batch.ID, "transport", batch.Backend, "left", len(handovers)-len(handed), "error", failed)
		sleep(stopping, failedPause)
	}
	return r.db.Finish(ctx, batch.ID, handed, len(handed) == len(handovers))
}

// destinations are the transports whose queues are there, and since when that
// is known.
type destinations struct {
	mu    sync.Mutex
	known map[string]time.Time
}

// prepare makes the transport's queue exist: one that has never run has none
// yet, and what is handed over to it must wait in one.
func (d *destinations) prepare(ctx context.Context, core *worker.Core, transport string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.known[transport]) < declareEvery {
		return nil
	}
	err := core.Declare(ctx, transport, message.Outbound)
	if err != nil && !errors.Is(err, broker.ErrQueueMismatch) {
		return err // one of another type is there already, which is all that is needed
	}
	if d.known == nil {
		d.known = map[string]time.Time{}
	}
	d.known[transport] = time.Now()
	return nil
}

// publish publishes each message, no faster than the rate, and returns those
// that are safe with the broker, and why others are not. It stops early when
// the worker stops.
func (r *recorder) publish(stopping, ctx context.Context, handovers []store.Handover, perSecond float64) (handed []store.Handover, failed error) {
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	stopping, stop := context.WithTimeout(stopping, publishTime)
	defer stop()
	limiter := rate.NewLimiter(rate.Inf, 1)
	if perSecond > 0 {
		limiter = rate.NewLimiter(rate.Limit(perSecond), 1)
	}
	fates := make(chan fate, len(handovers))
	published := 0
	for i := range handovers {
		if limiter.Wait(stopping) != nil {
			break
		}
		r.core.PublishAsync(ctx, outbound(&handovers[i]), func(err error) { fates <- fate{i, err} })
		published++
	}
	for range published {
		f := <-fates
		if f.err != nil {
			failed = f.err
			continue
		}
		handed = append(handed, handovers[f.i])
	}
	return handed, failed
}

// fate is what became of the publishing of a handover.
type fate struct {
	i   int
	err error
}

// outbound is a handover's message on its way to its transport. No application
// waits for its events, but this worker's tap does.
func outbound(h *store.Handover) *message.Envelope {
	m := h.Message()
	m.RoutingMetadata.Set(message.PathKey, []string{message.Nowhere})
	return &message.Envelope{Flow: message.Outbound, Connector: h.Backend, Message: m}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func ignoreStop(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
