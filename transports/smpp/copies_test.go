package smpp

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
)

// While the broker is away the SMSC is told in time to send a message, or a
// receipt, again; and when it does, it is the same message.
func TestSilentBrokerMessageComesAgain(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Delivery: &simulator.Delivery{Retries: -1}}},
		func(o *Transport) { o.DeliverTimeout = quick }).bound()
	release := b.line.Hold()
	hello := simulator.Incoming{From: "27831234567", To: "9292", Text: "hello"}
	began := time.Now()
	for range 2 {
		if err := b.smsc.Deliver(within(t), hello); err == nil || !strings.Contains(err.Error(), "ESME_RX_T_APPN") {
			t.Errorf("the SMSC was told %v", err)
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it was told after %s", took)
	}
	release()
	b.says(hello)
	id := b.line.Next(t).ID
	for range 3 {
		if asked := b.line.Asked(t); asked.ID != id {
			t.Errorf("tried as %s and received as %s", asked.ID, id)
		}
	}
	b.says(hello)
	if again := b.line.Next(t); again.ID == id {
		t.Error("what is said twice is one message")
	}
}

// Many from one person need not be waited for one after the other.
func TestSilentBrokerManyFromOne(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Delivery: &simulator.Delivery{Retries: -1}}},
		func(o *Transport) { o.DeliverTimeout = 3 * quick }).bound()
	defer b.line.Hold()()
	const many = 20
	told := make(chan error, many)
	ctx := within(t)
	began := time.Now()
	for i := range many {
		go func() {
			told <- b.smsc.Deliver(ctx, simulator.Incoming{From: "27831234567", To: "9292", Text: strings.Repeat("a", i+1)})
		}()
	}
	for range many {
		if err := <-told; err == nil || !strings.Contains(err.Error(), "ESME_RX_T_APPN") {
			t.Errorf("the SMSC was told %v", err)
		}
	}
	if took := time.Since(began); took > 10*quick.Std() {
		t.Errorf("they were told after %s, want little more than %s", took, 3*quick.Std())
	}
}

// An SMSC whose patience ends before ours sends a message again while it is in
// hand: it is one message.
func TestImpatientSMSC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCopies()
		request := func(text string) *pdu.PDU {
			return &pdu.PDU{Sequence: 1, Body: &pdu.DeliverSM{Message: pdu.Message{ShortMessage: []byte(text)}}}
		}
		failure := errors.New("the broker is away")
		done := 0
		count := func(err error) func() error {
			return func() error { done++; return err }
		}
		first := c.enter(request("hello"), time.Now())
		twice := c.enter(request("hello"), time.Now())
		time.Sleep(resendAfter)
		later := c.enter(request("hello"), time.Now())
		other := c.enter(request("hallo"), time.Now())
		if twice == first || later != first || other == first {
			t.Fatal("the wrong ones are copies")
		}
		for _, o := range []*original{first, later, twice, other} {
			if err := c.work(t.Context(), o, count(nil)); err != nil {
				t.Error(err)
			}
		}
		if done != 3 || len(c.list) != 0 {
			t.Errorf("%d were done, %d are kept; want 3 and none", done, len(c.list))
		}
		first = c.enter(request("hello"), time.Now())
		if err := c.work(t.Context(), first, count(failure)); !errors.Is(err, failure) {
			t.Error(err)
		}
		if c.enter(request("hello"), time.Now()) != first {
			t.Error("what failed is not known again")
		}
		c.leave(first, failure, time.Now())
		time.Sleep(failedFor + time.Second)
		if c.enter(request("hello"), time.Now()) == first {
			t.Error("what failed long ago is known for ever")
		}
	})
}

// What failed is forgotten when it is too much.
func TestCopiesAreBounded(t *testing.T) {
	c := newCopies()
	now := time.Now()
	for i := range 3 * maxFailed {
		text := []byte{byte(i), byte(i >> 8), byte(i >> 16)}
		o := c.enter(&pdu.PDU{Sequence: 1, Body: &pdu.DeliverSM{Message: pdu.Message{ShortMessage: text}}}, now)
		c.leave(o, errors.New("the broker is away"), now)
	}
	if len(c.list) > maxFailed {
		t.Errorf("%d are kept, want at most %d", len(c.list), maxFailed)
	}
}
