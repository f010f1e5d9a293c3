package session_test

import (
	"errors"
	"testing"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

func TestWindow(t *testing.T) {
	g := newGateway()
	g.window = 2
	p := dial(t, g.serve(t, session.Settings{}))
	p.bind(pdu.CmdBindTransceiver)
	s := take(t, g.bound)
	answers := make(chan string, 3)
	try := func(text string) error {
		return s.Send(&pdu.DeliverSM{Message: pdu.Message{ShortMessage: []byte(text)}}, func(q *pdu.PDU, err error) {
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
	failed := make(chan error, 1)
	ask := func() {
		if err := s.Send(new(pdu.DeliverSM), func(_ *pdu.PDU, err error) { failed <- err }); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	if err := take(t, failed); !errors.Is(err, session.ErrTimeout) {
		t.Errorf("got %v, want a time-out", err)
	}
	ask()
	s.Close(nil)
	if err := take(t, failed); !errors.Is(err, session.ErrClosed) {
		t.Errorf("got %v, want that it is closed", err)
	}
	<-s.Done()
	if err := s.Send(new(pdu.DeliverSM), nil); err == nil {
		t.Error("a closed session takes requests")
	}
}

func TestWhatCannotBeEncodedFailsAlone(t *testing.T) {
	g := newGateway()
	g.window = 1
	p := dial(t, g.serve(t, session.Settings{}))
	p.bind(pdu.CmdBindTransceiver)
	s := take(t, g.bound)
	bad := &pdu.DeliverSM{Message: pdu.Message{ShortMessage: make([]byte, 300)}}
	if err := s.Send(bad, nil); err == nil || errors.Is(err, session.ErrWindowFull) {
		t.Fatalf("got %v", err)
	}
	if err := s.Send(new(pdu.DeliverSM), func(*pdu.PDU, error) {}); err != nil {
		t.Errorf("the next one: %v", err)
	}
	p.expect(pdu.CmdDeliverSM, pdu.StatusOK)
}
