package xmpp

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"switchboard/internal/coalesce"
)

const (
	writeTimeout = 30 * time.Second
	// closeTimeout is how long the server may take to answer the stream's end.
	closeTimeout = 2 * time.Second
	// maxPending is how many bytes may wait to be written before reading, and with it
	// answering, stops.
	maxPending = 1 << 20
)

// Session is a negotiated stream. Its methods are safe for several goroutines; done
// functions must not block.
type Session struct {
	settings  Settings
	jid       JID
	conn      net.Conn
	reader    *reader
	out       *coalesce.Writer
	in        *inbox
	managed   bool   // XEP-0198 is on
	id        string // of the managed session; "" where it cannot be resumed
	location  string
	resumed   bool
	mechanism string

	mu      sync.Mutex
	box     outbox
	asked   time.Time // when the server was asked what it has; zero while it is not
	barrier string    // id of the ping that asks, without XEP-0198
	upTo    uint64    // what its answer acknowledges
	ended   error
	iqs     map[string]*request
	spoken  time.Time    // when something was last read
	stalled atomic.Bool  // reading waits for handlers
	serial  atomic.Int64 // of iqs
}

type request struct {
	to     JID
	answer chan *Element
}

// JID is the address the session is bound to.
func (s *Session) JID() JID { return s.jid }

// Resumed says that this is an earlier session that goes on: presence and rooms are
// as they were.
func (s *Session) Resumed() bool { return s.resumed }

// Managed says that the server acknowledges stanzas (XEP-0198).
func (s *Session) Managed() bool { return s.managed }

// Mechanism is the SASL mechanism of the login; "" of a component.
func (s *Session) Mechanism() string { return s.mechanism }

// Send writes a stanza. done, where it is not nil, is called once, on another
// goroutine: with nil when the server has the stanza, ErrUnknown when that cannot be
// known, which has the server's *StreamError in it where it ended the stream with one; over a
// stanza that is too large (IsViolation) only that stanza's has it.
// When Send fails the stanza was not sent, and done is not called.
func (s *Session) Send(stanza *Element, done func(error)) error {
	raw := stanza.AppendTo(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil {
		return ErrEnded
	}
	s.box.waiting = append(s.box.waiting, pending{raw, done})
	s.write(raw)
	if s.asked.IsZero() && (done != nil || s.managed) {
		s.ask()
	}
	return nil
}

// write appends to what is written; a failed connection shows when it is read.
func (s *Session) write(raw []byte) { _, _ = s.out.Write(raw) }

// ask asks the server what it has: by <r/>, or by a ping that it answers after all
// that came before (RFC 6120 §10.1). Its answer asks again while anything is left.
func (s *Session) ask() {
	s.asked, s.upTo = time.Now(), s.box.sent()
	if s.managed {
		s.write([]byte("<r xmlns='" + nsSM + "'/>"))
		return
	}
	s.barrier = s.nextID("barrier")
	s.write(IQ(s.pingTarget(), "get", New(NSPing, "ping")).Set("id", s.barrier).Set("from", s.from()).AppendTo(nil))
}

// pingTarget is the server for a client. A component pings itself: the server
// routes that back, wherever it runs.
func (s *Session) pingTarget() string { return s.jid.Domain }

// from is what a component writes into its stanzas; a client's server does it.
func (s *Session) from() string {
	if s.settings.Secret != "" {
		return s.jid.Domain
	}
	return ""
}

// acknowledged takes the server's word that it has all up to a number.
func (s *Session) acknowledged(upTo uint64) {
	s.mu.Lock()
	covered := s.box.acknowledge(upTo)
	s.asked = time.Time{}
	if len(s.box.waiting) > 0 {
		s.ask()
	}
	s.mu.Unlock()
	settle(covered, nil)
}

// Run reads and serves until ctx ends, which closes the stream, or the stream ends,
// which is an error.
func (s *Session) Run(ctx context.Context) error {
	var group sync.WaitGroup
	over := make(chan struct{})
	group.Go(func() { _ = s.out.Run() })
	group.Go(func() { s.keepAlive(over) })
	stop := context.AfterFunc(ctx, s.close)
	err := s.read(ctx)
	stop()
	if failed := s.out.Err(); failed != nil && !isStreamError(err) {
		err = failed // why reading failed, too
	}
	s.end(err)
	close(over)
	group.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *Session) end(err error) {
	s.mu.Lock()
	s.ended = err
	iqs := s.iqs
	s.iqs = nil
	s.mu.Unlock()
	for _, r := range iqs {
		close(r.answer)
	}
	s.out.Fail(err)
}

// close ends the stream: what is handled is acknowledged first, and the rest is the
// server's to keep or to return.
func (s *Session) close() {
	s.acknowledgeManaged()
	s.write([]byte("</stream:stream>"))
	_ = s.conn.SetReadDeadline(time.Now().Add(closeTimeout))
}

func (s *Session) acknowledgeManaged() {
	if s.managed {
		s.acknowledge()
	}
}

func (s *Session) acknowledge() {
	s.write([]byte("<a xmlns='" + nsSM + "' h='" + strconv.FormatUint(uint64(s.in.count()), 10) + "'/>"))
}

// Resumption is what the next Dial needs, once Run has returned. Nil says that
// nothing can be resumed, and nothing waits.
func (s *Session) Resumption() *Resumption {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.id == "" && len(s.box.waiting) == 0 {
		return nil
	}
	r := &Resumption{id: s.id, location: s.location, jid: s.jid, out: s.box, in: s.in, reason: s.ended}
	s.box = outbox{}
	return r
}

// read reads until the stream ends.
func (s *Session) read(ctx context.Context) error {
	for {
		e, err := s.reader.next()
		if errors.Is(err, io.EOF) {
			return errClosed
		}
		if syntax, is := errors.AsType[*xml.SyntaxError](err); is && syntax.Msg == "unexpected EOF" {
			return errCut
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.spoken = time.Now()
		s.mu.Unlock()
		if err := s.take(ctx, e); err != nil {
			return err
		}
		if err := s.out.WaitRoom(ctx, maxPending); err != nil {
			return err
		}
	}
}

func (s *Session) take(ctx context.Context, e *Element) error {
	switch {
	case e.Space == nsSM && e.Name == "r":
		s.acknowledge()
	case e.Space == nsSM && e.Name == "a":
		s.takeAck(e)
	case e.Space == NSClient && e.Name == "iq":
		a := s.in.begin()
		s.takeIQ(e)
		s.in.finish(a)
	case e.Space == NSClient && (e.Name == "message" || e.Name == "presence"):
		a := s.in.begin()
		s.settings.Handle(e, sync.OnceFunc(func() { s.in.finish(a) }))
		return s.awaitRoom(ctx)
	case e.Space == nsStream && e.Name == "error":
		return streamError(e)
	}
	return nil
}

// awaitRoom waits while too much is unhandled.
func (s *Session) awaitRoom(ctx context.Context) error {
	s.stalled.Store(true)
	defer s.stalled.Store(false)
	return s.in.await(ctx, maxHandling)
}

func (s *Session) takeAck(e *Element) {
	h, err := strconv.ParseUint(e.Attr("h"), 10, 32)
	if err != nil {
		s.settings.Logger.Warn("the server's acknowledgement has no number and is not counted", "h", e.Attr("h"))
		return
	}
	s.mu.Lock()
	upTo, ahead, _ := s.box.number(uint32(h))
	s.mu.Unlock()
	if ahead {
		s.settings.Logger.Warn("the server acknowledges more stanzas than were sent", "h", h)
	}
	s.acknowledged(upTo)
}

// takeIQ answers a request, or finds the request that it answers.
func (s *Session) takeIQ(e *Element) {
	s.mu.Lock()
	isBarrier := s.barrier != "" && e.Attr("id") == s.barrier && s.isServer(e.From())
	upTo := s.upTo
	if isBarrier {
		s.barrier = ""
	}
	s.mu.Unlock()
	switch kind := e.Attr("type"); {
	case isBarrier:
		s.acknowledged(upTo)
	case kind == "result" || kind == "error":
		s.takeAnswer(e)
	case kind == "get" || kind == "set":
		s.serve(e)
	}
}

func (s *Session) serve(e *Element) {
	var reply *Element
	switch {
	case e.Attr("type") == "get" && e.Child(NSPing, "ping") != nil:
		reply = Result(e)
	case s.settings.Serve != nil:
		reply = s.settings.Serve(e)
	}
	if reply == nil {
		reply = ErrorReply(e, "cancel", "service-unavailable", "")
	}
	_ = s.Send(reply, nil) // its failure ends the session
}

// isServer says that a stanza comes from our own server or our own account.
func (s *Session) isServer(from JID) bool {
	return from.IsZero() || from == s.jid || from == s.jid.Bare() || from == JID{Domain: s.jid.Domain}
}

func (s *Session) takeAnswer(e *Element) {
	s.mu.Lock()
	r := s.iqs[e.Attr("id")]
	if r != nil && (r.to == e.From() || s.isServer(r.to) && s.isServer(e.From())) {
		delete(s.iqs, e.Attr("id"))
	} else {
		r = nil
	}
	s.mu.Unlock()
	if r != nil {
		r.answer <- e
	}
}

// IQ sends a request and returns its answer, or a *StanzaError. It must not be
// called by a function that the session waits for.
func (s *Session) IQ(ctx context.Context, iq *Element) (*Element, error) {
	id := s.nextID("q")
	r := &request{to: iq.To(), answer: make(chan *Element, 1)}
	s.mu.Lock()
	if s.ended != nil {
		s.mu.Unlock()
		return nil, ErrEnded
	}
	s.iqs[id] = r
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.iqs, id)
	}()
	if err := s.Send(iq.Set("id", id), nil); err != nil {
		return nil, err
	}
	select {
	case answer, ok := <-r.answer:
		if !ok {
			return nil, ErrEnded
		}
		if answer.Attr("type") == "error" {
			return nil, ErrorOf(answer)
		}
		return answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// nextID is an id that nobody can guess.
func (s *Session) nextID(kind string) string {
	return kind + "-" + randomHex(6) + "-" + strconv.FormatInt(s.serial.Add(1), 36)
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// keepAlive asks a silent server whether it is there, and gives up the connection
// when it does not answer: TCP alone may not notice for hours.
func (s *Session) keepAlive(over <-chan struct{}) {
	tick := time.NewTicker(min(time.Second, s.settings.PingTimeout/4))
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case now := <-tick.C:
			if s.stalled.Load() {
				continue
			}
			s.mu.Lock()
			silent := !s.asked.IsZero() && now.Sub(s.asked) > s.settings.PingTimeout && now.Sub(s.spoken) > s.settings.PingTimeout/2
			if s.asked.IsZero() && (now.Sub(s.spoken) > s.settings.PingInterval || len(s.box.waiting) > 0) {
				s.ask()
			}
			s.mu.Unlock()
			if silent {
				s.out.Fail(errSilent)
			}
		}
	}
}
