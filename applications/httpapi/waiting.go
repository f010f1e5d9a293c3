package httpapi

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"sync"
	"time"

	"switchboard/applications"
	"switchboard/internal/backoff"
	"switchboard/internal/lanes"
	"switchboard/message"
	"switchboard/worker"
)

const (
	// queueCount is how many queues there are for what waits: what waits in one holds up the
	// people of that queue at most.
	queueCount = 8
	// waitingPrefetch is how much of each is in flight at once. What is held for a person
	// counts.
	waitingPrefetch = 100
	// firstGap is the wait before the second attempt; it doubles up to maxGap.
	firstGap = time.Second
	maxGap   = 5 * time.Minute
	// holdFor is how long something of the queue is held at most before it returns to its
	// place: brokers take a channel down that holds a body for half an hour.
	holdFor = 10 * time.Minute
)

// Queues are those for what the webhook did not take.
func (a *Application) Queues() []string {
	if a.Webhook == nil {
		return nil
	}
	names := make([]string, queueCount)
	for i := range names {
		names[i] = "webhook." + strconv.Itoa(i)
	}
	return append(names, slowQueues()...)
}

// waiting is one of the queues. Of each lane only the first is posted; the others are held
// behind it, and so the queue keeps the order.
type waiting struct {
	run   *run
	name  string
	lanes lanes.Lanes[string]

	mu     sync.Mutex
	count  int
	begun  int             // calls of putting
	ended  int             // of those, so many have returned
	hold   context.Context // ends when what is held returns to the queue
	held   int             // of it, so many
	full   chan struct{}   // closed while no more can be held; nil of a slow queue
	failed map[string]*retry
}

// retry is when the first of a lane is posted again.
type retry struct {
	gap backoff.Backoff
	at  time.Time
}

func newWaiting(r *run, name string) *waiting {
	w := &waiting{run: r, name: name, failed: map[string]*retry{}}
	if !slices.Contains(slowQueues(), name) {
		w.full = make(chan struct{})
	}
	return w
}

func (r *run) waitingIn(queue string) *waiting {
	for _, w := range r.waiting {
		if w.name == queue {
			return w
		}
	}
	return nil // the frame brings what is in Queues alone
}

// queueOf is which of the queues a lane waits in.
func queueOf(lane string) int {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(lane))
	return int(sum.Sum32() % queueCount)
}

func (w *waiting) length() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// add changes how many wait. Another process may have taken some.
func (w *waiting) add(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.set(max(w.count+n, 0))
}

func (w *waiting) set(n int) {
	w.run.metrics.waiting.Add(float64(n - w.count))
	w.count = n
}

// put moves something to the end of the queue.
func (w *waiting) put(ctx context.Context, in *applications.Received) error {
	return w.putting(func() error { return in.Move(ctx, w.name, 0) })
}

// putting counts what publish puts into the queue.
func (w *waiting) putting(publish func() error) error {
	w.begin()
	err := publish()
	w.end(err)
	return err
}

func (w *waiting) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun++
	w.set(w.count + 1)
}

func (w *waiting) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended++
	if err != nil {
		w.set(max(w.count-1, 0))
	}
}

// recount takes over how many the broker has, while this process holds none and puts none:
// another process, or an operator, may have taken what was put here.
func (w *waiting) recount(ctx context.Context) {
	w.mu.Lock()
	begun, quiet := w.begun, w.begun == w.ended
	w.mu.Unlock()
	if !quiet {
		return
	}
	counts, err := w.run.queues.Count(ctx, w.name)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil && w.begun == begun {
		w.set(counts[w.name])
	}
}

// consume has what waits posted until ctx ends. While the breaker is open all of it is in
// the queue.
func (w *waiting) consume(ctx context.Context) {
	for {
		closed, ok := w.run.breaker.wait(ctx)
		if !ok {
			return
		}
		if err := w.consumeUntil(ctx, closed); err != nil && ctx.Err() == nil {
			w.run.log.Warn("posting what waits for the webhook failed; trying again", "queue", w.name, "error", err)
			backoff.Sleep(ctx, firstGap)
		}
	}
}

// consumeUntil consumes until closed ends, for holdFor at most.
func (w *waiting) consumeUntil(ctx, closed context.Context) error {
	w.recount(ctx)
	hold, release := context.WithTimeout(ctx, holdFor)
	defer release()
	defer context.AfterFunc(closed, release)()
	w.mu.Lock()
	w.hold = hold
	w.mu.Unlock()
	return w.run.queues.Consume(hold, w.name, waitingPrefetch)
}

// accept posts something of the queue when what is before it in its lane is done.
func (w *waiting) accept(ctx context.Context, in *applications.Received, done func(error)) {
	hold, lane := w.take(), in.Lane()
	w.lanes.Go(lane, func() {
		err := worker.Protect(func() error { return w.post(ctx, hold, lane, in) })
		if in.Leaves(err) {
			w.forget(lane)
			w.add(-1)
			w.run.slow.left(ctx, w, lane)
		}
		w.release()
		done(err)
	})
}

// take notes that one more is held, and returns what ends when it returns to the queue.
func (w *waiting) take() (hold context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held++; w.held == waitingPrefetch && w.full != nil {
		close(w.full)
	}
	return w.hold
}

func (w *waiting) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held--; w.held == waitingPrefetch-1 && w.full != nil {
		w.full = make(chan struct{})
	}
}

// post posts something until the webhook has taken or refused it, it moves to a slow queue,
// or it must return to its own.
func (w *waiting) post(ctx, hold context.Context, lane string, in *applications.Received) error {
	for {
		if w.holdsUp(hold, lane) {
			w.run.slow.begin(ctx, lane, w.retryOf(lane))
		}
		if w.full != nil {
			if moved, err := w.run.slow.move(ctx, lane, in); moved {
				return err
			}
		}
		if !backoff.Sleep(hold, w.untilRetry(lane)) {
			return fmt.Errorf("waiting for the webhook: %w", context.Canceled)
		}
		err := w.run.deliver(ctx, in)
		if !triedAgain(err) {
			return err
		}
		if limit := w.run.Webhook.RetryFor.Std(); time.Since(in.Since) > limit {
			return message.Permanent(fmt.Errorf("given up after retry_for (%s): %w", limit, err))
		}
		w.postpone(lane, err)
	}
}

// holdsUp waits until the first of a lane is posted again. True is that others wait for it
// meanwhile, though the webhook takes posts.
func (w *waiting) holdsUp(hold context.Context, lane string) bool {
	w.mu.Lock()
	full := w.full
	w.mu.Unlock()
	delay := w.untilRetry(lane)
	if delay <= 0 || full == nil || w.run.breaker.probing() != nil {
		return false
	}
	due := time.NewTimer(delay)
	defer due.Stop()
	select {
	case <-full:
		return true
	case <-due.C:
	case <-hold.Done():
	}
	return false
}

func (w *waiting) retryOf(lane string) *retry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed[lane]
}

func (w *waiting) adopt(lane string, r *retry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed[lane] = r
}

func (w *waiting) untilRetry(lane string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.failed[lane]; r != nil {
		return time.Until(r.at)
	}
	return 0
}

func (w *waiting) postpone(lane string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.failed[lane]
	if r == nil {
		r = &retry{gap: backoff.Backoff{Min: firstGap, Max: maxGap}}
		w.failed[lane] = r
	}
	gap := r.gap.Next()
	if wanted, says := message.RetryDelay(err); says {
		gap = max(gap, wanted)
	}
	r.at = time.Now().Add(gap)
}

func (w *waiting) forget(lane string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.failed, lane)
	if w.count <= 1 {
		clear(w.failed) // of what another process has taken too
	}
}
