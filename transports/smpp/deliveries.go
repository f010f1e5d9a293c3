package smpp

import (
	"context"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
)

// deliveries are the deliver_sm of one link that are in hand: in parallel, those
// from one person one after the other.
type deliveries struct {
	b      *binder
	k      *link
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	count   int
	waiting map[string][]delivery // people being worked for, and what waits behind
}

type delivery struct {
	request  *pdu.PDU
	message  *pdu.Message
	pending  *pendingDeliver
	deadline time.Time // by when the SMSC is to be answered
}

func newDeliveries(b *binder, k *link) *deliveries {
	d := &deliveries{b: b, k: k, waiting: map[string][]delivery{}}
	d.ctx, d.cancel = context.WithCancel(b.stopping)
	return d
}

// add takes a deliver_sm in hand, or asks the SMSC to send it again later.
func (d *deliveries) add(p *pdu.PDU, m *pdu.Message) {
	if !d.admit(p, m) {
		d.respond(p, pdu.StatusRxTAppn)
	}
}

func (d *deliveries) admit(p *pdu.PDU, m *pdu.Message) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.count >= d.b.options.DeliverWindow {
		return false
	}
	d.count++
	now := time.Now()
	next := delivery{p, m, d.b.dedup.enter(p, now), now.Add(d.b.options.DeliverTimeout.Std())}
	key := m.Source.Addr
	if behind, busy := d.waiting[key]; busy {
		d.waiting[key] = append(behind, next)
		return true
	}
	d.waiting[key] = nil
	d.group.Go(func() { d.work(key, next) })
	return true
}

func (d *deliveries) work(key string, next delivery) {
	for more := true; more; {
		d.respond(next.request, d.status(d.take(next)))
		next, more = d.next(key)
	}
}

// take hands a delivery to the broker, as long as the SMSC waits for it.
func (d *deliveries) take(next delivery) error {
	ctx, cancel := context.WithDeadline(d.ctx, next.deadline)
	defer cancel()
	return d.b.dedup.work(ctx, next.pending, func(ctx context.Context) error {
		return d.b.guard("taking a message of "+d.b.name, func() error { return d.b.deliver(ctx, next.message, next.pending.messageID) })
	})
}

func (d *deliveries) next(key string) (next delivery, more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count--
	behind := d.waiting[key]
	if len(behind) == 0 {
		delete(d.waiting, key)
		return next, false
	}
	d.waiting[key] = behind[1:]
	return behind[0], true
}

// status is what the SMSC is told: that it is rid of the message, to send it
// again, or never to.
func (d *deliveries) status(err error) pdu.Status {
	switch {
	case err == nil:
		return pdu.StatusOK
	case message.IsPermanent(err):
		d.b.logger.Error("a message from the SMSC is refused for good", "bind", d.b.name, "error", err)
		return pdu.StatusRxPAppn
	case d.ctx.Err() == nil:
		d.b.logger.Warn("a message from the SMSC could not be taken; it is to come again", "bind", d.b.name, "error", err)
	}
	return pdu.StatusRxTAppn
}

func (d *deliveries) respond(p *pdu.PDU, status pdu.Status) {
	d.b.metrics.delivered(d.b.name, status)
	_ = d.k.send(p.Respond(status))
}

// drain takes nothing more and waits for what is in hand, at most for a while.
func (d *deliveries) drain(patience time.Duration) {
	d.close()
	timer := time.AfterFunc(patience, d.cancel)
	defer timer.Stop()
	d.group.Wait()
}

// abandon lets go of what is in hand: the SMSC was not answered and sends it
// again.
func (d *deliveries) abandon() {
	d.close()
	d.cancel()
	d.group.Wait()
}

func (d *deliveries) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
}
