package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"

	"switchboard/internal/coalesce"
	"switchboard/internal/protect"
	"switchboard/smpp/pdu"
)

// Peer is what was agreed upon with who is bound, or is bound to.
type Peer struct {
	Bind       pdu.CommandID // pdu.CmdBindTransmitter, CmdBindReceiver or CmdBindTransceiver
	SystemID   string        // the peer's
	SystemType string
	Version    uint8 // the lower of the peer's and ours
	Parameters bool  // the peer says that it knows optional parameters (§3.4)
	TON        pdu.TON
	NPI        pdu.NPI
	Range      string // address_range
}

// Transmits reports whether the ESME may submit.
func (p Peer) Transmits() bool { return p.Bind != 0 && p.Bind != pdu.CmdBindReceiver }

// Receives reports whether the ESME takes deliver_sm.
func (p Peer) Receives() bool { return p.Bind != 0 && p.Bind != pdu.CmdBindTransmitter }

func (p Peer) bound() bool { return p.Bind != 0 }

// Session is one connection, of either side.
type Session struct {
	// Tag is the Handler's own, for it to set in Opened, Bind or Bound.
	Tag any

	handler     Handler
	acceptor    Acceptor    // nil on a client's side
	interceptor Interceptor // nil when the handler is none
	settings    Settings
	conn        net.Conn
	out         *coalesce.Writer
	log         *slog.Logger

	requests   requests
	peer       atomic.Pointer[Peer]
	unanswered atomic.Int64

	opened   time.Time
	heard    atomic.Int64 // when anything came, in Unix nanoseconds
	enquired time.Time    // when the unanswered enquire_link was sent; of keep's goroutine alone
	frozen   atomic.Bool

	outbound *pdu.Outbind      // what a server's session began with
	outbinds chan *pdu.Outbind // where a client waits for one

	stopOnce sync.Once
	stopping chan struct{}
	done     chan struct{}
	reason   error // set before stopping is closed
}

func newSession(conn net.Conn, h Handler, settings Settings) *Session {
	s := &Session{
		handler: h, settings: settings, conn: conn,
		out:      coalesce.New(conn, settings.WriteTimeout),
		log:      settings.Logger.With("peer", conn.RemoteAddr().String()),
		requests: requests{waiting: map[uint32]*request{}},
		opened:   time.Now(),
		stopping: make(chan struct{}), done: make(chan struct{}),
	}
	if settings.LateAnswers {
		s.requests.late, _ = lru.NewLRU[uint32, *request](maxLate, nil)
	}
	s.heard.Store(s.opened.UnixNano())
	return s
}

// Peer says who is bound; the zero Peer before anybody is.
func (s *Session) Peer() Peer {
	if p := s.peer.Load(); p != nil {
		return *p
	}
	return Peer{}
}

// RemoteAddr is the peer's address.
func (s *Session) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// Stopping is closed when the session begins to end.
func (s *Session) Stopping() <-chan struct{} { return s.stopping }

// Done is closed when the session is over.
func (s *Session) Done() <-chan struct{} { return s.done }

// Reason says why the session ends; nil while it does not.
func (s *Session) Reason() error {
	if !s.stopped() {
		return nil
	}
	return s.reason
}

// Answer sends the answer to a request that Handler.Request was given.
func (s *Session) Answer(p *pdu.PDU) error {
	s.Forgo()
	return s.Write(p)
}

// Forgo says that a request will never be answered: it no longer counts as
// unanswered.
func (s *Session) Forgo() { s.unanswered.Add(-1) }

// Unanswered returns how many of the peer's requests wait for Answer or Forgo.
func (s *Session) Unanswered() int { return int(s.unanswered.Load()) }

// Write sends a PDU as it is. It does not block; the session ends when
// the peer takes nothing for too long.
func (s *Session) Write(p *pdu.PDU) error {
	if s.stopped() {
		return ErrClosed
	}
	return s.written(s.out.Append(p.AppendTo))
}

// WriteRaw sends octets that need be no PDU, for simulators and tests.
func (s *Session) WriteRaw(b []byte) error {
	if s.stopped() {
		return ErrClosed
	}
	_, err := s.out.Write(b)
	return s.written(err)
}

func (s *Session) written(err error) error {
	if err == nil && s.out.Pending() > maxPending {
		s.Abort(ErrStuck)
		err = ErrStuck
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("sending to %s: %w", s.conn.RemoteAddr(), err)
	if s.out.Err() != nil && !errors.Is(err, ErrClosed) { // the connection's, before reading sees it
		err = fmt.Errorf("%w (%w)", ErrClosed, err)
	}
	return err
}

func (s *Session) stopped() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// Unbind asks the peer to agree to the end of the session (§4.2), waits until it
// does or ctx ends, and closes the connection. No further request is made; what
// was answered before still leaves.
func (s *Session) Unbind(ctx context.Context) {
	defer s.Close(ErrShutdown)
	if !s.Peer().bound() {
		return
	}
	agree := func(*pdu.PDU, error) { s.Close(ErrShutdown) }
	if err := s.send(new(pdu.Unbind), false, s.settings.ResponseTimeout, agree); err != nil {
		return
	}
	s.requests.close()
	select {
	case <-ctx.Done():
	case <-s.stopping:
	}
}

// Abort ends the session at once; what was not yet written is lost. Over TCP the
// peer sees a reset.
func (s *Session) Abort(reason error) {
	if tcp, ok := s.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	s.lose(reason)
}

// Close ends the session without unbind, when what waits is written; the first reason counts.
func (s *Session) Close(reason error) {
	s.end(reason)
	s.out.Close(s.settings.WriteTimeout)
}

// lose ends the session at once: nothing more can be written.
func (s *Session) lose(reason error) {
	s.end(reason)
	s.out.Fail(ErrClosed)
}

func (s *Session) end(reason error) {
	s.stopOnce.Do(func() {
		s.reason = reason
		close(s.stopping)
	})
}

// run serves the session until it is over.
func (s *Session) run() {
	var group sync.WaitGroup
	group.Go(func() {
		if err := s.out.Run(); err != nil {
			s.lose(fmt.Errorf("writing: %w", err))
		}
	})
	group.Go(func() {
		if err := s.guarded(s.keep); err != nil {
			s.Close(err)
		}
	})
	if s.outbound != nil { // it has no answer
		s.requests.sequence = 1
		_ = s.Write(&pdu.PDU{Sequence: 1, Body: s.outbound})
	}
	s.Close(s.guarded(s.read))
	group.Wait()
	_ = s.guarded(s.failAll)
	_ = s.guarded(func() error {
		s.handler.Closed(s, s.reason)
		return nil
	})
	close(s.done)
}

// guarded does work of the session. A panic of its handler's is logged, and ends
// the session alone.
func (s *Session) guarded(work func() error) error {
	err := protect.Call(work)
	if panicked, is := errors.AsType[*protect.PanicError](err); is {
		s.log.Error("a session panicked and is dropped; please report this", "error", panicked, "stack", string(panicked.Stack))
	}
	return err
}
