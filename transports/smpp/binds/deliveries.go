package binds

import (
	"context"
	"time"

	"switchboard/internal/inflight"
	"switchboard/internal/lanes"
	"switchboard/message"
	"switchboard/smpp"
	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

// deliveries are the deliver_sm of one session that are in flight: in parallel,
// those from one person one after the other.
type deliveries struct {
	b      *bind
	s      *session.Session
	ctx    context.Context
	cancel context.CancelFunc
	lanes  lanes.Lanes[string] // by source address

	inFlight inflight.Group
}

func newDeliveries(b *bind, s *session.Session) *deliveries {
	d := &deliveries{b: b, s: s}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// add takes a deliver_sm, or asks the SMSC to send it again later.
func (d *deliveries) add(p *pdu.PDU) {
	if d.s.Unanswered() > d.b.settings.DeliverWindow || !d.inFlight.Begin() {
		d.answer(p, pdu.StatusRxTAppn)
		return
	}
	m := smpp.MessageOf(p.Body)
	deliver := d.b.settings.Deliver(p, m)
	d.lanes.Go(m.Source.Addr, func() {
		defer d.inFlight.Done()
		d.answer(p, d.status(deliver(d.ctx)))
	})
}

// status is what the SMSC is told: that it is rid of the message, to send it
// again, or never to.
func (d *deliveries) status(err error) pdu.Status {
	switch {
	case err == nil:
		return pdu.StatusOK
	case message.IsPermanent(err):
		d.b.settings.Logger.Error("a message from the SMSC is rejected for good", "bind", d.b.name, "error", err)
		return pdu.StatusRxPAppn
	case d.ctx.Err() == nil:
		d.b.settings.Logger.Warn("a message from the SMSC could not be taken; it is to come again", "bind", d.b.name, "error", err)
	}
	return pdu.StatusRxTAppn
}

func (d *deliveries) answer(p *pdu.PDU, status pdu.Status) {
	d.b.settings.Metrics.delivered(d.b.name, status)
	_ = d.s.Answer(p.Respond(status))
}

// drain takes nothing more and waits for what is in flight, at most for a while.
func (d *deliveries) drain(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if d.inFlight.Wait(ctx) != nil {
		d.abandon()
	}
}

// abandon gives up what is in flight: the SMSC was not answered and sends it
// again.
func (d *deliveries) abandon() {
	d.inFlight.Close()
	d.cancel()
	_ = d.inFlight.Wait(context.Background())
}
