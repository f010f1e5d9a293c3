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

const (
	// publishTime bounds publishing a batch, from its claim: it must end well before the
	// lease, or another worker publishes the same messages.
	publishTime = lease / 2
	// failedPause delays a batch of which the broker refused some.
	failedPause = 2 * time.Second
	// declareEvery is how often a transport's queue is declared, in case it was deleted.
	declareEvery = 5 * time.Second
	// A task waits so long between its tries while the database is out of reach.
	claimRetryMin = 100 * time.Millisecond
	claimRetryMax = 5 * time.Second
)

// publishBatches consumes the tasks of broadcasts.
func (r *recorder) publishBatches(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(r.StopTimeout.Std(), stop) })
	err := r.core.Consume(ctx, r.tasks(), r.BroadcastTasks, func(d *broker.Delivery) {
		go r.task(ctx, work, d)
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// task publishes one batch and settles its task.
func (r *recorder) task(stopping, ctx context.Context, d *broker.Delivery) {
	var batch store.Batch
	if err := json.Unmarshal(d.Body, &batch); err != nil {
		if !r.deadLetter(ctx, d, worker.ReasonInvalid, fmt.Errorf("reading a broadcast's task: %w", err)) {
			d.Requeue()
			return
		}
		d.Ack()
		return
	}
	err := worker.Protect(func() error { return r.batch(stopping, ctx, batch) })
	switch {
	case errors.Is(err, errNotClaimed):
		d.Requeue()
		return
	case err != nil && !errors.Is(err, store.ErrNotDue):
		r.core.Logger.Error("publishing a batch of a broadcast failed; it is due again when its lease has ended",
			"broadcast", batch.Broadcast, "batch", batch.ID, "error", err, "lease", lease)
	}
	d.Ack()
}

// errNotClaimed is a batch that was not claimed before the worker had to stop.
var errNotClaimed = errors.New("the worker stops")

func (r *recorder) batch(stopping, ctx context.Context, batch store.Batch) error {
	p := &batchPublish{recorder: r, batch: batch, owner: message.NewID()}
	if err := p.claim(stopping, ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(ctx, p.claimed.Add(publishTime))
	defer cancel()
	handed, failed := p.publish(stopping, ctx)
	if errors.Is(failed, errUnconfirmed) {
		return failed
	}
	if failed != nil && stopping.Err() == nil {
		r.core.Logger.Warn("publishing messages of a broadcast failed; they are tried again", "broadcast", batch.Broadcast,
			"batch", batch.ID, "transport", batch.Backend, "left", len(p.handovers)-len(handed), "error", failed)
		backoff.Sleep(stopping, failedPause)
	}
	return p.finish(ctx, handed)
}

// batchPublish publishes the messages of a claimed batch.
type batchPublish struct {
	*recorder
	batch     store.Batch
	owner     string    // of the claim
	claimed   time.Time // when, at the earliest
	handovers []store.Handover
}

// claim claims the batch, however long the database is away: the queue keeps the tasks that
// follow.
func (p *batchPublish) claim(stopping, ctx context.Context) error {
	err := p.retry(stopping, "claiming a batch of a broadcast failed; trying again", func() (err error) {
		p.claimed = time.Now()
		p.handovers, err = p.db.Claim(ctx, p.batch.ID, p.owner, lease)
		return err
	})
	if err != nil && stopping.Err() != nil && !errors.Is(err, store.ErrNotDue) {
		return errNotClaimed
	}
	return err
}

// finish marks what was handed over, until the lease ends, also while the worker stops.
func (p *batchPublish) finish(ctx context.Context, handed []store.Handover) error {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), p.claimed.Add(lease))
	defer cancel()
	done := len(handed) == len(p.handovers)
	return p.retry(ctx, "marking what was handed over of a broadcast failed; trying again", func() error {
		return p.db.Finish(ctx, p.batch.ID, p.owner, handed, done)
	})
}

// retry tries until it works, the batch is not due, or ctx ends.
func (p *batchPublish) retry(ctx context.Context, failing string, try func() error) error {
	for delays := (backoff.Backoff{Min: claimRetryMin, Max: claimRetryMax}); ; {
		err := try()
		if err == nil || errors.Is(err, store.ErrNotDue) || ctx.Err() != nil {
			return err
		}
		delay := delays.Next()
		p.core.Logger.Error(failing, "broadcast", p.batch.Broadcast, "batch", p.batch.ID, "error", err, "in", delay)
		backoff.Sleep(ctx, delay)
	}
}

// errUnconfirmed is a batch for which confirms are missing at the end of publishTime.
var errUnconfirmed = errors.New("the broker has not said whether it has all messages")

// publish publishes the messages at the batch's rate. It returns those that the broker
// confirmed, and why it did not take others. It stops early when the worker stops.
func (p *batchPublish) publish(stopping, ctx context.Context) (handed []store.Handover, failed error) {
	if err := p.declared.ensure(ctx, &p.core, p.batch.Backend); err != nil {
		return nil, err
	}
	limiter := rate.NewLimiter(rate.Inf, 1)
	if p.batch.Rate > 0 {
		limiter = rate.NewLimiter(rate.Limit(p.batch.Rate), 1)
	}
	pause, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(stopping, cancel)()
	confirmations := make(chan confirmation, len(p.handovers))
	published := 0
	for i := range p.handovers {
		if limiter.Wait(pause) != nil {
			break
		}
		p.core.PublishAsync(ctx, outbound(&p.handovers[i]), func(err error) { confirmations <- confirmation{i, err} })
		published++
	}
	return p.collect(confirmations, published)
}

// collect waits for the confirmations of what was published.
func (p *batchPublish) collect(confirmations <-chan confirmation, published int) (handed []store.Handover, failed error) {
	// After publishTime each is there at once, unless the broker holds back its confirms.
	late := time.NewTimer(time.Until(p.claimed.Add(publishTime + failedPause)))
	defer late.Stop()
	for range published {
		select {
		case c := <-confirmations:
			if c.err != nil {
				failed = c.err
				continue
			}
			handed = append(handed, p.handovers[c.i])
		case <-late.C:
			return nil, errUnconfirmed
		}
	}
	return handed, failed
}

// declarations remembers when transports' queues were declared.
type declarations struct {
	mu sync.Mutex
	at map[string]time.Time
}

// ensure makes the transport's outbound queue exist: a transport that has never run has none.
func (d *declarations) ensure(ctx context.Context, core *worker.Runtime, transport string) error {
	d.mu.Lock()
	since := time.Since(d.at[transport])
	d.mu.Unlock()
	if since < declareEvery {
		return nil
	}
	err := core.Declare(ctx, transport, message.Outbound)
	if err != nil && !errors.Is(err, broker.ErrQueueMismatch) {
		return err // a queue of another type will do
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at == nil {
		d.at = map[string]time.Time{}
	}
	d.at[transport] = time.Now()
	return nil
}

// outbound is the envelope of a handover. Its events are recorded and go to no application.
func outbound(h *store.Handover) *message.Envelope {
	m := h.Message()
	m.RoutingMetadata.Set(message.PathKey, []string{message.Nowhere})
	return &message.Envelope{Flow: message.Outbound, Connector: h.Backend, Message: m}
}
