package httpapi

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
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
	// stalledFor is how long nothing comes of a queue that has more before that is because of
	// what is held.
	stalledFor = time.Second
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
	slow  bool // one of slowQueues
	lanes lanes.Lanes[string]

	mu     sync.Mutex
	count  int
	begun  int             // calls of putting
	ended  int             // of those, so many have returned
	hold   context.Context // ends when what is held returns to the queue
	held   int             // of it, so many
	came   time.Time       // when the newest of these did
	failed map[string]*retry
}

// retry is when the first of a lane is posted again.
type retry struct {
	gap backoff.Backoff
	at  time.Time
}

func newWaiting(r *run, name string) *waiting {
	return &waiting{run: r, name: name, slow: strings.HasPrefix(name, slowQueue), failed: map[string]*retry{}}
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

// isEmpty says that nothing waits. What is held counts too: a broker may count less for a
// while after a connection was lost.
func (w *waiting) isEmpty() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count == 0 && w.held == 0
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
	err := w.run.queues.Consume(hold, w.name, waitingPrefetch)
	if errors.Is(hold.Err(), context.DeadlineExceeded) { // time enough for all of it to have come
		w.recount(ctx)
		w.run.slow.end(ctx, w)
	}
	return err
}

// accept posts something of the queue when what is before it in its lane is done.
func (w *waiting) accept(ctx context.Context, in *applications.Received, done func(error)) {
	hold, lane := w.take(), in.Lane()
	w.lanes.Go(lane, func() {
		err := worker.Protect(func() error { return w.post(ctx, hold, lane, in) })
		w.release(lane, in.Leaves(err))
		w.run.slow.end(ctx, w)
		done(err)
	})
}

// take notes that one more is held, and returns what ends when it returns to the queue.
func (w *waiting) take() (hold context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held++
	w.came = time.Now()
	return w.hold
}

// release notes that one less is held; leaves is that it leaves the queue for good.
func (w *waiting) release(lane string, leaves bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held--
	if !leaves {
		return
	}
	delete(w.failed, lane)
	if w.count <= 1 {
		clear(w.failed) // of what another process has taken too
	}
	w.set(max(w.count-1, 0))
}

// post posts something until the webhook has taken or refused it, it moves to a slow queue,
// or it must return to its own.
func (w *waiting) post(ctx, hold context.Context, lane string, in *applications.Received) error {
	for {
		if w.holdsUp(hold, lane) {
			w.run.slow.begin(ctx, lane, w)
		}
		if !w.slow {
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
	if w.slow || w.run.breaker.probing() != nil {
		return false
	}
	for delay := w.untilRetry(lane); delay > 0; delay = w.untilRetry(lane) {
		if w.isFull() {
			return true
		}
		if !backoff.Sleep(hold, min(delay, stalledFor)) {
			return false
		}
	}
	return false
}

// isFull says that nothing more comes until some of what is held is done. A broker brings
// fewer than waitingPrefetch at once where they are large.
func (w *waiting) isFull() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held >= waitingPrefetch || w.count > w.held && time.Since(w.came) >= stalledFor
}

// handOver moves to another queue when the first of a lane is posted again.
func (w *waiting) handOver(lane string, to *waiting) {
	w.mu.Lock()
	again := w.failed[lane]
	delete(w.failed, lane)
	w.mu.Unlock()
	if again == nil {
		return
	}
	to.mu.Lock()
	defer to.mu.Unlock()
	to.failed[lane] = again
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
