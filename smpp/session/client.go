package session

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"switchboard/smpp/pdu"
)

// Client binds to SMSCs.
type Client struct {
	as       pdu.Bind
	window   int
	handler  Handler
	settings Settings
}

// NewClient makes a client. Each session of it binds as bind says, whose
// InterfaceVersion is the highest that is spoken, and has a window of so many
// requests in flight, DefaultWindow for 0.
func NewClient(bind pdu.Bind, window int, h Handler, settings Settings) *Client {
	return &Client{as: bind, window: window, handler: h, settings: settings.withDefaults()}
}

// Dial connects to an SMSC at host:port, with TLS unless conf is nil, and binds.
// Each may take Settings.BindTimeout. The errors are the connection's,
// a *RefusedError, and the reasons for which a session ends.
func (c *Client) Dial(ctx context.Context, address string, conf *tls.Config) (*Session, error) {
	dialing, cancel := context.WithTimeout(ctx, c.settings.BindTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(dialing, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	if conf != nil {
		secure := tls.Client(conn, conf)
		if err := secure.HandshakeContext(dialing); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("speaking TLS with %s: %w", address, err)
		}
		conn = secure
	}
	return c.Bind(ctx, conn)
}

// Bind binds on a connection; the session closes it.
func (c *Client) Bind(ctx context.Context, conn net.Conn) (*Session, error) {
	s := c.start(conn, nil)
	return s, c.bind(ctx, s)
}

// AcceptOutbind waits on a connection that an SMSC made for its outbind, and
// binds if expected says so (§2.2.1). It returns ErrNoOutbind otherwise.
func (c *Client) AcceptOutbind(ctx context.Context, conn net.Conn, expected func(*pdu.Outbind) bool) (*Session, error) {
	s := c.start(conn, make(chan *pdu.Outbind, 1))
	select {
	case o := <-s.outbinds:
		if expected(o) {
			return s, c.bind(ctx, s)
		}
		s.Close(ErrNoOutbind)
	case <-ctx.Done():
		s.Close(ctx.Err())
	case <-s.stopping:
	}
	<-s.done
	return nil, s.reason
}

func (c *Client) start(conn net.Conn, outbinds chan *pdu.Outbind) *Session {
	s := newSession(conn, c.handler, c.settings)
	s.outbinds = outbinds
	go s.run()
	return s
}

// bind binds, and returns when the session is bound or over.
func (c *Client) bind(ctx context.Context, s *Session) error {
	granted := make(chan struct{})
	err := s.send(&c.as, false, c.settings.BindTimeout, func(p *pdu.PDU, err error) {
		switch {
		case err != nil: // the session's end says why
		case p.Status != pdu.StatusOK:
			s.Close(&RefusedError{p.Status})
		default:
			s.boundTo(&c.as, p, c.window)
			s.handler.Bound(s)
			close(granted)
		}
	})
	if err != nil {
		s.Close(err)
	}
	select {
	case <-granted:
		return nil
	case <-ctx.Done():
		if s.peer.Load() != nil { // bound in the same moment: the caller unbinds
			<-granted
			return nil
		}
		s.Abort(ctx.Err())
	case <-s.stopping:
	}
	<-s.done
	return s.reason
}

// boundTo notes what the SMSC agreed to: the lower of its version and ours, when
// it says one (§5.3.2.25). One that says none is to be taken for one without
// optional parameters (§3.4), though many have them.
func (s *Session) boundTo(b *pdu.Bind, answer *pdu.PDU, window int) {
	peer := &Peer{Bind: b.ID, Version: b.InterfaceVersion}
	if body, is := answer.Body.(*pdu.BindResp); is {
		peer.SystemID = body.SystemID
		if theirs, said := body.TLVs.Uint(pdu.TagSCInterfaceVersion); said && theirs >= uint32(pdu.Version33) {
			peer.Version = uint8(min(theirs, uint32(b.InterfaceVersion)))
			peer.Parameters = peer.Version >= pdu.Version34
		}
	}
	s.setWindow(window)
	s.peer.Store(peer)
}
