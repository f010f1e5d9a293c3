package smppserver

import (
	"context"
	"errors"
	"slices"
	"time"

	"switchboard/internal/backoff"
	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

// delivery is a message, or the receipts for one, on its way to a customer. mu of the
// customer guards its fields until it is finished.
type delivery struct {
	kind   string  // one of the kind constants
	about  string  // the message's ID
	record *record // of the message, where these are receipts
	number uint64  // what came before has a smaller one
	later  bool    // it is known later what is to be sent
	unsent []*deliverSM
	open   int           // sent, and not answered
	err    error         // why not all of it was taken: errLater or errAway
	finish func()        // is called when none of it is tried any more, and is nil then
	noted  chan struct{} // closed when the store knows what was taken
}

// deliverSM is one of a delivery.
type deliverSM struct {
	id    string // as the customer knows it
	body  *pdu.DeliverSM
	taken bool // also where the customer refused it for good
}

const (
	kindReceipt = "receipt"
	kindMessage = "message"
)

var (
	errLater = errors.New("the customer did not take it now")
	errAway  = errors.New("the customer is away")
)

// deliver sends deliver_sm over the customer's binds, after those of deliveries before it.
// Then note records what was taken, again and again until it succeeds; it is called if
// anything was.
func (e *engine) deliver(c *customer, d *delivery, list []*deliverSM, note func(context.Context) error) {
	e.busy.Again() // what calls this is in flight
	c.mu.Lock()
	d.unsent, d.noted, d.finish = list, make(chan struct{}), func() { e.finish(c, d, list, note) }
	if !d.later {
		c.enqueue(d)
	}
	d.later = false
	c.flights[d.kind+d.about] = d
	c.mu.Unlock()
	e.pump(c)
}

func (e *engine) finish(c *customer, d *delivery, list []*deliverSM, note func(context.Context) error) {
	defer e.busy.Done()
	retry := backoff.Backoff{Min: firstDelay, Max: lastDelay}
	for slices.ContainsFunc(list, func(s *deliverSM) bool { return s.taken }) {
		err := note(e.life)
		if err == nil {
			break
		}
		e.log.Warn("noting what a customer has taken failed; trying again", "customer", c.systemID, "message_id", d.about, "error", err)
		if !retry.Wait(e.life) {
			d.err = context.Canceled
			break
		}
	}
	c.mu.Lock()
	delete(c.flights, d.kind+d.about)
	c.mu.Unlock()
	close(d.noted)
}

// enqueue gives a delivery its place behind all others. mu is held.
func (c *customer) enqueue(d *delivery) {
	c.number++
	d.number = c.number
	c.pending = append(c.pending, d)
}

// reserve gives a delivery its place before it is known what is to be sent; deliver or
// cancel follows.
func (c *customer) reserve() *delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &delivery{later: true}
	c.enqueue(d)
	return d
}

// cancel gives up a place that was reserved, and not used.
func (e *engine) cancel(c *customer, d *delivery) {
	c.mu.Lock()
	if d.later {
		d.later = false
		c.pending = slices.DeleteFunc(c.pending, func(other *delivery) bool { return other == d })
	}
	c.mu.Unlock()
	e.pump(c)
}

// pump sends what waits for room in the windows of the customer's binds.
func (e *engine) pump(c *customer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > 0 {
		d := c.pending[0]
		if d.later {
			return
		}
		if len(d.unsent) > 0 && d.err == nil {
			if len(c.receivers) > 0 && !e.busy.Closed() {
				next := d.unsent[0]
				if !c.send(next.body, func(p *pdu.PDU, err error) { e.answered(c, d, next, p, err) }) {
					return
				}
				d.unsent = d.unsent[1:]
				d.open++
				continue
			}
			d.err = errAway
		}
		c.pending = c.pending[1:]
		d.end()
	}
}

// end finishes a delivery of which nothing is under way. mu of the customer is held.
func (d *delivery) end() {
	if d.open == 0 && (d.err != nil || len(d.unsent) == 0) && d.finish != nil {
		go d.finish()
		d.finish = nil
	}
}

// answered takes the answer to a deliver_sm. It does not block.
func (e *engine) answered(c *customer, d *delivery, s *deliverSM, p *pdu.PDU, err error) {
	outcome := "refused"
	switch {
	case errors.Is(err, session.ErrClosed):
		outcome = "returned"
	case err != nil:
		outcome = "unanswered"
	case p.Status == pdu.StatusOK:
		outcome = "delivered"
	case p.Status.Temporary():
		outcome = "deferred"
	}
	switch outcome {
	case "refused":
		e.log.Warn("a customer refused a deliver_sm for good; it is dropped", "customer", c.systemID,
			"kind", d.kind, "message_id", s.id, "status", p.Status.String())
	case "unanswered", "deferred":
		e.log.Info("a customer did not take a deliver_sm; it is tried again", "customer", c.systemID,
			"kind", d.kind, "message_id", s.id, "outcome", outcome)
	}
	if outcome != "returned" {
		e.metrics.delivers.WithLabelValues(c.systemID, d.kind, outcome).Inc()
	}
	c.settle(d, s, outcome)
	e.pump(c)
}

func (c *customer) settle(d *delivery, s *deliverSM, outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d.open--
	switch outcome {
	case "delivered", "refused":
		s.taken = true
	case "returned": // its bind is gone; another one may be there
		d.unsent = append([]*deliverSM{s}, d.unsent...)
		at, found := slices.BinarySearchFunc(c.pending, d.number, func(d *delivery, n uint64) int { return int(d.number) - int(n) })
		if !found {
			c.pending = slices.Insert(c.pending, at, d)
		}
		return
	default:
		d.err = errLater
	}
	d.end()
}

// flight is the delivery of a message or receipt that is under way; nil where there is none.
func (c *customer) flight(kind, about string) *delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flights[kind+about]
}

const (
	// firstDelay is the least time before what a customer did not take is tried again; it
	// doubles with every try up to lastDelay.
	firstDelay = time.Second
	lastDelay  = time.Minute
)
