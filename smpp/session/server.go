package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"switchboard/smpp/pdu"
)

// acceptPause is waited after an accept that failed, for lack of files say.
const acceptPause = 100 * time.Millisecond

// Server accepts sessions.
type Server struct {
	handler  Handler
	settings Settings
	listener net.Listener
	group    sync.WaitGroup
	stopping chan struct{}

	mu       sync.Mutex
	closed   bool
	sessions map[*Session]struct{}
}

// Serve accepts sessions from a listener, of TLS if need be, until Shutdown,
// which closes it.
func Serve(l net.Listener, h Handler, settings Settings) *Server {
	v := &Server{
		handler: h, settings: settings.withDefaults(), listener: l,
		stopping: make(chan struct{}), sessions: map[*Session]struct{}{},
	}
	v.group.Go(v.accept)
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

func (v *Server) accept() {
	for {
		conn, err := v.listener.Accept()
		if err == nil {
			v.start(newSession(conn, v.handler, v.settings))
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		v.settings.Logger.Warn("accepting a connection", "error", err)
		select {
		case <-time.After(acceptPause):
		case <-v.stopping:
			return
		}
	}
}

// start runs a session. Where there are enough, the one that has not bound for
// the longest time makes room; if all have, the new one's connection is closed.
func (v *Server) start(s *Session) bool {
	v.mu.Lock()
	full := v.settings.MaxSessions > 0 && len(v.sessions) >= v.settings.MaxSessions
	var crowdedOut *Session
	if full && !v.closed {
		crowdedOut = v.oldestUnbound()
		defer v.tellFull(crowdedOut)
	}
	if v.closed || full && crowdedOut == nil {
		v.mu.Unlock()
		_ = s.conn.Close()
		return false
	}
	delete(v.sessions, crowdedOut)
	if s.observer != nil {
		s.observer.Opened(s)
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

// tellFull ends the session that made room, if one did, and tells of it.
func (v *Server) tellFull(crowdedOut *Session) {
	done := "the new one is closed"
	if crowdedOut != nil {
		done = "the one that has not bound for the longest time is closed"
		crowdedOut.Abort(ErrCrowdedOut)
	}
	if others, due := v.settings.complaints.due(tooMany, time.Now()); due {
		v.settings.Logger.Warn("there are more connections than there may be: "+done, "most", v.settings.MaxSessions, "others_before", others)
	}
}

// tooMany is no system_id, and what complaints of full servers go by.
const tooMany = "\x00too many"

// Outbind connects to an ESME and asks it to bind (§2.2.1, §4.1.7). The session
// is then like any that was accepted. The error is the connection's.
func (v *Server) Outbind(ctx context.Context, address, systemID, password string) (*Session, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting for outbind: %w", err)
	}
	s := newSession(conn, v.handler, v.settings)
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
	if !v.closed {
		v.closed = true
		close(v.stopping)
		_ = v.listener.Close()
	}
	sessions := slices.Collect(maps.Keys(v.sessions))
	v.mu.Unlock()
	var group sync.WaitGroup
	for _, s := range sessions {
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
