package session_test

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// gateway is a Handler that hands everything to the test.
type gateway struct {
	window   int
	bound    chan *session.Session
	requests chan *pdu.PDU
	closed   chan error
}

func newGateway() *gateway {
	return &gateway{bound: make(chan *session.Session, 10), requests: make(chan *pdu.PDU, 100), closed: make(chan error, 10)}
}

func (g *gateway) Bind(_ *session.Session, b *pdu.Bind) session.Grant {
	if b.Password != "secret" {
		return session.Grant{Status: pdu.StatusInvPaswd}
	}
	return session.Grant{Window: g.window}
}
func (g *gateway) Bound(s *session.Session)                { g.bound <- s }
func (g *gateway) Request(_ *session.Session, p *pdu.PDU)  { g.requests <- p }
func (g *gateway) Closed(_ *session.Session, reason error) { g.closed <- reason }
func (g *gateway) serve(t *testing.T, settings session.Settings) *session.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := session.Serve(l, g, settings)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		v.Shutdown(ctx)
	})
	return v
}

type peer struct {
	t    *testing.T
	conn net.Conn
	r    *pdu.Reader
}

func dial(t *testing.T, v *session.Server) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", v.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, conn)
}

func newPeer(t *testing.T, conn net.Conn) *peer {
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &peer{t, conn, pdu.NewReader(conn, 0)}
}

func (p *peer) send(sequence uint32, body pdu.Body) {
	p.t.Helper()
	if _, err := (&pdu.PDU{Sequence: sequence, Body: body}).WriteTo(p.conn); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) next() *pdu.PDU {
	p.t.Helper()
	got, err := p.r.Read()
	if err != nil {
		p.t.Fatal(err)
	}
	return got
}

// expect reads a PDU, which must be the command with the status.
func (p *peer) expect(c pdu.CommandID, status pdu.Status) *pdu.PDU {
	p.t.Helper()
	got := p.next()
	if got.Command() != c || got.Status != status {
		p.t.Fatalf("got %s %s, want %s %s", got, got.Status, c, status)
	}
	return got
}

func (p *peer) bind(kind pdu.CommandID) {
	p.t.Helper()
	p.send(1, bind(kind, "secret"))
	p.expect(kind.Response(), pdu.StatusOK)
}

func bind(kind pdu.CommandID, password string) *pdu.Bind {
	return &pdu.Bind{ID: kind, SystemID: "esme", Password: password, InterfaceVersion: pdu.Version34}
}

func take[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	return v
}
