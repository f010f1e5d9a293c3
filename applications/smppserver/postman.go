package smppserver

import (
	"context"
	"errors"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

const (
	// firstPause is the wait before what a customer refused for now, or did not
	// answer, is tried again; it doubles up to lastPause.
	firstPause = time.Second
	lastPause  = time.Minute
	// storePause is the wait when the state store is out of reach.
	storePause = time.Second
)

// post delivers a customer's mail until ctx ends. The order is kept but for
// what is in the windows at the same time, and what the customer refused.
func (e *engine) post(ctx context.Context, c *customer) {
	for ctx.Err() == nil {
		e.expire(ctx, c)
		wait := lastPause
		if !e.lease.held() {
			wait = storePause
		} else if c.receives() {
			var m *mail
			if m, wait = c.box.take(time.Now()); m != nil && e.deliver(ctx, c, m) {
				continue
			}
		}
		if wait <= 0 || wait > lastPause {
			wait = lastPause
		}
		timer := time.NewTimer(wait)
		select {
		case <-c.box.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// deliver gives one mail to one of the customer's binds; false is no room now.
func (e *engine) deliver(ctx context.Context, c *customer, m *mail) bool {
	l, err := c.box.open(ctx, m)
	switch {
	case err != nil:
		e.log.Warn("delivering to a customer has to wait", "customer", c.systemID, "error", err)
		c.box.putBack(m, storePause)
		return true
	case l == nil && m.doubtful: // it was never written, and what brought it comes again
		e.drop(ctx, c, m)
		return true
	case l == nil:
		e.lose(ctx, c, m, "gone from the state store")
		return true
	}
	if c.hand(l.Body, func(p *pdu.PDU, err error) { e.handed(c, m, l, p, err) }) {
		return true
	}
	m.unfly(c.box)
	return false
}

// unfly is putBack for a mail that never left, which is no news.
func (m *mail) unfly(b *mailbox) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m.flying = false
}

// handed takes the answer to a deliver_sm. It must not block.
func (e *engine) handed(c *customer, m *mail, l *letter, p *pdu.PDU, err error) {
	outcome := ""
	switch {
	case errors.Is(err, session.ErrClosed):
		c.box.putBack(m, 0)
		return
	case err != nil:
		outcome = "unanswered"
	case p.Status == pdu.StatusOK:
		outcome = "delivered"
	case p.Status.Temporary():
		outcome = "deferred"
	default:
		outcome = "refused"
		e.log.Warn("a customer refused what it was to get; it is let go", "customer", c.systemID,
			"kind", l.Kind, "message_id", l.ID, "status", p.Status.String())
	}
	e.metrics.delivered(c.systemID, l.Kind, outcome)
	if outcome == "delivered" || outcome == "refused" {
		e.background(func(ctx context.Context) { e.drop(ctx, c, m) })
		return
	}
	e.log.Info("a customer did not take what it was to get; it is tried again", "customer", c.systemID,
		"kind", l.Kind, "message_id", l.ID, "outcome", outcome)
	if !c.box.lags(m) {
		c.box.defers(m)
		return
	}
	e.background(func(ctx context.Context) {
		if err := c.box.move(ctx, m, l); err != nil {
			e.log.Info("giving what a customer does not take a new number failed", "customer", c.systemID, "error", err)
			c.box.defers(m)
		}
	})
}

// defers puts back what is to be tried again later and later.
func (b *mailbox) defers(m *mail) {
	b.mu.Lock()
	pause := min(firstPause<<min(m.tries, 10), lastPause)
	m.tries++
	b.mu.Unlock()
	b.putBack(m, pause)
}

func (e *engine) drop(ctx context.Context, c *customer, m *mail) {
	if err := c.box.drop(ctx, m); err != nil {
		e.log.Warn("forgetting what a customer has got failed; it may get it again after a restart",
			"customer", c.systemID, "error", err)
	}
}

func (e *engine) expire(ctx context.Context, c *customer) {
	for _, m := range c.box.old(time.Now()) {
		e.lose(ctx, c, m, "kept for longer than keep_for")
	}
}

// lose lets mail go that cannot be delivered any more.
func (e *engine) lose(ctx context.Context, c *customer, m *mail, why string) {
	e.log.Warn("what a customer was to get is let go", "customer", c.systemID, "reason", why)
	e.metrics.delivered(c.systemID, "any", "expired")
	e.drop(ctx, c, m)
}
