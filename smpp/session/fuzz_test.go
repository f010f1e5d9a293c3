package session_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

// echo grants every bind, and answers every request.
type echo struct{}

func (echo) Bind(*session.Session, *pdu.Bind) session.Grant { return session.Grant{} }
func (echo) Bound(*session.Session)                         {}
func (echo) Closed(*session.Session, error)                 {}
func (echo) Request(s *session.Session, p *pdu.PDU)         { _ = s.Answer(p.Respond(pdu.StatusOK)) }

// Whatever comes, the session ends when the peer is done, and nothing breaks.
func FuzzSession(f *testing.F) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	v := session.Serve(l, echo{}, session.Settings{})
	f.Cleanup(func() { v.Shutdown(context.Background()) })
	encode := func(list ...pdu.Body) (b []byte) {
		for i, body := range list {
			b, _ = (&pdu.PDU{Sequence: uint32(i + 1), Body: body}).AppendTo(b)
		}
		return b
	}
	f.Add(encode(bind(pdu.CmdBindTransceiver, ""), new(pdu.SubmitSM), new(pdu.EnquireLink), new(pdu.Unbind)))
	f.Add(encode(new(pdu.SubmitSM), new(pdu.DeliverSMResp), &pdu.Raw{ID: 0x999}))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = conn.Write(b)
		_ = conn.(*net.TCPConn).CloseWrite()
		if _, err := io.Copy(io.Discard, conn); err != nil {
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Fatal("the session does not end")
			}
		}
	})
}
