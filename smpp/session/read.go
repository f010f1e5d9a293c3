package session

import (
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
		b.s.out.release()
		b.s.out.awaitRoom(b.s.stopping)
		n, err := b.s.conn.Read(b.buf)
		b.s.out.hold()
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

// read serves what comes until the connection ends, and says why it did.
func (s *Session) read() error {
	defer s.out.release()
	r := pdu.NewReader(&batches{s: s, buf: make([]byte, readBuffer)}, s.settings.MaxLength)
	for {
		p, err := r.Read()
		if err == nil {
			err = s.serve(p)
		} else {
			err = s.unreadable(err)
		}
		if err != nil {
			return err
		}
	}
}

// unreadable answers what could not be read; an error ends the session.
func (s *Session) unreadable(err error) error {
	var bad *pdu.Error
	switch {
	case errors.As(err, &bad):
	case errors.Is(err, io.EOF) || s.stopped():
		return ErrHungUp
	default:
		return err
	}
	if others, due := s.settings.complaints.due(s.Peer().SystemID, time.Now()); due {
		s.log.Warn("unreadable PDU; others like it are not told of for a while", "error", bad, "others_before", others)
	}
	if s.observer != nil {
		s.observer.Unreadable(s, bad)
	}
	if answer := bad.Answer(); answer != nil {
		_ = s.Write(answer)
	}
	if bad.KeepLink() {
		return nil
	}
	return bad
}

// serve takes one PDU; an error ends the session.
func (s *Session) serve(p *pdu.PDU) error {
	if s.observer != nil && s.observer.Intercept(s, p) {
		return nil
	}
	if p.Command().IsResponse() {
		s.answered(p)
		return nil
	}
	switch b := p.Body.(type) {
	case *pdu.EnquireLink:
		return quiet(s.Write(p.Respond(pdu.StatusOK)))
	case *pdu.Unbind:
		_ = s.Write(p.Respond(pdu.StatusOK))
		return ErrUnbound
	case *pdu.Bind:
		return s.bind(p, b)
	}
	s.asked.Store(s.heard.Load())
	if status := s.admit(p.Command()); status != pdu.StatusOK {
		return quiet(s.Write(p.Respond(status)))
	}
	s.unanswered.Add(1)
	s.handler.Request(s, p)
	return nil
}

// quiet is nil: that the session is closing shows when it is read from.
func quiet(error) error { return nil }

// admit says whether the peer may make a request now.
func (s *Session) admit(c pdu.CommandID) pdu.Status {
	peer := s.Peer()
	submits := c == pdu.CmdSubmitSM || c == pdu.CmdSubmitMulti || c == pdu.CmdDataSM
	switch {
	case !peer.bound(), !peer.Transmits() && !fromReceiver(c):
		return pdu.StatusInvBndSts
	case c == pdu.CmdDeliverSM, c == pdu.CmdAlertNotification, c == pdu.CmdOutbind:
		return pdu.StatusInvCmdID
	case s.limit > 0 && s.unanswered.Load() >= s.limit:
		return pdu.StatusThrottled
	case submits && s.rate != nil && !s.rate.Allow():
		return pdu.StatusThrottled
	}
	return pdu.StatusOK
}

// fromReceiver reports whether a bind_receiver session may make the request
// (§2.3, table 2-1: data_sm goes both ways, to and from every bind).
func fromReceiver(c pdu.CommandID) bool { return c == pdu.CmdDataSM }

func (s *Session) bind(p *pdu.PDU, b *pdu.Bind) error {
	if s.Peer().bound() {
		return quiet(s.Write(p.Respond(pdu.StatusAlyBnd)))
	}
	grant := s.handler.Bind(s, b)
	answer := p.Respond(grant.Status)
	if grant.Status != pdu.StatusOK {
		_ = s.Write(answer)
		return ErrRefused
	}
	s.grant(b, grant.Limits)
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

func (s *Session) grant(b *pdu.Bind, l Limits) {
	s.rate, s.limit = l.limiter(), int64(l.Unanswered)
	s.setWindow(l.Window)
	s.peer.Store(&Peer{
		Bind: b.ID, SystemID: b.SystemID, SystemType: b.SystemType,
		Version: min(b.InterfaceVersion, s.settings.Version),
		TON:     b.AddressTON, NPI: b.AddressNPI, Range: b.AddressRange,
	})
}
