package smppserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

// handler is the engine as its servers call it.
type handler struct{ *engine }

var _ session.Acceptor = handler{}

// Bind lets customers in. To whoever guesses, a wrong name and a wrong password
// look alike.
func (h handler) Bind(s *session.Session, p *pdu.Bind) session.Grant {
	c, status, reason := h.admit(s, p)
	if status != pdu.StatusOK {
		h.metrics.refused(reason)
		h.log.Warn("a bind is refused", "peer", s.RemoteAddr().String(), "system_id", cut(p.SystemID, maxSystemID), "reason", reason)
		hold(s, h.options.RefusedBindDelay.Std())
		return session.Grant{Status: status}
	}
	b := &bind{customer: c, session: s}
	b.use()
	s.Tag = b
	return session.Grant{Limits: session.Limits{Window: c.DeliverWindow}}
}

func (h handler) admit(s *session.Session, p *pdu.Bind) (c *customer, status pdu.Status, reason string) {
	c = h.customers[p.SystemID]
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

func hold(s *session.Session, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.Stopping():
	}
}

// Bound begins to deliver what waits.
func (h handler) Bound(s *session.Session) {
	b := s.Tag.(*bind)
	h.metrics.bound(b.systemID, s.Peer().Bind, 1)
	h.log.Info("a customer has bound", "customer", b.systemID, "peer", s.RemoteAddr().String(), "kind", s.Peer().Bind.String())
	if s.Peer().Receives() {
		b.receive(b)
	}
}

// Closed forgets the bind.
func (h handler) Closed(s *session.Session, reason error) {
	b, granted := s.Tag.(*bind)
	if !granted {
		return
	}
	b.leave(b)
	if kind := s.Peer().Bind; kind != 0 {
		h.metrics.bound(b.systemID, kind, -1)
	}
	h.log.Info("a customer's bind is over", "customer", b.systemID, "peer", s.RemoteAddr().String(), "reason", reason)
}

// Request takes what a customer asks.
func (h handler) Request(s *session.Session, p *pdu.PDU) {
	b := s.Tag.(*bind)
	switch body := p.Body.(type) {
	case *pdu.SubmitSM, *pdu.SubmitMulti, *pdu.DataSM:
		h.submit(b, p)
	case *pdu.QuerySM:
		h.query(b, p, body)
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
	defer func() {
		if err != nil {
			for _, l := range list {
				_ = l.Close()
			}
		}
	}()
	if port := e.options.SMPPPort; port != nil {
		l, err := open(ctx, e.options.address(*port), "smpp_port")
		if err != nil {
			return list, err
		}
		list = append(list, l)
	}
	if port := e.options.TLSPort; port != nil {
		conf, err := e.options.tlsConfig()
		if err != nil {
			return list, message.Permanent(err)
		}
		l, err := open(ctx, e.options.address(*port), "tls_port")
		if err != nil {
			return list, err
		}
		list = append(list, tls.NewListener(l, conf))
	}
	return list, nil
}

func open(ctx context.Context, address, option string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, message.Permanent(fmt.Errorf(
			"listening on %s: the port is in use; stop the program that has it, or set %s to another one", address, option))
	case err != nil:
		return nil, message.Permanent(fmt.Errorf(
			"listening on %s: %w; set %s and interface to what this user may listen on", address, err, option))
	}
	return l, nil
}

func (o *Options) tlsConfig() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(o.TLSCertFile, o.TLSKeyFile)
	if err != nil {
		return nil, fmt.Errorf("reading tls_cert_file and tls_key_file: %w", err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if o.TLSClientCAFile == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(o.TLSClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("reading tls_client_ca_file: %w", err)
	}
	conf.ClientAuth, conf.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	if !conf.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading tls_client_ca_file: %s has no certificate in PEM", o.TLSClientCAFile)
	}
	return conf, nil
}

func (e *engine) sessionSettings() session.Settings {
	o := e.options
	return session.Settings{
		Version: pdu.Version50, SystemID: o.SystemID, BindTimeout: o.BindTimeout.Std(), ResponseTimeout: o.ResponseTimeout.Std(),
		EnquireInterval: o.EnquireLinkInterval.Std(), MaxSessions: o.MaxConnections, Logger: e.log,
		OnMalformed: func(_ *session.Session, bad *pdu.Error) { e.metrics.spoilt(bad.Kind) },
	}
}
