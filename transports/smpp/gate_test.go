package smpp

import (
	"fmt"
	"testing"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/transports/smpp/submissions"
	"switchboard/worker"
)

// After the highest sequence_number comes 1, and none that waits for an answer.
func TestSequencesBeginAnew(t *testing.T) {
	k := &link{}
	k.sequences.Store(pdu.MaxSequence - 1)
	if list := fmt.Sprint(k.sequence(), k.sequence(), k.sequence()); list != fmt.Sprint(pdu.MaxSequence, 1, 2) {
		t.Errorf("sequence numbers %s", list)
	}
	k.sequences.Store(pdu.MaxSequence)
	old := &ticket{}
	l := &lane{link: k, pending: map[uint32]*ticket{1: old}}
	l.write(&ticket{frame: make([]byte, 16)}, time.Now())
	if l.pending[1] != old || l.pending[2] == nil {
		t.Errorf("pending: %v", l.pending)
	}
}

// What was not handed to a connection before it is lost goes out on the next; the
// rest is unknown.
func TestUnwrittenSubmitsAreKept(t *testing.T) {
	g := newGate(nil, func(*lane, bool) {}, nil)
	defer g.close()
	k := &link{wake: make(chan struct{}, 1)}
	l := &lane{window: 10, pending: map[uint32]*ticket{}}
	g.addLane(l)
	g.attach(l, k)
	frame, err := (&pdu.PDU{Body: new(pdu.SubmitSM)}).AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	outcomes := make(chan outcome, 3)
	tickets := make([]*ticket, 3)
	for i := range tickets {
		if i == 1 {
			k.out = k.out[:0] // as when it is written
			_ = k.send(&pdu.PDU{Sequence: 3, Body: new(pdu.DeliverSMResp)})
		}
		tickets[i] = &ticket{frame: frame, outcome: outcomes}
		g.submit(tickets[i], false)
	}
	g.detach(l, k, "it was cut")
	if o := <-outcomes; o.of != tickets[0] || !o.unknown || len(outcomes) > 0 {
		t.Errorf("outcome = %+v, and %d more", o, len(outcomes))
	}
	if p, err := pdu.Decode(k.out); err != nil || p.Command() != pdu.CmdDeliverSMResp || len(k.out) != int(k.waiting.Load())-len(frame) {
		t.Errorf("left to be written: %x", k.out)
	}
	next := &link{wake: make(chan struct{}, 1)}
	g.attach(l, next)
	if l.pending[1] != tickets[1] || l.pending[2] != tickets[2] {
		t.Errorf("on the next connection: %v", l.pending)
	}
}

// No answer comes between a submit's time and the late ones.
func TestOverdueIsLateAtOnce(t *testing.T) {
	g := newGate(nil, func(*lane, bool) {}, nil)
	defer g.close()
	late := map[uint32]*ticket{}
	outcomes := make(chan outcome) // without room: whoever waits for it sees all
	l := &lane{window: 1, pending: map[uint32]*ticket{}, late: func(sequence uint32, t *ticket) { late[sequence] = t }}
	g.addLane(l)
	g.attach(l, &link{wake: make(chan struct{}, 1)})
	submit := &ticket{frame: make([]byte, 16), outcome: outcomes}
	g.submit(submit, false)
	go g.overdue(l, 0)
	if o := <-outcomes; !o.unknown || late[1] != submit {
		t.Errorf("outcome %+v, late %v", o, late)
	}
}

// Whatever goes wrong with an answer, its submit ends.
func TestAnswerThatPanics(t *testing.T) {
	g := newGate(nil, func(*lane, bool) {}, func(submissions.Part, string) bool { panic("what an id") })
	defer g.close()
	l := &lane{window: 1, pending: map[uint32]*ticket{}}
	g.addLane(l)
	g.attach(l, &link{wake: make(chan struct{}, 1)})
	submit := &ticket{frame: make([]byte, 16), outcome: make(chan outcome, 1)}
	g.submit(submit, false)
	err := worker.Protect(func() error {
		g.answer(l, 1, toSubmit, outcome{id: "1"})
		return nil
	})
	if o := <-submit.outcome; err == nil || o.id != "1" {
		t.Errorf("outcome %+v, %v", o, err)
	}
}
