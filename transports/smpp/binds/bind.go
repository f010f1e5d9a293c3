package binds

import (
	"context"
	"errors"
	"net"
	"time"

	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

// bind is one bind of a manager: it connects, binds, serves, and begins again
// when the connection is lost.
type bind struct {
	*Manager
	name   string       // in logs, metrics and status events: transceiver, transmitter 2
	tx     *transmitter // nil for a receiver
	client *session.Client
}

var _ session.Handler = (*bind)(nil)

// connect makes the bind's client.
func (b *bind) connect(kind pdu.CommandID) {
	as := pdu.Bind{
		ID: kind, SystemID: b.settings.SystemID, Password: b.settings.Password.Reveal(), SystemType: b.settings.SystemType,
		InterfaceVersion: uint8(b.settings.InterfaceVersion), AddressRange: b.settings.AddressRange,
	}
	settings := b.settings.session()
	settings.Logger = b.settings.Logger.With("bind", b.name)
	settings.OnMalformed = func(_ *session.Session, e *pdu.Error) { b.settings.ProtocolError(e.Kind.String()) }
	settings.OnStray = func(_ *session.Session, p *pdu.PDU) {
		what := "answer to nothing"
		if !p.Command().IsResponse() {
			what = "unexpected " + p.Command().String()
		}
		b.settings.ProtocolError(what)
	}
	b.client = session.NewClient(as, b.settings.Window, b, settings)
	b.settings.Metrics.bound(b.name, false)
}

// run keeps the bind until ctx ends.
func (b *bind) run(ctx context.Context) {
	delay := backoff.Backoff{Min: b.settings.InitialReconnectDelay.Std(), Max: b.settings.MaxReconnectDelay.Std()}
	text := b.name + " is binding"
	for ctx.Err() == nil {
		b.settings.Status(b.without(), "binding", text)
		lasted, err := b.attempt(ctx)
		if ctx.Err() != nil {
			return
		}
		if lasted > 0 && lasted >= b.settings.StableAfter.Std() {
			delay.Reset()
		}
		wait := delay.Next()
		b.failed(err, wait)
		text = b.name + " is binding again; " + err.Error()
		backoff.Sleep(ctx, wait)
	}
}

// attempt connects, binds and serves; it says how long the bind lasted and why
// it ended.
func (b *bind) attempt(ctx context.Context) (lasted time.Duration, err error) {
	conf, err := b.settings.tlsConfig(b.address, b.wrapped)
	if err != nil {
		return 0, err
	}
	s, err := b.client.Dial(ctx, b.address, conf)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	b.serve(ctx, s)
	return time.Since(began), s.Reason()
}

// serve waits until a session is over; when ctx ends it unbinds.
func (b *bind) serve(ctx context.Context, s *session.Session) {
	select {
	case <-s.Stopping():
	case <-ctx.Done():
		b.unbind(s)
	}
	<-s.Done()
}

func (b *bind) failed(err error, wait time.Duration) {
	kind := "connection_lost"
	var refused *session.RefusedError
	var network *net.OpError
	switch {
	case errors.As(err, &refused):
		kind = "bind_refused"
		b.settings.Metrics.refused(b.name, refused.Status)
	case errors.Is(err, session.ErrBindTimeout):
		kind = "bind_timeout"
	case errors.As(err, &network) && network.Op == "dial":
		kind = "connection_refused"
	}
	b.settings.Logger.Warn("SMPP bind is down", "bind", b.name, "error", err, "again_in", wait)
	b.settings.Status(b.without(), kind, b.name+": "+err.Error(), err.Error())
}

const (
	// deliverGrace is how long deliver_sm in flight may take to reach the broker
	// when the transport stops.
	deliverGrace = 2 * time.Second
	// unbindTimeout is how long the SMSC may take to answer unbind.
	unbindTimeout = time.Second
)

// unbind unbinds. Nothing is submitted any more: the frame has seen to that.
func (b *bind) unbind(s *session.Session) {
	if b.tx != nil {
		b.Queue.detach(b.tx, s)
	}
	if d, bound := s.Tag.(*deliveries); bound {
		d.drain(deliverGrace)
	}
	b.settings.Status(message.Down, "unbinding", b.name+" is unbinding")
	ctx, cancel := context.WithTimeout(context.Background(), unbindTimeout)
	defer cancel()
	s.Unbind(ctx)
}

// Bound begins to serve a session.
func (b *bind) Bound(s *session.Session) {
	peer := s.Peer()
	s.Tag = newDeliveries(b, s)
	b.up.Add(1)
	b.settings.Metrics.bound(b.name, true)
	b.settings.Logger.Info("SMPP bind is up", "bind", b.name, "version", Version(peer.Version).String(), "address", s.RemoteAddr().String())
	if b.tx != nil {
		b.Queue.attach(b.tx, s)
	}
	b.settings.Status(b.health(), "bound", b.name+" is bound")
}

// Request takes a deliver_sm or data_sm.
func (b *bind) Request(s *session.Session, p *pdu.PDU) { s.Tag.(*deliveries).add(p) }

// Closed gives up what is in flight on a session that is over.
func (b *bind) Closed(s *session.Session, _ error) {
	d, bound := s.Tag.(*deliveries)
	if !bound {
		return
	}
	if b.tx != nil {
		b.Queue.detach(b.tx, s)
	}
	d.abandon()
	b.up.Add(-1)
	b.settings.Metrics.bound(b.name, false)
}

// acceptOutbind takes an outbind and binds as a receiver on its connection
// (§2.2.1).
func (b *bind) acceptOutbind(ctx context.Context, conn net.Conn) {
	s, err := b.client.AcceptOutbind(ctx, conn, b.expected)
	if err == nil {
		b.serve(ctx, s)
		err = s.Reason()
	}
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, session.ErrNoOutbind):
		b.settings.Logger.Warn("an outbind was refused", "from", conn.RemoteAddr().String())
	default:
		b.settings.Logger.Warn("a bind that the SMSC asked for has ended", "bind", b.name, "error", err)
		b.settings.Status(b.without(), "connection_lost", b.name+": "+err.Error(), err.Error())
	}
}
