package smppserver

import (
	"context"
	"errors"
	"time"

	"switchboard/internal/backoff"
	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

const (
	// firstDelay is the wait before what a customer refused for now, or did not
	// answer, is tried again; it doubles up to lastDelay.
	firstDelay = time.Second
	lastDelay  = time.Minute
	// storeDelay is the wait when the state store is out of reach.
	storeDelay = time.Second
)

// deliveryLoop delivers what is queued for a customer until ctx ends. The order is
// kept but for what is in the windows at the same time, and what the customer
// refused.
func (e *engine) deliveryLoop(ctx context.Context, c *customer) {
	for {
		err := c.queue.load(ctx)
		if err == nil {
			break
		}
		e.log.Warn("finding what waits for a customer failed; trying again", "customer", c.systemID, "error", err)
		if !backoff.Sleep(ctx, storeDelay) {
			return
		}
	}
	for ctx.Err() == nil {
		for _, m := range c.queue.expired(time.Now()) {
			e.lose(ctx, c, m, "kept for longer than keep_for")
		}
		wait := min(lastDelay, e.options.KeepFor.Std())
		if !e.lease.held() {
			wait = storeDelay
		} else if c.receives() {
			var m *queued
			if m, wait = c.queue.take(time.Now()); m != nil && e.deliver(ctx, c, m) {
				continue
			}
		}
		if wait <= 0 || wait > lastDelay {
			wait = lastDelay
		}
		timer := time.NewTimer(wait)
		select {
		case <-c.queue.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// deliver gives one deliver_sm to one of the customer's binds; false is no room
// now.
func (e *engine) deliver(ctx context.Context, c *customer, m *queued) bool {
	d, err := c.queue.content(ctx, m)
	switch {
	case err != nil:
		e.log.Warn("delivering to a customer has to wait", "customer", c.systemID, "error", err)
		c.queue.release(m, storeDelay)
		return true
	case d == nil && m.uncertain: // it was never written, and what brought it comes again
		e.remove(ctx, c, m)
		return true
	case d == nil:
		e.lose(ctx, c, m, "gone from the state store")
		return true
	}
	if c.send(d.Body, func(p *pdu.PDU, err error) { e.answered(c, m, d, p, err) }) {
		return true
	}
	c.queue.release(m, -1)
	return false
}

// answered takes the answer to a deliver_sm. It must not block.
func (e *engine) answered(c *customer, m *queued, d *deliverSM, p *pdu.PDU, err error) {
	outcome := ""
	switch {
	case errors.Is(err, session.ErrClosed):
		c.queue.release(m, 0)
		return
	case err != nil:
		outcome = "unanswered"
	case p.Status == pdu.StatusOK:
		outcome = "delivered"
	case p.Status.Temporary():
		outcome = "deferred"
	default:
		outcome = "refused"
		e.log.Warn("a customer refused a deliver_sm for good; it is dropped", "customer", c.systemID,
			"kind", d.Kind, "message_id", d.ID, "status", p.Status.String())
	}
	e.metrics.delivers.WithLabelValues(c.systemID, d.Kind, outcome).Inc()
	if outcome == "delivered" || outcome == "refused" {
		e.background(func(ctx context.Context) { e.remove(ctx, c, m) })
		return
	}
	e.log.Info("a customer did not take a deliver_sm; it is tried again", "customer", c.systemID,
		"kind", d.Kind, "message_id", d.ID, "outcome", outcome)
	c.queue.deferred(m)
}

func (e *engine) remove(ctx context.Context, c *customer, m *queued) {
	if err := c.queue.remove(ctx, m); err != nil {
		e.log.Warn("forgetting what a customer has got failed; it may get it again after a restart",
			"customer", c.systemID, "error", err)
	}
}

// lose drops what cannot be delivered any more.
func (e *engine) lose(ctx context.Context, c *customer, m *queued, why string) {
	e.log.Warn("a deliver_sm that a customer did not take is dropped", "customer", c.systemID, "reason", why)
	e.metrics.delivers.WithLabelValues(c.systemID, "any", "expired").Inc()
	e.remove(ctx, c, m)
}
