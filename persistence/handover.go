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
	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/store"
	"switchboard/worker"
)

// Handing a batch over must end before its lease does, or somebody else
// publishes the same messages.
const (
	// publishTime is how long a batch's messages may take to publish, from when
	// it was claimed: what is left then (the broker was away) is due again.
	publishTime = lease / 2
	// failedPause is how long a batch rests after the broker refused some of it.
	failedPause = 2 * time.Second
	// declareEvery is how often a transport's queue is made sure of, for one
	// that was deleted meanwhile.
	declareEvery = 5 * time.Second
	// How long a task waits for a database that is out of reach.
	claimRetryMin = 100 * time.Millisecond
	claimRetryMax = 5 * time.Second
)

// publishBatches works on tasks.
func (r *recorder) publishBatches(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(r.StopTimeout.Std(), stop) })
	err := r.core.Broker.Consume(ctx, r.tasks(), r.BroadcastTasks, func(d *broker.Delivery) {
		go r.task(ctx, work, d)
	})
	return ignoreStop(ctx, err)
}

// task hands a batch over.
func (r *recorder) task(stopping, ctx context.Context, d *broker.Delivery) {
	var batch store.Batch
	if err := json.Unmarshal(d.Body, &batch); err != nil {
		r.deadLetter(ctx, d, worker.ReasonInvalid, fmt.Errorf("reading a broadcast's task: %w", err))
		return
	}
	err := worker.Protect(func() error { return r.batch(stopping, ctx, batch) })
	switch {
	case errors.Is(err, errNotBegun):
		d.Requeue()
		return
	case err != nil && !errors.Is(err, store.ErrNotDue):
		r.core.Logger.Error("batchPublish over a batch of a broadcast failed; it is due again when its lease has ended",
			"broadcast", batch.Broadcast, "batch", batch.ID, "error", err, "lease", lease)
	}
	d.Ack()
}

// errNotBegun is a batch that nobody claimed before the worker had to stop.
var errNotBegun = errors.New("the worker stops")

func (r *recorder) batch(stopping, ctx context.Context, batch store.Batch) error {
	h := &batchPublish{recorder: r, batch: batch, owner: message.NewID()}
	if err := h.claim(stopping, ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(ctx, h.claimed.Add(publishTime))
	defer cancel()
	handed, failed := h.publish(stopping, ctx)
	if errors.Is(failed, errUncertain) {
		return failed
	}
	if failed != nil && stopping.Err() == nil {
		r.core.Logger.Warn("publishing messages of a broadcast failed; they are tried again", "broadcast", batch.Broadcast,
			"batch", batch.ID, "transport", batch.Backend, "left", len(h.handovers)-len(handed), "error", failed)
		backoff.Sleep(stopping, failedPause)
	}
	return h.finish(ctx, handed)
}

// batchPublish is a batch in this worker's hands.
type batchPublish struct {
	*recorder
	batch     store.Batch
	owner     string    // by which the database knows whose hands these are
	claimed   time.Time // when, at the earliest
	handovers []store.Handover
}

// claim takes the batch, however long the database is away: the queue keeps
// the tasks that follow.
func (h *batchPublish) claim(stopping, ctx context.Context) error {
	err := h.retry(stopping, "claiming a batch of a broadcast failed; trying again", func() (err error) {
		h.claimed = time.Now()
		h.handovers, err = h.db.Claim(ctx, h.batch.ID, h.owner, lease)
		return err
	})
	if err != nil && stopping.Err() != nil && !errors.Is(err, store.ErrNotDue) {
		return errNotBegun
	}
	return err
}

// finish marks what was handed over, for as long as the batch is in this
// worker's hands, also when it is stopping.
func (h *batchPublish) finish(ctx context.Context, handed []store.Handover) error {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), h.claimed.Add(lease))
	defer cancel()
	done := len(handed) == len(h.handovers)
	return h.retry(ctx, "marking what was handed over of a broadcast failed; trying again", func() error {
		return h.db.Finish(ctx, h.batch.ID, h.owner, handed, done)
	})
}

// retry tries until it works, the batch is not due, or ctx ends.
func (h *batchPublish) retry(ctx context.Context, failing string, try func() error) error {
	backOff := backoff.Backoff{Min: claimRetryMin, Max: claimRetryMax}
	for {
		err := try()
		if err == nil || errors.Is(err, store.ErrNotDue) || ctx.Err() != nil {
			return err
		}
		delay := backOff.Next()
		h.core.Logger.Error(failing, "broadcast", h.batch.Broadcast, "batch", h.batch.ID, "error", err, "in", delay)
		backoff.Sleep(ctx, delay)
	}
}

// errUncertain is a publishing of which the broker said nothing in time.
var errUncertain = errors.New("the broker has not said whether it has all messages")

// publish publishes each message, no faster than the rate, and returns those
// that are safe with the broker, and why others are not. It stops early when
// the worker stops.
func (h *batchPublish) publish(stopping, ctx context.Context) (handed []store.Handover, failed error) {
	if err := h.destinations.prepare(ctx, &h.core, h.batch.Backend); err != nil {
		return nil, err
	}
	limiter := rate.NewLimiter(rate.Inf, 1)
	if h.batch.Rate > 0 {
		limiter = rate.NewLimiter(rate.Limit(h.batch.Rate), 1)
	}
	pause, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(stopping, cancel)()
	confirmations := make(chan confirmation, len(h.handovers))
	published := 0
	for i := range h.handovers {
		if limiter.Wait(pause) != nil {
			break
		}
		h.core.PublishAsync(ctx, outbound(&h.handovers[i]), func(err error) { confirmations <- confirmation{i, err} })
		published++
	}
	return h.collect(confirmations, published)
}

// collect waits for the confirmations of what was published.
func (h *batchPublish) collect(confirmations <-chan confirmation, published int) (handed []store.Handover, failed error) {
	// Past the deadline of the publishing each has its confirmation at once, but for a
	// broker that holds back its confirms.
	late := time.NewTimer(time.Until(h.claimed.Add(publishTime + failedPause)))
	defer late.Stop()
	for range published {
		select {
		case f := <-confirmations:
			if f.err != nil {
				failed = f.err
				continue
			}
			handed = append(handed, h.handovers[f.i])
		case <-late.C:
			return nil, errUncertain
		}
	}
	return handed, failed
}

// destinations are the transports whose queues are there, and since when that
// is known.
type destinations struct {
	mu    sync.Mutex
	known map[string]time.Time
}

// prepare makes the transport's queue exist: one that has never run has none
// yet, and what is handed over to it must wait in one.
func (d *destinations) prepare(ctx context.Context, core *worker.Runtime, transport string) error {
	d.mu.Lock()
	since := time.Since(d.known[transport])
	d.mu.Unlock()
	if since < declareEvery {
		return nil
	}
	err := core.Declare(ctx, transport, message.Outbound)
	if err != nil && !errors.Is(err, broker.ErrQueueMismatch) {
		return err // one of another type is there already, which is all that is needed
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = map[string]time.Time{}
	}
	d.known[transport] = time.Now()
	return nil
}

// outbound is a handover's message on its way to its transport. No application
// waits for its events, but this worker's tap does.
func outbound(h *store.Handover) *message.Envelope {
	m := h.Message()
	m.RoutingMetadata.Set(message.PathKey, []string{message.Nowhere})
	return &message.Envelope{Flow: message.Outbound, Connector: h.Backend, Message: m}
}
