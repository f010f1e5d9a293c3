package simulator

import (
	"errors"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

const (
	defaultRetries = 3
	defaultPause   = time.Second
	// maxQueue is how much is kept for an account without a bind that receives.
	maxQueue = 1_000_000
)

var errQueueFull = errors.New("too much waits for the account already")

// delivery is a request for an ESME: a receipt or a message.
type delivery struct {
	body    pdu.Body
	prefer  *bind // nil for any
	receipt bool
	tries   int
	done    func(pdu.Status, error) // nil when nobody waits
}

// enqueue sends a request as soon as a bind has room for it; while none is there
// it is kept.
func (a *account) enqueue(d *delivery) {
	a.mu.Lock()
	full := len(a.queue) >= maxQueue
	if !full {
		a.queue = append(a.queue, d)
	}
	a.mu.Unlock()
	if full {
		a.smsc.ledger.count(func(c *tally) { c.undelivered++ })
		if d.done != nil {
			d.done(pdu.StatusMsgQFul, errQueueFull)
		}
		return
	}
	a.smsc.ledger.count(func(c *tally) { c.waiting++ })
	a.pump()
}

// pump sends what can be sent now.
func (a *account) pump() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.queue) > 0 && len(a.receivers) > 0 && !a.pumping {
		if !a.mayDeliver() {
			return
		}
		d := a.queue[0]
		if !a.sendTo(d) {
			return
		}
		a.queue[0] = nil
		a.queue = a.queue[1:]
	}
}

// mayDeliver keeps to Delivery.TPS.
func (a *account) mayDeliver() bool {
	tps := a.behaviour.Load().Delivery.TPS
	if tps <= 0 {
		return true
	}
	set(a.delivers, tps, 1)
	wait := a.delivers.Reserve().Delay()
	if wait <= 0 {
		return true
	}
	// The reservation stands for the one that is sent first thereafter.
	a.pumping = true
	a.smsc.schedule.after(wait, func() {
		a.mu.Lock()
		a.pumping = false
		if len(a.queue) > 0 && a.sendTo(a.queue[0]) {
			a.queue = a.queue[1:]
		}
		a.mu.Unlock()
		a.pump()
	})
	return false
}

// sendTo tries the preferred bind, then the others in turn.
func (a *account) sendTo(d *delivery) bool {
	if d.prefer != nil && d.prefer.session.Peer().Receives() && a.send(d.prefer, d) {
		return true
	}
	for range a.receivers {
		a.turn++
		if b := a.receivers[a.turn%len(a.receivers)]; b != d.prefer && a.send(b, d) {
			return true
		}
	}
	return false
}

func (a *account) send(b *bind, d *delivery) bool {
	if b.hung.Load() {
		return false
	}
	err := b.session.Send(b.readable(d.body), func(p *pdu.PDU, err error) { a.sent(d, p, err) })
	switch {
	case err == nil:
		a.smsc.ledger.delivering(b, d)
		return true
	case errors.Is(err, session.ErrWindowFull), errors.Is(err, session.ErrClosed), errors.Is(err, session.ErrNotBound):
		return false
	}
	a.impossible(d, err)
	return true
}

// readable leaves the parameters out for a peer that knows none.
func (b *bind) readable(body pdu.Body) pdu.Body {
	d, ok := body.(*pdu.DeliverSM)
	if !ok || b.takesTLVs() || len(d.ShortMessage) == 0 {
		return body
	}
	plain := *d
	plain.TLVs = nil
	return &plain
}

// impossible gives up what cannot be written as a PDU.
func (a *account) impossible(d *delivery, err error) {
	a.smsc.ledger.count(func(c *tally) { c.waiting--; c.undelivered++ })
	a.smsc.settings.Logger.Warn("what cannot be sent", "error", err)
	if d.done != nil {
		go d.done(pdu.StatusSysErr, err) // the account's lock is held
	}
}

// sent takes an answer, or what came in its place.
func (a *account) sent(d *delivery, p *pdu.PDU, err error) {
	conf := a.behaviour.Load().Delivery
	retries, pause := conf.Retries, conf.Pause.Std()
	if retries == 0 {
		retries = defaultRetries
	}
	if pause == 0 {
		pause = defaultPause
	}
	closed := errors.Is(err, session.ErrClosed)
	again := err != nil || p.Status.Temporary()
	switch {
	case closed:
		d.prefer = nil
		a.mu.Lock()
		a.queue = append([]*delivery{d}, a.queue...)
		a.mu.Unlock()
		a.smsc.ledger.count(func(c *tally) { c.waiting++; c.delivering-- })
	case again && d.tries < retries:
		d.tries++
		a.smsc.ledger.count(func(c *tally) { c.delivering--; c.retried++ })
		a.smsc.schedule.after(pause, func() { a.enqueue(d) })
	default:
		a.smsc.ledger.delivered(d, p, err)
		if d.done != nil {
			d.done(status(p), err)
		}
	}
	a.pump()
}

func status(p *pdu.PDU) pdu.Status {
	if p == nil {
		return pdu.StatusUnknownErr
	}
	return p.Status
}
