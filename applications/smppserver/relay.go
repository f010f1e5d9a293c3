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
	"sync"
	"time"

	"switchboard/applications"
	"switchboard/internal/backoff"
	"switchboard/internal/protect"
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
	e, err := a.engine.Get(ctx)
	if err == nil && !e.busy.Begin() {
		err = fmt.Errorf("the SMPP server is stopping: %w", context.Canceled)
	}
	if err != nil {
		done(err)
		return
	}
	in := &arrival{Received: r, from: e.byQueue[r.Queue], done: done}
	if in.from != nil {
		in.place = in.from.reserve()
	}
	key := lane{kindReceipt, r.ID()}
	if r.Message != nil {
		key = lane{kindMessage, r.Message.From}
	}
	e.arrivals.Go(key, func() { e.take(ctx, in) })
}

// arrival is what was received, on its way to a customer.
type arrival struct {
	*applications.Received
	from  *customer // whose queue it comes from; nil where it comes from the connector
	place *delivery // among from's deliveries
	done  func(error)
	until time.Time // how long the customer may hold it, from the connector
}

// delivery is that of an arrival, in its place.
func (in *arrival) delivery(c *customer, kind string) *delivery {
	d := in.place
	if in.from != c {
		d = new(delivery)
	}
	d.kind, d.about = kind, in.ID()
	return d
}

// lane is a person's messages, or a message's events; or one person's messages to one
// customer.
type lane [2]string

// take returns when the next of its lane may be taken.
func (e *engine) take(ctx context.Context, in *arrival) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(e.life, cancel)
	var once sync.Once
	outcome := in.done
	in.done = func(err error) {
		once.Do(func() {
			stop()
			cancel()
			if in.from != nil {
				e.cancel(in.from, in.place)
				if in.Leaves(err) {
					in.from.count(-1, 0)
				}
			}
			outcome(err)
			e.busy.Done()
		})
	}
	err := protect.Call(func() error {
		switch {
		case in.Queue != "" && in.from == nil: // its customer is no longer in the file
			in.done(in.Move(ctx, "", 0))
		case in.Event != nil:
			in.done(e.takeEvent(ctx, in))
		default:
			e.takeMessage(ctx, in)
		}
		return nil
	})
	if panicked, is := errors.AsType[*protect.PanicError](err); is {
		e.log.Error("passing something on panicked", "what", in.String(), "panic", panicked.Value, "stack", string(panicked.Stack))
		in.done(message.Permanent(err))
	}
}

// admit says whether something may be delivered now; release it when that is over.
func (e *engine) admit(c *customer, in *arrival) (now bool, err error) {
	if in.from != c {
		in.until = time.Now().Add(directPatience)
		return c.admit(), nil
	}
	if keep := e.options.KeepFor.Std(); time.Since(in.Since) > keep {
		e.metrics.delivers.WithLabelValues(c.systemID, "any", "expired").Inc()
		return false, message.Permanent(fmt.Errorf("customer %s has not taken it within keep_for (%s)", c.systemID, keep))
	}
	if !c.receives() {
		c.pauseUntil(in.Since.Add(e.options.KeepFor.Std()))
		return false, fmt.Errorf("%w: %w", errAway, context.Canceled)
	}
	return true, nil
}

// adapt changes how much the customer may hold of the connector's queues: as much as it
// takes within directPatience.
func (c *customer) adapt(late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !late:
		c.most = min(c.most+1, inFlight)
	case time.Since(c.lastLate) > directPatience: // once for all that are late together
		c.most, c.lastLate = c.most/2, time.Now()
	}
}

// release ends what admit allowed.
func (c *customer) release(in *arrival) {
	if in.from != c {
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
	return c.waiting == 0 && len(c.receivers) > 0 && c.direct < max(c.most, 2*c.DeliverWindow)
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
	// directPatience is how long a customer may hold something of the connector's queues. Then
	// it waits in the customer's queue for the answer.
	directPatience = time.Second
	// fullDelay is how long the fleet waits when a customer's queue is full.
	fullDelay = 5 * time.Minute
)

// put moves something to the end of the customer's queue.
func (e *engine) put(ctx context.Context, c *customer, in *arrival, delay time.Duration) error {
	if n := c.count(1, 0); in.from != c && n > e.options.KeepMax {
		c.count(-1, 0)
		return message.RetryAfter(fullDelay, fmt.Errorf("the customer has not taken what waits for it: %d messages and receipts (keep_max)", n-1))
	}
	err := in.Move(ctx, c.queue, delay)
	if err != nil {
		c.count(-1, 0)
	}
	return err
}

// conclude waits for the end of a delivery, or moves what it is of to the customer's queue;
// without a delivery, at once.
func (e *engine) conclude(ctx context.Context, c *customer, in *arrival, d *delivery) error {
	if d == nil {
		return e.put(ctx, c, in, 0)
	}
	own := in.from == c
	var late <-chan time.Time
	if !own {
		late = time.After(time.Until(in.until))
	}
	defer c.release(in)
	select {
	case <-d.noted:
		c.adapt(false)
	case <-late:
		select {
		case <-d.noted: // while those before it were waited for
		default:
			c.adapt(true)
			return e.put(ctx, c, in, 0)
		}
	}
	switch {
	case d.err == nil:
		return nil
	case errors.Is(d.err, errLater):
		return e.put(ctx, c, in, min(max(time.Since(in.Since), firstDelay), lastDelay))
	case own || e.busy.Closed():
		return fmt.Errorf("%w: %w", d.err, context.Canceled)
	}
	return e.put(ctx, c, in, 0)
}

// drain has what is in a customer's queue delivered while the customer is there. While not,
// it looks for what has waited for too long.
func (e *engine) drain(ctx context.Context, c *customer) {
	for ctx.Err() == nil {
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
	own := make([]store.Entry, len(e.inOrder))
	for i, c := range e.inOrder {
		own[i] = store.Entry{Key: queueKey + c.queue, Value: c.systemID}
	}
	var known []store.Entry // of all queues that there have ever been
	for retry := (backoff.Backoff{Min: firstDelay, Max: lastDelay}); ; {
		err := e.state.Set(ctx, own...)
		if err == nil {
			known, err = e.state.Range(ctx, queueKey, queueKey+"\xff", maxKeep)
		}
		if err == nil || !retry.Wait(ctx) {
			break
		}
	}
	for _, entry := range known {
		name := strings.TrimPrefix(entry.Key, queueKey)
		if e.byQueue[name] == nil {
			e.log.Warn("what waits for a customer who is no longer in the file returns to the server's queues", "customer", entry.Value)
			e.loops.Go(func() { e.empty(ctx, name) })
		}
	}
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
