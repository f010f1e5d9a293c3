package simulator

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Received returns the requests that came, binds among them, the oldest first:
// as many as Settings.Keep allows.
func (v *SMSC) Received() []Received { return v.ledger.all() }

// ReceivedSince is Received from the n-th request on, counted from 0, with the
// number to ask with the next time.
func (v *SMSC) ReceivedSince(n uint64) (list []Received, next uint64) { return v.ledger.since(n) }

// Submitted returns those of Received that are submit_sm, submit_multi or
// data_sm.
func (v *SMSC) Submitted() (list []Received) {
	for _, r := range v.ledger.all() {
		if r.Message() != nil {
			list = append(list, r)
		}
	}
	return list
}

// Generated returns the first messages that Behaviour.Generate made: as many as
// Settings.Keep allows.
func (v *SMSC) Generated() []Incoming {
	v.ledger.mu.Lock()
	defer v.ledger.mu.Unlock()
	return slices.Clone(v.ledger.made)
}

// Counters returns what happened so far.
func (v *SMSC) Counters() Counters { return v.ledger.snapshot() }

// Wait blocks until a condition of the counters is true; it is looked at
// whenever something is counted. The error is ctx's, with the last counters.
func (v *SMSC) Wait(ctx context.Context, what string, condition func(Counters) bool) error {
	for {
		change := v.ledger.change()
		c := v.Counters()
		if condition(c) {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (%+v)", what, ctx.Err(), c)
		}
	}
}

// WaitBound blocks until n sessions are bound.
func (v *SMSC) WaitBound(ctx context.Context, n int) error {
	return v.Wait(ctx, fmt.Sprintf("%d binds", n), func(c Counters) bool { return c.Bound == n })
}

// WaitSubmits blocks until at least n messages were submitted since the start,
// taken or not.
func (v *SMSC) WaitSubmits(ctx context.Context, n int) error {
	return v.Wait(ctx, fmt.Sprintf("%d submits", n), func(c Counters) bool { return c.Submits >= uint64(n) })
}

// WaitReceipts blocks until at least n receipts were answered with ESME_ROK.
func (v *SMSC) WaitReceipts(ctx context.Context, n int) error {
	return v.Wait(ctx, fmt.Sprintf("%d receipts", n), func(c Counters) bool { return c.ReceiptsTaken >= uint64(n) })
}

// WaitMessages blocks until at least n mobile-originated messages, segments
// counted one by one, were answered with ESME_ROK.
func (v *SMSC) WaitMessages(ctx context.Context, n int) error {
	return v.Wait(ctx, fmt.Sprintf("%d messages", n), func(c Counters) bool { return c.MessagesTaken >= uint64(n) })
}

// context ends after d, or when the simulator closes.
func (v *SMSC) context(d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	go func() {
		select {
		case <-v.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
