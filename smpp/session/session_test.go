package session_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"switchboard/internal/protect"
	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

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
		"hang up": {do: func(p *peer) { p.bind(pdu.CmdBindTransceiver); _ = p.conn.Close() }, want: session.ErrHungUp},
		"no bind": {settings: session.Settings{BindTimeout: short}, want: session.ErrBindTimeout},
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

// Whoever connects and does not bind keeps nobody out.
func TestWhoHasNotBoundMakesRoom(t *testing.T) {
	g := newGateway()
	var log bytes.Buffer // written before Closed, read after it
	v := g.serve(t, session.Settings{MaxSessions: 3, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	bound := dial(t, v)
	bound.bind(pdu.CmdBindTransceiver)
	first := dial(t, v)
	first.send(1, new(pdu.EnquireLink))
	first.expect(pdu.CmdEnquireLinkResp, pdu.StatusOK)
	for range 5 {
		next := dial(t, v)
		next.send(1, new(pdu.EnquireLink))
		next.expect(pdu.CmdEnquireLinkResp, pdu.StatusOK)
	}
	if _, err := first.r.Read(); err == nil {
		t.Error("the first that did not bind goes on")
	}
	dial(t, v).bind(pdu.CmdBindTransceiver)
	bound.send(2, new(pdu.EnquireLink))
	bound.expect(pdu.CmdEnquireLinkResp, pdu.StatusOK)
	for range 5 {
		if reason := take(t, g.closed); !errors.Is(reason, session.ErrEvicted) {
			t.Errorf("closed for %v", reason)
		}
	}
	if n := len(v.Sessions()); n != 3 {
		t.Errorf("there are %d sessions", n)
	}
	if n := strings.Count(log.String(), "more connections than there may be"); n != 1 {
		t.Errorf("the log tells %d times:\n%s", n, log.String())
	}
}

// clumsy is a gateway that panics at every request.
type clumsy struct{ *gateway }

func (c clumsy) Request(*session.Session, *pdu.PDU) { panic("clumsy") }

// A handler's panic ends its session, and no other.
func TestPanicEndsTheSessionAlone(t *testing.T) {
	g := newGateway()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer // written before Closed, read after it
	v := session.Serve(l, clumsy{g}, session.Settings{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	defer v.Shutdown(t.Context())
	for range 2 {
		p := dial(t, v)
		p.bind(pdu.CmdBindTransceiver)
		p.send(2, new(pdu.SubmitSM))
		var panicked *protect.PanicError
		if reason := take(t, g.closed); !errors.As(reason, &panicked) || panicked.Value != "clumsy" {
			t.Errorf("the session ended with %v", reason)
		}
	}
	if text := log.String(); !strings.Contains(text, "clumsy") || !strings.Contains(text, "session_test.go") {
		t.Errorf("the log lacks the panic or its stack: %s", text)
	}
}
