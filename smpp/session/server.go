package session

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"switchboard/internal/listen"
	"switchboard/smpp/pdu"
)

// Server accepts sessions.
type Server struct {
	acceptor Acceptor
	settings Settings
	listener net.Listener
	group    sync.WaitGroup
	cancel   context.CancelFunc // of accepting

	mu       sync.Mutex
	closed   bool
	sessions map[*Session]struct{}
}

// Serve accepts sessions from a listener, of TLS if need be, until Shutdown,
// which closes it.
func Serve(l net.Listener, h Acceptor, settings Settings) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	v := &Server{
		acceptor: h, settings: settings.withDefaults(), listener: l,
		cancel: cancel, sessions: map[*Session]struct{}{},
	}
	v.group.Go(func() {
		listen.Accept(ctx, l, v.settings.Logger, func(conn net.Conn) { v.start(v.session(conn)) })
	})
	return v
}

// Addr is the address that is listened on.
func (v *Server) Addr() net.Addr { return v.listener.Addr() }

// Sessions returns the sessions there are, bound or not.
func (v *Server) Sessions() []*Session {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Collect(maps.Keys(v.sessions))
}

func (v *Server) session(conn net.Conn) *Session {
	s := newSession(conn, v.acceptor, v.settings)
	s.acceptor = v.acceptor
	s.interceptor, _ = v.acceptor.(Interceptor)
	return s
}

// start runs a session. Where there are enough, the one that has not bound for
// the longest time makes room; if all have, the new one's connection is closed.
func (v *Server) start(s *Session) bool {
	v.mu.Lock()
	full := v.settings.MaxSessions > 0 && len(v.sessions) >= v.settings.MaxSessions
	var evicted *Session
	if full && !v.closed {
		evicted = v.oldestUnbound()
		defer v.warnFull(evicted)
	}
	if v.closed || full && evicted == nil {
		v.mu.Unlock()
		_ = s.conn.Close()
		return false
	}
	delete(v.sessions, evicted)
	if s.interceptor != nil {
		s.interceptor.Opened(s)
	}
	v.sessions[s] = struct{}{}
	v.group.Add(1)
	v.mu.Unlock()
	go func() {
		defer v.group.Done()
		s.run()
		v.mu.Lock()
		delete(v.sessions, s)
		v.mu.Unlock()
	}()
	return true
}

// oldestUnbound is nil when all sessions are bound; v.mu is held.
func (v *Server) oldestUnbound() (oldest *Session) {
	for s := range v.sessions {
		if !s.Peer().bound() && (oldest == nil || s.opened.Before(oldest.opened)) {
			oldest = s
		}
	}
	return oldest
}

// warnFull ends the session that made room, if one did, and logs it.
func (v *Server) warnFull(evicted *Session) {
	done := "the new one is closed"
	if evicted != nil {
		done = "the one that has not bound for the longest time is closed"
		evicted.Abort(ErrEvicted)
	}
	if others, ok := v.settings.limiter.Allow(tooMany, time.Now()); ok {
		v.settings.Logger.Warn("there are more connections than there may be: "+done, "most", v.settings.MaxSessions, "others_before", others)
	}
}

// tooMany is no system_id; it is the log's key of full servers.
const tooMany = "\x00too many"

// Outbind connects to an ESME and asks it to bind (§2.2.1, §4.1.7). The session
// is then like any that was accepted. The error is the connection's.
func (v *Server) Outbind(ctx context.Context, address, systemID, password string) (*Session, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting for outbind: %w", err)
	}
	s := v.session(conn)
	s.outbound = &pdu.Outbind{SystemID: systemID, Password: password}
	if !v.start(s) {
		return nil, fmt.Errorf("outbind to %s: %w", address, ErrShutdown)
	}
	return s, nil
}

// Shutdown accepts no more, unbinds every session, waits until they are over or
// ctx ends, and aborts those that are not. It returns when nothing runs any more.
func (v *Server) Shutdown(ctx context.Context) {
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	v.cancel()
	_ = v.listener.Close()
	var group sync.WaitGroup
	for _, s := range v.Sessions() {
		group.Go(func() {
			s.Unbind(ctx)
			select {
			case <-s.Done():
			case <-ctx.Done():
				s.Abort(ErrShutdown)
			}
		})
	}
	group.Wait()
	v.group.Wait()
}

// accept judges a bind, and binds; an error ends the session.
func (s *Session) accept(p *pdu.PDU, b *pdu.Bind) error {
	if s.Peer().bound() {
		return quiet(s.Write(p.Respond(pdu.StatusAlyBnd)))
	}
	grant := s.acceptor.Bind(s, b)
	answer := p.Respond(grant.Status)
	if grant.Status != pdu.StatusOK {
		_ = s.Write(answer)
		return ErrRefused
	}
	s.grant(b, grant.Window)
	body := answer.Body.(*pdu.BindResp)
	body.SystemID = s.settings.SystemID
	if b.InterfaceVersion >= pdu.Version34 {
		body.TLVs.Set(pdu.Byte(pdu.TagSCInterfaceVersion, s.settings.Version))
	}
	if err := s.Write(answer); err != nil {
		return quiet(err)
	}
	s.handler.Bound(s)
	return nil
}

func (s *Session) grant(b *pdu.Bind, window int) {
	s.setWindow(window)
	version := min(b.InterfaceVersion, s.settings.Version)
	s.peer.Store(&Peer{
		Bind: b.ID, SystemID: b.SystemID, SystemType: b.SystemType,
		Version: version, Parameters: version >= pdu.Version34,
		TON: b.AddressTON, NPI: b.AddressNPI, Range: b.AddressRange,
	})
}
