package smppserver

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"switchboard/internal/listen"
	"switchboard/internal/tlsfiles"
	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

var _ session.Acceptor = (*engine)(nil)

// Bind grants or refuses a bind. An unknown system_id and a wrong password get the same
// answer, in the same time.
func (e *engine) Bind(s *session.Session, p *pdu.Bind) session.Grant {
	c, status, reason := e.customerOf(s, p)
	if status != pdu.StatusOK {
		e.metrics.bindsRefused.WithLabelValues(reason).Inc()
		about := reason
		if e.customers[p.SystemID] != nil {
			about = p.SystemID + ": " + reason
		}
		if others, ok := e.refusals.Allow(about, time.Now()); ok {
			e.log.Warn("a bind is refused", "peer", s.RemoteAddr().String(), "system_id", cut(p.SystemID, maxSystemID),
				"reason", reason, "others_like_it", others)
		}
		select {
		case <-time.After(e.options.RefusedBindDelay.Std()):
		case <-s.Stopping():
		}
		return session.Grant{Status: status}
	}
	b := &bind{customer: c, session: s}
	b.use()
	s.Tag = b
	return session.Grant{Window: c.DeliverWindow}
}

func (e *engine) customerOf(s *session.Session, p *pdu.Bind) (c *customer, status pdu.Status, reason string) {
	c = e.customers[p.SystemID]
	if c == nil {
		nobody := customer{}
		_ = nobody.knows(p.Password) // takes as long as for somebody
		return nil, pdu.StatusInvPaswd, "unknown system_id"
	}
	switch {
	case !c.knows(p.Password):
		return nil, pdu.StatusInvPaswd, "wrong password"
	case !c.allowsFrom(s.RemoteAddr()):
		return nil, pdu.StatusBindFail, "address not in allowed_ips"
	case !c.join():
		return nil, pdu.StatusAlyBnd, "max_binds"
	}
	return c, pdu.StatusOK, ""
}

// Bound begins to deliver what is queued.
func (e *engine) Bound(s *session.Session) {
	b := s.Tag.(*bind)
	e.metrics.binds.WithLabelValues(b.systemID, s.Peer().Bind.String()).Inc()
	e.log.Info("a customer has bound", "customer", b.systemID, "peer", s.RemoteAddr().String(), "kind", s.Peer().Bind.String())
	if s.Peer().Receives() {
		b.receive(b)
		e.pump(b.customer)
	}
}

// Closed removes the bind.
func (e *engine) Closed(s *session.Session, reason error) {
	b, granted := s.Tag.(*bind)
	if !granted {
		return
	}
	b.leave(b)
	e.pump(b.customer)
	if kind := s.Peer().Bind; kind != 0 {
		e.metrics.binds.WithLabelValues(b.systemID, kind.String()).Dec()
	}
	e.log.Info("a customer's bind is over", "customer", b.systemID, "peer", s.RemoteAddr().String(), "reason", reason)
}

// Request handles a customer's request.
func (e *engine) Request(s *session.Session, p *pdu.PDU) {
	b := s.Tag.(*bind)
	switch body := p.Body.(type) {
	case *pdu.SubmitSM, *pdu.SubmitMulti, *pdu.DataSM:
		e.submit(b, p)
	case *pdu.QuerySM:
		e.query(b, p, body)
	case *pdu.CancelSM:
		_ = s.Answer(p.Respond(pdu.StatusCancelFail)) // it has left for the fleet
	case *pdu.ReplaceSM:
		_ = s.Answer(p.Respond(pdu.StatusReplaceFail))
	default:
		_ = s.Answer(p.Respond(pdu.StatusInvCmdID))
	}
}

// listen opens the ports.
func (e *engine) listen(ctx context.Context) (list []net.Listener, err error) {
	o := e.options
	if o.SMPPPort != nil {
		l, err := listen.Open(ctx, o.address(*o.SMPPPort), "smpp_port or interface")
		if err != nil {
			return nil, message.Permanent(err)
		}
		list = append(list, l)
	}
	if o.TLSPort == nil {
		return list, nil
	}
	conf, err := tlsfiles.Files{CA: o.TLSClientCAFile, Cert: o.TLSCertFile, Key: o.TLSKeyFile}.Server()
	if err == nil {
		var l net.Listener
		if l, err = listen.Open(ctx, o.address(*o.TLSPort), "tls_port or interface"); err == nil {
			return append(list, tls.NewListener(l, conf)), nil
		}
	}
	return nil, errors.Join(message.Permanent(err), closeAll(list))
}

func closeAll(list []net.Listener) (err error) {
	for _, l := range list {
		err = errors.Join(err, l.Close())
	}
	return err
}

func (e *engine) sessionSettings() session.Settings {
	o := e.options
	return session.Settings{
		Version: pdu.Version50, SystemID: o.SystemID, BindTimeout: o.BindTimeout.Std(), ResponseTimeout: o.ResponseTimeout.Std(),
		EnquireInterval: o.EnquireLinkInterval.Std(), MaxSessions: o.MaxConnections, Logger: e.log,
		OnMalformed: func(_ *session.Session, bad *pdu.Error) {
			e.metrics.unreadable.WithLabelValues(bad.Kind.String()).Inc()
		},
	}
}
