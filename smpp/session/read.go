package session

import (
	"context"
	"errors"
	"io"
	"time"

	"switchboard/smpp/pdu"
)

// batches reads from the connection, and lets the answers to all that came at
// once leave together: they are written when more would have to be waited for.
type batches struct {
	s    *Session
	buf  []byte
	r, w int
}

func (b *batches) Read(p []byte) (int, error) {
	if b.r == b.w {
		b.s.out.Release()
		_ = b.s.out.WaitRoom(context.Background(), highWater) // or until the session stops
		n, err := b.s.conn.Read(b.buf)
		b.s.out.Hold()
		if n == 0 {
			return 0, err
		}
		b.s.heard.Store(time.Now().UnixNano())
		b.r, b.w = 0, n
	}
	n := copy(p, b.buf[b.r:b.w])
	b.r += n
	return n, nil
}

// read serves what comes until the connection ends, and says why it did. After
// the peer's unbind the answers to our requests get a moment.
func (s *Session) read() error {
	defer s.out.Release()
	r := pdu.NewReader(&batches{s: s, buf: make([]byte, readBuffer)}, 0)
	var unbind *pdu.PDU
	for {
		p, err := r.Read()
		switch {
		case err != nil:
			err = s.unreadable(err)
		case p.Command() == pdu.CmdUnbind && !s.intercepted(p) && unbind == nil:
			unbind = p
			s.requests.close()
			grace := answerGrace
			if s.acceptor == nil {
				grace = min(submitGrace, s.settings.ResponseTimeout)
			}
			defer time.AfterFunc(grace, func() { s.agree(unbind) }).Stop()
		case p.Command() != pdu.CmdUnbind:
			err = s.serve(p)
		}
		switch {
		case err != nil && unbind != nil:
			return ErrUnbound
		case err != nil:
			return err
		case unbind != nil && s.InFlight() == 0:
			s.agree(unbind)
			return ErrUnbound
		}
	}
}

// agree answers the peer's unbind, and ends the session.
func (s *Session) agree(unbind *pdu.PDU) {
	_ = s.Write(unbind.Respond(pdu.StatusOK))
	s.Close(ErrUnbound)
}

func (s *Session) intercepted(p *pdu.PDU) bool {
	return s.interceptor != nil && s.interceptor.Intercept(s, p)
}

// unreadable answers what could not be read; an error ends the session. Of an
// answer the header is enough to know what became of the request.
func (s *Session) unreadable(err error) error {
	var bad *pdu.Error
	if !errors.As(err, &bad) {
		if errors.Is(err, io.EOF) || s.stopped() {
			err = ErrHungUp
		}
		s.lose(err)
		return err
	}
	s.settings.OnMalformed(s, bad)
	s.warn("an unreadable PDU", "error", bad, "link_kept", bad.KeepLink())
	if h := bad.Header; h.Command.IsResponse() && bad.KeepLink() {
		s.answered(&pdu.PDU{Status: h.Status, Sequence: h.Sequence, Body: &pdu.Raw{ID: h.Command}})
	}
	if answer := bad.Answer(); answer != nil {
		_ = s.Write(answer)
	}
	if bad.KeepLink() {
		return nil
	}
	return bad
}

// warn logs what the peer should not have sent. All peers that are not bound are
// one.
func (s *Session) warn(what string, details ...any) {
	if others, ok := s.settings.limiter.Allow(s.Peer().SystemID+"\x00"+what, time.Now()); ok {
		s.log.Warn("the peer sent what it should not have: "+what+"; others like it are only counted for a while",
			append(details, "others_before", others)...)
	}
}

// stray is a PDU that has no place here.
func (s *Session) stray(what string, p *pdu.PDU) {
	s.settings.OnStray(s, p)
	s.warn(what, "pdu", p.String())
}

// serve takes one PDU; an error ends the session.
func (s *Session) serve(p *pdu.PDU) error {
	if s.intercepted(p) {
		return nil
	}
	if p.Command().IsResponse() {
		s.answered(p)
		return nil
	}
	switch b := p.Body.(type) {
	case *pdu.EnquireLink:
		return quiet(s.Write(p.Respond(pdu.StatusOK)))
	case *pdu.Bind:
		if s.acceptor != nil {
			return s.accept(p, b)
		}
	}
	if s.acceptor == nil {
		s.serveClient(p)
		return nil
	}
	if status := s.admit(p.Command()); status != pdu.StatusOK {
		return quiet(s.Write(p.Respond(status)))
	}
	s.unanswered.Add(1)
	s.handler.Request(s, p)
	return nil
}

// quiet is nil: that the session is closing shows when it is read from.
func quiet(error) error { return nil }

// serveClient takes what an SMSC asks of us.
func (s *Session) serveClient(p *pdu.PDU) {
	switch b := p.Body.(type) {
	case *pdu.AlertNotification:
	case *pdu.Outbind:
		select {
		case s.outbinds <- b:
		default:
		}
	case *pdu.DeliverSM, *pdu.DataSM:
		if !s.Peer().bound() { // too early; it comes again
			_ = s.Write(p.Respond(pdu.StatusRxTAppn))
			return
		}
		s.unanswered.Add(1)
		s.handler.Request(s, p)
	default:
		s.stray("a request that is no SMSC's", p)
		_ = s.Write(&pdu.PDU{Status: pdu.StatusInvCmdID, Sequence: p.Sequence, Body: new(pdu.GenericNack)})
	}
}

// admit says whether an ESME may make a request now.
func (s *Session) admit(c pdu.CommandID) pdu.Status {
	peer := s.Peer()
	switch {
	case !peer.bound(), !peer.Transmits() && c != pdu.CmdDataSM: // §2.3, table 2-1: data_sm goes both ways
		return pdu.StatusInvBndSts
	case c == pdu.CmdDeliverSM, c == pdu.CmdAlertNotification, c == pdu.CmdOutbind:
		return pdu.StatusInvCmdID
	}
	return pdu.StatusOK
}
