package session_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchboard/transports/smpp/pdu"
	"switchboard/transports/smpp/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// gateway is a Handler that hands everything to the test.
type gateway struct {
	limits   session.Limits
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
	return session.Grant{Limits: g.limits}
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

func TestWhatTheServerAnswersItself(t *testing.T) {
	v := newGateway().serve(t, session.Settings{SystemID: "gateway"})
	p := dial(t, v)
	p.send(1, new(pdu.SubmitSM))
	p.expect(pdu.CmdSubmitSMResp, pdu.StatusInvBndSts)
	p.bind(pdu.CmdBindReceiver)
	p.send(2, bind(pdu.CmdBindTransmitter, "secret"))
	p.expect(pdu.CmdBindTransmitterResp, pdu.StatusAlyBnd)
	p.send(3, new(pdu.SubmitSM))
	p.expect(pdu.CmdSubmitSMResp, pdu.StatusInvBndSts)
	p.send(4, new(pdu.EnquireLink))
	p.expect(pdu.CmdEnquireLinkResp, pdu.StatusOK)
	p.send(5, &pdu.Raw{ID: 0x999})
	if got := p.expect(pdu.CmdGenericNack, pdu.StatusInvCmdID); got.Sequence != 5 {
		t.Errorf("generic_nack of sequence %d, want 5", got.Sequence)
	}
	p.send(6, new(pdu.SubmitSMResp)) // nobody waits for it
	p.send(7, &pdu.DeliverSM{})
	p.expect(pdu.CmdDeliverSMResp, pdu.StatusInvBndSts)
}

func TestVersionIsNegotiated(t *testing.T) {
	g := newGateway()
	v := g.serve(t, session.Settings{Version: pdu.Version50})
	for _, c := range []struct {
		asked, got uint8
		told       bool
	}{{0x33, 0x33, false}, {0x34, 0x34, true}, {0x50, 0x50, true}, {0x51, 0x50, true}} {
		p := dial(t, v)
		b := bind(pdu.CmdBindTransceiver, "secret")
		b.InterfaceVersion = c.asked
		p.send(1, b)
		answer := p.expect(pdu.CmdBindTransceiverResp, pdu.StatusOK)
		_, told := answer.Body.(*pdu.BindResp).TLVs.Uint(pdu.TagSCInterfaceVersion)
		if got := take(t, g.bound).Peer().Version; got != c.got || told != c.told {
			t.Errorf("%x: speaks %x, told %v; want %x, %v", c.asked, got, told, c.got, c.told)
		}
	}
}

func TestRefusedBindIsTheEnd(t *testing.T) {
	g := newGateway()
	p := dial(t, g.serve(t, session.Settings{}))
	p.send(1, bind(pdu.CmdBindTransceiver, "wrong"))
	p.expect(pdu.CmdBindTransceiverResp, pdu.StatusInvPaswd)
	if _, err := p.r.Read(); !errors.Is(err, io.EOF) {
		t.Errorf("the connection goes on: %v", err)
	}
	if reason := take(t, g.closed); !errors.Is(reason, session.ErrRefused) {
		t.Errorf("closed for %v", reason)
	}
}

func TestReasonsToEnd(t *testing.T) {
	short := 30 * time.Millisecond
	for name, c := range map[string]struct {
		settings session.Settings
		do       func(p *peer)
		want     error
	}{
		"unbind": {do: func(p *peer) {
			p.bind(pdu.CmdBindTransceiver)
			p.send(2, new(pdu.Unbind))
			p.expect(pdu.CmdUnbindResp, pdu.StatusOK)
		}, want: session.ErrUnbound},
		"hang up":  {do: func(p *peer) { p.bind(pdu.CmdBindTransceiver); _ = p.conn.Close() }, want: session.ErrHungUp},
		"no bind":  {settings: session.Settings{BindTimeout: short}, want: session.ErrBindTimeout},
		"inactive": {settings: session.Settings{Inactivity: short}, do: func(p *peer) { p.bind(pdu.CmdBindTransceiver) }, want: session.ErrInactive},
		"silent": {settings: session.Settings{EnquireInterval: short, ResponseTimeout: short}, do: func(p *peer) {
			p.bind(pdu.CmdBindTransceiver)
			p.expect(pdu.CmdEnquireLink, pdu.StatusOK)
		}, want: session.ErrSilent},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway()
			p := dial(t, g.serve(t, c.settings))
			if c.do != nil {
				c.do(p)
			}
			if reason := take(t, g.closed); !errors.Is(reason, c.want) {
				t.Errorf("closed for %v, want %v", reason, c.want)
			}
		})
	}
}

func TestAnsweredEnquiriesKeepTheSession(t *testing.T) {
	g := newGateway()
	p := dial(t, g.serve(t, session.Settings{EnquireInterval: 10 * time.Millisecond, ResponseTimeout: time.Second}))
	p.bind(pdu.CmdBindTransceiver)
	for range 5 {
		q := p.expect(pdu.CmdEnquireLink, pdu.StatusOK)
		p.send(q.Sequence, new(pdu.EnquireLinkResp))
	}
	if len(g.closed) != 0 {
		t.Errorf("closed: %v", <-g.closed)
	}
}

func TestGarbageEndsTheSession(t *testing.T) {
	g := newGateway()
	p := dial(t, g.serve(t, session.Settings{}))
	p.bind(pdu.CmdBindTransceiver)
	_, _ = p.conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	p.expect(pdu.CmdGenericNack, pdu.StatusInvCmdLen)
	var bad *pdu.Error
	if reason := take(t, g.closed); !errors.As(reason, &bad) {
		t.Errorf("closed for %v", reason)
	}
}

func TestWindow(t *testing.T) {
	g := newGateway()
	g.limits.Window = 2
	p := dial(t, g.serve(t, session.Settings{}))
	p.bind(pdu.CmdBindTransceiver)
	s := take(t, g.bound)
	answers := make(chan string, 3)
	try := func(text string) error {
		return s.TryGo(&pdu.DeliverSM{Message: pdu.Message{ShortMessage: []byte(text)}}, func(q *pdu.PDU, err error) {
			if err == nil {
				answers <- text
			}
		})
	}
	for _, text := range []string{"a", "b"} {
		if err := try(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := try("c"); !errors.Is(err, session.ErrWindowFull) {
		t.Fatalf("a third one of two: %v", err)
	}
	first, second := p.next(), p.next()
	p.send(first.Sequence, new(pdu.SubmitSMResp)) // the wrong command answers nothing
	p.send(second.Sequence, new(pdu.DeliverSMResp))
	p.send(first.Sequence, new(pdu.DeliverSMResp))
	if a, b := take(t, answers), take(t, answers); a != "b" || b != "a" {
		t.Errorf("answered %s and %s, want b and a", a, b)
	}
	if err := try("c"); err != nil || s.InFlight() != 1 {
		t.Errorf("with room: %v, %d in flight", err, s.InFlight())
	}
}

func TestUnansweredRequests(t *testing.T) {
	g := newGateway()
	p := dial(t, g.serve(t, session.Settings{ResponseTimeout: 30 * time.Millisecond}))
	p.bind(pdu.CmdBindTransceiver)
	s := take(t, g.bound)
	if _, err := s.Do(t.Context(), new(pdu.DeliverSM)); !errors.Is(err, session.ErrTimeout) {
		t.Errorf("got %v, want a time-out", err)
	}
	failed := make(chan error, 1)
	if err := s.Go(t.Context(), new(pdu.DeliverSM), func(_ *pdu.PDU, err error) { failed <- err }); err != nil {
		t.Fatal(err)
	}
	s.Close(nil)
	if err := take(t, failed); !errors.Is(err, session.ErrClosed) {
		t.Errorf("got %v, want that it is closed", err)
	}
	<-s.Done()
	if err := s.TryGo(new(pdu.DeliverSM), nil); err == nil {
		t.Error("a closed session takes requests")
	}
}

func TestWhatCannotBeEncodedFailsAlone(t *testing.T) {
	g := newGateway()
	g.limits.Window = 1
	p := dial(t, g.serve(t, session.Settings{}))
	p.bind(pdu.CmdBindTransceiver)
	s := take(t, g.bound)
	bad := &pdu.DeliverSM{Message: pdu.Message{ShortMessage: make([]byte, 300)}}
	if err := s.TryGo(bad, nil); err == nil || errors.Is(err, session.ErrWindowFull) {
		t.Fatalf("got %v", err)
	}
	if err := s.TryGo(new(pdu.DeliverSM), func(*pdu.PDU, error) {}); err != nil {
		t.Errorf("the next one: %v", err)
	}
	p.expect(pdu.CmdDeliverSM, pdu.StatusOK)
}

func TestLimits(t *testing.T) {
	g := newGateway()
	g.limits = session.Limits{Unanswered: 2, TPS: 0.001, Burst: 3}
	p := dial(t, g.serve(t, session.Settings{}))
	p.bind(pdu.CmdBindTransceiver)
	s := take(t, g.bound)
	for i := range uint32(3) {
		p.send(10+i, new(pdu.SubmitSM))
	}
	if got := p.expect(pdu.CmdSubmitSMResp, pdu.StatusThrottled); got.Sequence != 12 {
		t.Errorf("%s was throttled, want the third", got)
	}
	for range 2 {
		if err := s.Answer(take(t, g.requests).Respond(pdu.StatusOK)); err != nil {
			t.Fatal(err)
		}
		p.expect(pdu.CmdSubmitSMResp, pdu.StatusOK)
	}
	p.send(20, new(pdu.SubmitSM)) // the last of the burst
	take(t, g.requests)
	p.send(21, new(pdu.SubmitSM))
	p.expect(pdu.CmdSubmitSMResp, pdu.StatusThrottled)
}

func TestOutbind(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	g := newGateway()
	v := g.serve(t, session.Settings{})
	if _, err := v.Outbind(t.Context(), l.Addr().String(), "gateway", "pw"); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, conn)
	if got := p.next().Body.(*pdu.Outbind); got.SystemID != "gateway" {
		t.Errorf("got %v", got)
	}
	p.bind(pdu.CmdBindReceiver)
}

func TestShutdownUnbinds(t *testing.T) {
	g := newGateway()
	v := g.serve(t, session.Settings{})
	p := dial(t, v)
	p.bind(pdu.CmdBindTransceiver)
	p.send(2, new(pdu.SubmitSM))
	s := take(t, g.bound)
	request := take(t, g.requests)
	over := make(chan struct{})
	go func() { v.Shutdown(context.Background()); close(over) }()
	unbind := p.expect(pdu.CmdUnbind, pdu.StatusOK)
	if err := s.Answer(request.Respond(pdu.StatusOK)); err != nil {
		t.Fatal(err)
	}
	p.expect(pdu.CmdSubmitSMResp, pdu.StatusOK) // what was taken is still answered
	p.send(unbind.Sequence, new(pdu.UnbindResp))
	take(t, over)
}

func TestPeerThatReadsNothingIsDropped(t *testing.T) {
	g := newGateway()
	p := dial(t, g.serve(t, session.Settings{WriteTimeout: 50 * time.Millisecond}))
	p.bind(pdu.CmdBindTransceiver)
	s := take(t, g.bound)
	big := make([]byte, 1<<20)
	for s.WriteRaw(big) == nil {
	}
	if reason := take(t, g.closed); reason == nil {
		t.Error("closed for nothing")
	}
}

func TestSessionsAreLimited(t *testing.T) {
	v := newGateway().serve(t, session.Settings{MaxSessions: 1})
	dial(t, v).bind(pdu.CmdBindTransceiver)
	if _, err := dial(t, v).r.Read(); err == nil {
		t.Error("a second session is served")
	}
}
