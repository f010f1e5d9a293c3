package session_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

// smsc listens, and gives the test the connection of each client.
func smsc(t *testing.T) (net.Listener, func() *peer) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, func() *peer {
		t.Helper()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return newPeer(t, conn)
	}
}

func client(g *gateway, settings session.Settings) *session.Client {
	return session.NewClient(*bind(pdu.CmdBindTransceiver, "secret"), 2, g, settings)
}

// bound dials, and lets the SMSC grant the bind.
func bound(t *testing.T, g *gateway, settings session.Settings, says ...pdu.TLV) (*session.Session, *peer) {
	t.Helper()
	l, accept := smsc(t)
	dialled := make(chan *session.Session, 1)
	go func() {
		s, err := client(g, settings).Dial(context.Background(), l.Addr().String(), nil)
		if err != nil {
			t.Error(err)
		}
		dialled <- s
	}()
	p := accept()
	p.answer(p.expect(pdu.CmdBindTransceiver, pdu.StatusOK), &pdu.BindResp{ID: pdu.CmdBindTransceiverResp, SystemID: "smsc", TLVs: says})
	s := take(t, dialled)
	if take(t, g.bound) != s {
		t.Error("another session is bound")
	}
	t.Cleanup(func() { s.Abort(nil); <-s.Done() })
	return s, p
}

func (p *peer) answer(request *pdu.PDU, body pdu.Body) {
	p.t.Helper()
	p.send(request.Sequence, body)
}

// Both sides of one session: a client and a server.
func TestClientAndServer(t *testing.T) {
	near, far := newGateway(), newGateway()
	far.window = 1
	v := far.serve(t, session.Settings{SystemID: "smsc", Version: pdu.Version50})
	s, err := client(near, session.Settings{}).Dial(t.Context(), v.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Peer(); p.SystemID != "smsc" || p.Version != pdu.Version34 || !p.Parameters || !p.Transmits() || !p.Receives() {
		t.Errorf("agreed on %+v", p)
	}
	take(t, near.bound)
	for _, c := range []struct {
		from *session.Session
		at   *gateway
		body pdu.Body
	}{{s, far, new(pdu.SubmitSM)}, {take(t, far.bound), near, new(pdu.DeliverSM)}} {
		answered := make(chan *pdu.PDU, 1)
		if err := c.from.Send(c.body, func(p *pdu.PDU, _ error) { answered <- p }); err != nil {
			t.Fatal(err)
		}
		request := take(t, c.at.requests)
		if request.Command() != c.body.Command() {
			t.Errorf("got %s", request)
		}
		other := s
		if c.from == s {
			other = v.Sessions()[0]
		}
		_ = other.Answer(request.Respond(pdu.StatusOK))
		if p := take(t, answered); p.Command() != c.body.Command().Response() {
			t.Errorf("answered by %s", p)
		}
	}
	s.Unbind(t.Context())
	if reason := take(t, far.closed); !errors.Is(reason, session.ErrUnbound) {
		t.Errorf("the server's side ended with %v", reason)
	}
	if reason := take(t, near.closed); !errors.Is(reason, session.ErrShutdown) {
		t.Errorf("the client's side ended with %v", reason)
	}
}

func TestDialFails(t *testing.T) {
	g := newGateway()
	c := client(g, session.Settings{BindTimeout: 50 * time.Millisecond})
	for name, end := range map[string]struct {
		do   func(p *peer, bind *pdu.PDU)
		want error
	}{
		"refused": {func(p *peer, bind *pdu.PDU) {
			_, _ = bind.Respond(pdu.StatusInvPaswd).WriteTo(p.conn)
		}, &session.RefusedError{Status: pdu.StatusInvPaswd}},
		"nacked": {func(p *peer, _ *pdu.PDU) {
			_, _ = (&pdu.PDU{Status: pdu.StatusSysErr, Body: new(pdu.GenericNack)}).WriteTo(p.conn)
		}, &session.RefusedError{Status: pdu.StatusSysErr}},
		"silent":   {func(p *peer, _ *pdu.PDU) { _, _ = p.r.Read() }, session.ErrBindTimeout},
		"hangs up": {func(p *peer, _ *pdu.PDU) { _ = p.conn.Close() }, session.ErrHungUp},
	} {
		t.Run(name, func(t *testing.T) {
			l, accept := smsc(t)
			failed := make(chan error, 1)
			go func() {
				_, err := c.Dial(context.Background(), l.Addr().String(), nil)
				failed <- err
			}()
			p := accept()
			end.do(p, p.expect(pdu.CmdBindTransceiver, pdu.StatusOK))
			err := take(t, failed)
			var refused *session.RefusedError
			if want, is := end.want.(*session.RefusedError); is {
				if !errors.As(err, &refused) || *refused != *want || !errors.Is(err, session.ErrRefused) {
					t.Errorf("Dial = %v, want %v", err, want)
				}
			} else if !errors.Is(err, end.want) {
				t.Errorf("Dial = %v, want %v", err, end.want)
			}
			take(t, g.closed)
		})
	}
}

// What the SMSC says of its version decides on optional parameters.
func TestClientAgreesOnAVersion(t *testing.T) {
	for _, c := range []struct {
		says       []pdu.TLV
		version    uint8
		parameters bool
	}{
		{nil, pdu.Version34, false},
		{[]pdu.TLV{pdu.Byte(pdu.TagSCInterfaceVersion, 0x33)}, pdu.Version33, false},
		{[]pdu.TLV{pdu.Byte(pdu.TagSCInterfaceVersion, 0x50)}, pdu.Version34, true},
		{[]pdu.TLV{pdu.Byte(pdu.TagSCInterfaceVersion, 0)}, pdu.Version34, false},
	} {
		s, _ := bound(t, newGateway(), session.Settings{}, c.says...)
		if p := s.Peer(); p.Version != c.version || p.Parameters != c.parameters {
			t.Errorf("said %v: agreed on %+v", c.says, p)
		}
	}
}

// A client takes what an SMSC may ask, and nacks the rest.
func TestWhatAClientServes(t *testing.T) {
	g := newGateway()
	stray := make(chan *pdu.PDU, 10)
	_, p := bound(t, g, session.Settings{OnStray: func(_ *session.Session, p *pdu.PDU) { stray <- p }})
	p.send(1, new(pdu.SubmitSM))
	p.expect(pdu.CmdGenericNack, pdu.StatusInvCmdID)
	p.send(2, new(pdu.AlertNotification))
	p.send(3, new(pdu.EnquireLink))
	p.expect(pdu.CmdEnquireLinkResp, pdu.StatusOK)
	p.send(4, new(pdu.DataSM))
	if got := take(t, g.requests); got.Command() != pdu.CmdDataSM || len(g.requests) != 0 {
		t.Errorf("got %s", got)
	}
	p.send(5, new(pdu.SubmitSMResp))
	for _, want := range []pdu.CommandID{pdu.CmdSubmitSM, pdu.CmdSubmitSMResp} {
		if got := take(t, stray); got.Command() != want {
			t.Errorf("%s is stray, want %s", got, want)
		}
	}
}

func TestAcceptOutbind(t *testing.T) {
	for name, want := range map[string]error{"theirs": nil, "others": session.ErrNoOutbind} {
		near, far := newGateway(), newGateway()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := far.serve(t, session.Settings{}).Outbind(t.Context(), l.Addr().String(), name, "pw"); err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		_ = l.Close()
		if err != nil {
			t.Fatal(err)
		}
		s, err := client(near, session.Settings{}).AcceptOutbind(t.Context(), conn, func(o *pdu.Outbind) bool { return o.SystemID == "theirs" })
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if want == nil {
			take(t, far.bound)
			s.Unbind(t.Context())
			<-s.Done()
		}
	}
}

// After the peer's unbind the answers on their way still come; no request is
// made any more, and the session ends with the last answer.
func TestAnswersAfterUnbind(t *testing.T) {
	g := newGateway()
	s, p := bound(t, g, session.Settings{})
	answered := make(chan error, 1)
	if err := s.Send(new(pdu.SubmitSM), func(_ *pdu.PDU, err error) { answered <- err }); err != nil {
		t.Fatal(err)
	}
	submit := p.expect(pdu.CmdSubmitSM, pdu.StatusOK)
	p.send(1, new(pdu.Unbind))
	p.send(2, new(pdu.EnquireLink))
	p.expect(pdu.CmdEnquireLinkResp, pdu.StatusOK)
	if err := s.Send(new(pdu.SubmitSM), nil); !errors.Is(err, session.ErrClosed) {
		t.Errorf("a submit after unbind: %v", err)
	}
	p.answer(submit, &pdu.SubmitSMResp{MessageID: "1"})
	p.expect(pdu.CmdUnbindResp, pdu.StatusOK)
	if err := take(t, answered); err != nil {
		t.Errorf("the submit was answered with %v", err)
	}
	if reason := take(t, g.closed); !errors.Is(reason, session.ErrUnbound) {
		t.Errorf("closed for %v", reason)
	}
}

// A request that was never written to the connection says so.
func TestUnwrittenRequestsAreNotSent(t *testing.T) {
	g := newGateway()
	s, p := bound(t, g, session.Settings{WriteTimeout: 50 * time.Millisecond})
	results := make(chan error, 2)
	note := func(_ *pdu.PDU, err error) { results <- err }
	if err := s.Send(new(pdu.SubmitSM), note); err != nil {
		t.Fatal(err)
	}
	p.expect(pdu.CmdSubmitSM, pdu.StatusOK)
	block := &pdu.PDU{Sequence: 7, Body: &pdu.Raw{ID: pdu.CmdDeliverSMResp, Data: make([]byte, 16<<20)}}
	if err := s.Write(block); err != nil { // more than the kernel takes from a peer that reads nothing
		t.Fatal(err)
	}
	for s.InFlight() < 2 { // until the writer has taken the block
		_ = s.Send(new(pdu.SubmitSM), note)
	}
	if first, second := take(t, results), take(t, results); errors.Is(first, session.ErrNotSent) || !errors.Is(first, session.ErrClosed) || !errors.Is(second, session.ErrNotSent) {
		t.Errorf("the first: %v, the second: %v", first, second)
	}
}

// An answer after its time is passed on, when that is asked for.
func TestLateAnswers(t *testing.T) {
	s, p := bound(t, newGateway(), session.Settings{ResponseTimeout: 30 * time.Millisecond, LateAnswers: true})
	results := make(chan error, 2)
	if err := s.Send(new(pdu.SubmitSM), func(_ *pdu.PDU, err error) { results <- err }); err != nil {
		t.Fatal(err)
	}
	submit := p.expect(pdu.CmdSubmitSM, pdu.StatusOK)
	if err := take(t, results); !errors.Is(err, session.ErrTimeout) || s.InFlight() != 0 {
		t.Errorf("got %v with %d in flight, want a time-out", err, s.InFlight())
	}
	p.answer(submit, new(pdu.SubmitSMResp))
	if err := take(t, results); err != nil {
		t.Errorf("late: %v", err)
	}
}

// Of an answer that cannot be read the header counts.
func TestMalformedAnswer(t *testing.T) {
	malformed := make(chan *pdu.Error, 1)
	s, p := bound(t, newGateway(), session.Settings{OnMalformed: func(_ *session.Session, e *pdu.Error) { malformed <- e }})
	answered := make(chan *pdu.PDU, 1)
	if err := s.Send(new(pdu.SubmitSM), func(p *pdu.PDU, _ error) { answered <- p }); err != nil {
		t.Fatal(err)
	}
	submit := p.expect(pdu.CmdSubmitSM, pdu.StatusOK)
	p.answer(submit, &pdu.Raw{ID: pdu.CmdSubmitSMResp, Data: make([]byte, pdu.DefaultMaxLength)})
	if got := take(t, answered); got.Command() != pdu.CmdSubmitSMResp || got.Status != pdu.StatusOK {
		t.Errorf("answered by %s", got)
	}
	take(t, malformed)
}
