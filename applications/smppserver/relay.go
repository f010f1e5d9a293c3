package smppserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"switchboard/applications"
	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/store"
)

// A customer has a queue of its own. What comes for a customer who is there, and has
// nothing in that queue, is delivered at once: it stays on the connector's queue until the
// customer has answered. All else moves to the customer's queue, so that the connector's
// never waits for a customer.

// Queues are the customers'.
func (a *Application) Queues() (list []string) {
	for _, pair := range a.Customers {
		list = append(list, queueOf(pair.Key))
	}
	return list
}

// queueOf is the name of a customer's queue. Queues have names in lower case, of few
// characters.
func queueOf(systemID string) string {
	plain := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '-'
	}
	name := strings.Map(plain, strings.ToLower(systemID))
	if name != systemID {
		sum := sha256.Sum256([]byte(systemID))
		name += "+" + hex.EncodeToString(sum[:4])
	}
	return "customer." + name
}

// Accept passes on a person's message, or makes receipts of an event.
func (a *Application) Accept(ctx context.Context, r *applications.Received, done func(error)) {
	e, err := a.running(ctx)
	if err == nil && !e.enter() {
		err = fmt.Errorf("the SMPP server is stopping: %w", context.Canceled)
	}
	if err != nil {
		done(err)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(e.life, cancel)
	c := e.byQueue[r.Queue]
	end := func(err error) {
		stop()
		cancel()
		if c != nil && (err == nil || message.IsPermanent(err)) {
			c.count(-1, 0)
		}
		done(err)
		e.leave()
	}
	switch {
	case r.Queue != "" && c == nil: // its customer is no longer in the file
		end(r.Move(ctx, "", 0))
	case r.Event != nil:
		end(e.takeEvent(ctx, r))
	default:
		e.takeMessage(ctx, r, end)
	}
}

// admit says whether something may be delivered now; release it when that is over.
func (e *engine) admit(c *customer, r *applications.Received) (now bool, err error) {
	if r.Queue != c.queue {
		return c.admit(), nil
	}
	if keep := e.options.KeepFor.Std(); time.Since(r.Since) > keep {
		e.metrics.delivers.WithLabelValues(c.systemID, "any", "expired").Inc()
		return false, message.Permanent(fmt.Errorf("customer %s has not taken it within keep_for (%s)", c.systemID, keep))
	}
	if !c.receives() {
		c.pauseUntil(r.Since.Add(e.options.KeepFor.Std()))
		return false, fmt.Errorf("%w: %w", errAway, context.Canceled)
	}
	return true, nil
}

// release ends what admit allowed.
func (c *customer) release(r *applications.Received) {
	if r.Queue != c.queue {
		c.count(0, -1)
	}
}

// keepsUp says that the customer is there, and takes what comes as it comes.
func (c *customer) keepsUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hasRoom()
}

func (c *customer) hasRoom() bool {
	return c.waiting == 0 && c.direct < min(2*c.DeliverWindow*len(c.receivers), maxDirect)
}

// admit counts one more direct delivery, where the customer keeps up.
func (c *customer) admit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.hasRoom() {
		return false
	}
	c.direct++
	c.onCount(c.waiting, c.direct)
	return true
}

const (
	// maxDirect is how much of the connector's queues one customer may hold.
	maxDirect = inFlight / 5
	// directPatience is how long it may be held. Then it waits in the customer's queue for the
	// answer.
	directPatience = time.Second
	// fullDelay is how long the fleet waits when a customer's queue is full.
	fullDelay = 5 * time.Minute
)

// put moves something to the end of the customer's queue.
func (e *engine) put(ctx context.Context, c *customer, r *applications.Received, delay time.Duration) error {
	if n := c.count(1, 0); r.Queue != c.queue && n > e.options.KeepMax {
		c.count(-1, 0)
		return message.RetryAfter(fullDelay, fmt.Errorf("the customer has not taken what waits for it: %d messages and receipts (keep_max)", n-1))
	}
	err := r.Move(ctx, c.queue, delay)
	if err != nil {
		c.count(-1, 0)
	}
	return err
}

// conclude waits for the end of a delivery, or moves what it is of to the customer's queue.
func (e *engine) conclude(ctx context.Context, c *customer, r *applications.Received, d *delivery) error {
	own := r.Queue == c.queue
	patience := time.NewTimer(directPatience)
	defer patience.Stop()
	if own {
		patience.Stop()
	}
	defer c.release(r)
	select {
	case <-d.noted:
	case <-patience.C:
		return e.put(ctx, c, r, 0)
	}
	switch {
	case d.err == nil:
		return nil
	case errors.Is(d.err, errLater):
		return e.put(ctx, c, r, min(max(time.Since(r.Since), firstDelay), lastDelay))
	case own || c.isClosing():
		return fmt.Errorf("%w: %w", d.err, context.Canceled)
	}
	return e.put(ctx, c, r, 0)
}

// drain has what is in a customer's queue delivered while the customer is there. While not,
// it looks for what has waited for too long.
func (e *engine) drain(ctx context.Context, c *customer) {
	for old := true; ctx.Err() == nil; {
		if old && c.receives() {
			err := e.deliverOld(ctx, c)
			if old = err != nil; old {
				e.log.Warn("delivering what version 0.1 kept for a customer failed; it is tried at the next bind", "customer", c.systemID, "error", err)
			}
		}
		wait := housekeepEvery
		consuming, pause := context.WithCancel(ctx)
		if prefetch := c.begin(pause); prefetch > 0 {
			wait = 0
			if err := e.queues.Consume(consuming, c.queue, prefetch); err != nil {
				e.log.Warn("delivering what waits for a customer failed; trying again", "customer", c.systemID, "error", err)
				wait = firstDelay
			}
		}
		pause()
		select {
		case <-c.wake:
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// begin says how much of the customer's queue may be in flight now, until pause is called.
func (c *customer) begin(pause func()) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pause = pause
	switch {
	case len(c.receivers) > 0:
		return min(2*c.DeliverWindow*c.MaxBinds, inFlight)
	case c.waiting > 0 && time.Now().After(c.expires):
		return 1
	}
	return 0
}

// pauseUntil stops consuming the queue of a customer who is away, until its first is too
// old.
func (c *customer) pauseUntil(expires time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expires = expires
	c.pause()
}

// openQueues counts what waits, and begins to deliver it.
func (e *engine) openQueues(ctx, loops context.Context) error {
	waiting, err := e.queues.Count(ctx, slices.Collect(maps.Keys(e.byQueue))...)
	if err != nil {
		return fmt.Errorf("counting what waits for customers: %w", err)
	}
	for _, c := range e.inOrder {
		c.count(waiting[c.queue], 0)
		e.loops.Go(func() { e.drain(loops, c) })
	}
	e.loops.Go(func() { e.emptyOthers(loops) })
	return nil
}

// queueKey is where the store has the names of queues, to find those of customers who are
// not in the file any more.
const queueKey = "queue/"

// emptyOthers has what waits for customers who are not in the file return to the
// connector's queues.
func (e *engine) emptyOthers(ctx context.Context) {
	known, err := e.knownQueues(ctx)
	for retry := (backoff.Backoff{Min: firstDelay, Max: lastDelay}); err != nil && retry.Wait(ctx); {
		known, err = e.knownQueues(ctx)
	}
	for _, entry := range known {
		name := strings.TrimPrefix(entry.Key, queueKey)
		if e.byQueue[name] == nil {
			e.log.Warn("what waits for a customer who is no longer in the file returns to the server's queues", "customer", entry.Value)
			e.loops.Go(func() { e.empty(ctx, name) })
		}
	}
}

// knownQueues are those that there have ever been.
func (e *engine) knownQueues(ctx context.Context) ([]store.Entry, error) {
	var own []store.Entry
	for _, c := range e.inOrder {
		own = append(own, store.Entry{Key: queueKey + c.queue, Value: c.systemID})
	}
	err := e.state.Set(ctx, own...)
	if err != nil {
		return nil, err
	}
	return e.state.Range(ctx, queueKey, queueKey+"\xff", maxKeep)
}

// empty consumes the queue of a customer who is no longer in the file.
func (e *engine) empty(ctx context.Context, queue string) {
	retry := backoff.Backoff{Min: firstDelay, Max: lastDelay}
	for ctx.Err() == nil {
		if err := e.queues.Consume(ctx, queue, inFlight); err != nil {
			e.log.Warn("emptying a customer's queue failed; trying again", "queue", queue, "error", err)
		}
		retry.Wait(ctx)
	}
}
