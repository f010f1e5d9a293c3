package smpp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
)

// binder keeps one bind: it connects, binds, serves, and begins again when the
// connection is lost.
type binder struct {
	*engine
	name    string // in logs, metrics and status events: transceiver, transmitter 2
	command pdu.CommandID
	lane    *lane // nil for a receiver

	mu       sync.Mutex
	late     map[uint32]*ticket   // unanswered in time, on the present link
	oddities map[string]time.Time // when the log last told of each kind
	delay    time.Duration
}

// keep keeps the bind until ctx ends.
func (b *binder) keep(ctx context.Context) {
	b.delay = b.options.InitialReconnectDelay.Std()
	for ctx.Err() == nil {
		b.tell(b.without(), "binding", b.name+" is binding")
		var lasted time.Duration
		err := b.guard("binding "+b.name, func() (err error) {
			lasted, err = b.attempt(ctx)
			return err
		})
		if ctx.Err() != nil {
			return
		}
		if lasted > 0 && lasted >= b.options.StableAfter.Std() {
			b.delay = b.options.InitialReconnectDelay.Std()
		}
		wait := b.delay/2 + rand.N(b.delay/2+1)
		b.complain(err, wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		b.delay = min(2*b.delay, b.options.MaxReconnectDelay.Std())
	}
}

func (b *binder) complain(err error, wait time.Duration) {
	kind := "connection_lost"
	var refused refusedError
	var network *net.OpError
	switch {
	case errors.As(err, &refused):
		kind = "bind_refused"
		b.metrics.refused(b.name, refused.status)
	case errors.Is(err, errSilent):
		kind = "bind_timeout"
	case errors.As(err, &network) && network.Op == "dial":
		kind = "connection_refused"
	}
	b.logger.Warn("SMPP bind is down", "bind", b.name, "error", err, "again_in", wait)
	b.tell(b.without(), kind, b.name+": "+err.Error(), err.Error())
}

// attempt connects, binds and serves; it says how long the bind lasted and why
// it ended.
func (b *binder) attempt(ctx context.Context) (lasted time.Duration, err error) {
	k, err := b.dial(ctx)
	if err != nil {
		return 0, err
	}
	return b.session(ctx, k, b.command)
}

// session binds on a connection and serves it.
func (b *binder) session(ctx context.Context, k *link, command pdu.CommandID) (lasted time.Duration, err error) {
	defer k.end(errStopped)
	stop := context.AfterFunc(ctx, func() { _ = k.conn.SetDeadline(time.Now()) })
	agreed, err := b.bind(k, command)
	if !stop() || ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if err != nil {
		return 0, err
	}
	if b.lane != nil {
		b.gate.agree(b.lane, agreed)
	}
	began := time.Now()
	b.logger.Info("SMPP bind is up", "bind", b.name, "version", agreed.version.String(), "address", k.conn.RemoteAddr().String())
	b.up.Add(1)
	defer b.up.Add(-1)
	b.metrics.bound(b.name, true)
	defer b.metrics.bound(b.name, false)
	b.tell(b.health(), "bound", b.name+" is bound")
	b.serve(ctx, k)
	return time.Since(began), k.cause
}

// serve works a bound link until it ends, or ctx does and the link is unbound.
func (b *binder) serve(ctx context.Context, k *link) {
	b.mu.Lock()
	b.late = map[uint32]*ticket{}
	b.mu.Unlock()
	d := newDeliveries(b, k)
	var group sync.WaitGroup
	group.Go(b.guarded(k, "writing to", k.write))
	group.Go(b.guarded(k, "reading from", func() {
		k.read(func(p *pdu.PDU) { b.take(k, d, p) }, func(bad *pdu.Error) { b.spoilt(bad) })
	}))
	group.Go(b.guarded(k, "tending", func() { b.tend(k) }))
	if b.lane != nil {
		b.gate.attach(b.lane, k)
	}
	select {
	case <-k.ended:
	case <-ctx.Done():
		b.leave(k, d)
	}
	if b.lane != nil {
		b.gate.detach(b.lane, k, fmt.Sprintf("the connection was lost before submit_sm was answered: %v", k.cause))
	}
	d.abandon()
	group.Wait()
}

const (
	// deliverGrace is how long deliver_sm in hand may take to reach the broker
	// when the transport stops.
	deliverGrace = 2 * time.Second
	// unbindTimeout is how long the SMSC may take to answer unbind.
	unbindTimeout = time.Second
)

// leave unbinds. Nothing is submitted any more: the frame has seen to that.
func (b *binder) leave(k *link, d *deliveries) {
	if b.lane != nil {
		b.gate.detach(b.lane, k, "the transport stops")
	}
	d.drain(deliverGrace)
	b.tell(message.Down, "unbinding", b.name+" is unbinding")
	if k.send(&pdu.PDU{Sequence: k.sequence(), Body: new(pdu.Unbind)}) == nil {
		select {
		case <-k.ended:
		case <-time.After(unbindTimeout):
		}
	}
	k.end(errStopped)
}

// tend asks the SMSC whether it is there, and sees which submits are overdue.
func (b *binder) tend(k *link) {
	interval := b.options.EnquireLinkInterval.Std()
	timeout := b.options.SubmitTimeout.Std()
	tick := time.NewTicker(tendEvery(interval, timeout))
	defer tick.Stop()
	asked := time.Now()
	for {
		select {
		case <-k.ended:
			return
		case <-tick.C:
		}
		if b.lane != nil {
			b.overdue(timeout)
			b.endSpent(k)
		}
		if interval == 0 {
			continue
		}
		if k.silence() >= 2*interval {
			k.end(fmt.Errorf("the SMSC was silent for %s, and did not answer enquire_link", 2*interval))
			return
		}
		if time.Since(asked) >= interval {
			asked = time.Now()
			_ = k.send(&pdu.PDU{Sequence: k.sequence(), Body: new(pdu.EnquireLink)})
		}
	}
}

// tendEvery is fine enough for both times, and no finer.
func tendEvery(interval, timeout time.Duration) time.Duration {
	every := timeout / 10
	if interval > 0 {
		every = min(every, interval/4)
	}
	return min(max(every, 5*time.Millisecond), time.Second)
}

// maxLate is how many unanswered submits of a link are remembered for a late
// answer.
const maxLate = 10_000

func (b *binder) overdue(timeout time.Duration) {
	if n := b.gate.overdue(b.lane, timeout); n > 0 {
		b.logger.Warn("the SMSC did not answer submit_sm", "bind", b.name, "submits", n, "submit_timeout", timeout)
	}
}

var errNotBound = errors.New("the SMSC says, by ESME_RINVBNDSTS, that the bind is lost")

// endSpent ends a link through which nothing more is submitted, to bind anew.
func (b *binder) endSpent(k *link) {
	if b.gate.spent(b.lane) {
		k.end(errNotBound)
	}
}

func (b *binder) keepLate(sequence uint32, t *ticket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.late) >= maxLate {
		clear(b.late)
	}
	b.late[sequence] = t
}

func (b *binder) takeLate(sequence uint32, to answerTo) *ticket {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.late[sequence]
	if t == nil || !to.fits(t) {
		return nil
	}
	delete(b.late, sequence)
	return t
}
