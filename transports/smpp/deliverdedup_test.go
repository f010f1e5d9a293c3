package smpp

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
	"switchboard/transports/transporttest"
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
	if took := time.Since(began); took > 10*time.Second {
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
	if took := time.Since(began); took > many*3*quick.Std()*2/3 {
		t.Errorf("they were told after %s: one after another?", took)
	}
}

// An SMSC whose patience ends before ours sends a message again while it is in
// hand: it is one message.
func TestImpatientSMSC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running sync.WaitGroup
		c := newDeliverDedup(t.Context(), &running)
		request := func(text string) *pdu.PDU {
			return &pdu.PDU{Sequence: 1, Body: &pdu.DeliverSM{Message: pdu.Message{ShortMessage: []byte(text)}}}
		}
		failure := errors.New("the broker is away")
		done := 0
		count := func(err error) func(context.Context) error {
			return func(context.Context) error { done++; return err }
		}
		first, again := c.enter(request("hello"), time.Now())
		twice, twiceAgain := c.enter(request("hello"), time.Now())
		time.Sleep(resendAfter)
		later, laterAgain := c.enter(request("hello"), time.Now())
		other, otherAgain := c.enter(request("hallo"), time.Now())
		if twice == first || later != first || other == first || again || twiceAgain || !laterAgain || otherAgain {
			t.Fatal("the wrong ones are copies")
		}
		for _, o := range []*pendingDeliver{first, later, twice, other} {
			if err := c.work(t.Context(), o, time.Now().Add(time.Minute), count(nil)); err != nil {
				t.Error(err)
			}
		}
		if done != 3 || c.list.Len() != 0 {
			t.Errorf("%d were done, %d are kept; want 3 and none", done, c.list.Len())
		}
		first, _ = c.enter(request("hello"), time.Now())
		if err := c.work(t.Context(), first, time.Now().Add(time.Minute), count(failure)); !errors.Is(err, failure) {
			t.Error(err)
		}
		if o, again := c.enter(request("hello"), time.Now()); o != first || !again {
			t.Error("what failed is not known again")
		}
		c.leave(first, failure)
		time.Sleep(rememberUntaken + time.Second)
		if o, again := c.enter(request("hello"), time.Now()); o == first || again {
			t.Error("what failed long ago is known for ever")
		}
	})
}

// The oldest that failed are forgotten when they are too many, and not the latest.
func TestPendingDeliversAreBounded(t *testing.T) {
	c := newDeliverDedup(t.Context(), new(sync.WaitGroup))
	now := time.Now()
	for i := range 3 * maxPending {
		text := []byte{byte(i), byte(i >> 8), byte(i >> 16)}
		o, _ := c.enter(&pdu.PDU{Sequence: 1, Body: &pdu.DeliverSM{Message: pdu.Message{ShortMessage: text}}}, now)
		c.leave(o, errors.New("the broker is away"))
	}
	if c.list.Len() != maxPending {
		t.Errorf("%d are kept, want the latest %d", c.list.Len(), maxPending)
	}
}

// confirmingPublisher has each report at once, and is long about confirming it.
type confirmingPublisher struct {
	*transporttest.Publisher
	begun, confirm chan struct{}
}

func (l *confirmingPublisher) Event(ctx context.Context, e *message.Event) error {
	if err := l.Publisher.Event(ctx, e); err != nil {
		return err
	}
	l.begun <- struct{}{}
	select {
	case <-l.confirm:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Receipts that come again on the next bind, because the connection was lost while
// they were being published, are published once.
func TestReceiptsComeAgainOnTheNextBind(t *testing.T) {
	v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: noReceipts(), Delivery: &simulator.Delivery{Retries: -1, Window: 100}}})
	const many = 20
	line := &confirmingPublisher{Publisher: transporttest.NewPublisher(), begun: make(chan struct{}, 10*many), confirm: make(chan struct{})}
	tr := connected(t, v.Addr(), remember(t), nil)
	transporttest.Start(t, tr, line)
	b := &bundle{T: t, Transport: tr, smsc: v, line: line.Publisher}
	for _, err := range b.sendMany(many) {
		t.Fatal(err)
	}
	deliver := func(ctx context.Context) <-chan error {
		told := make(chan error, many)
		for _, r := range v.Submitted() {
			go func() { told <- b.tryReceiptWithin(ctx, r, "DELIVRD") }()
		}
		return told
	}
	waiting, leave := context.WithCancel(within(t))
	lost := deliver(waiting)
	for range many {
		<-line.begun
	}
	v.Sessions()[0].Abort(errors.New("the connection is reset"))
	leave()
	for range many {
		if err := <-lost; err == nil {
			t.Error("the SMSC is told what came of a receipt")
		}
	}
	b.until("it is bound again", func() bool { return v.Counters().Binds == 2 })
	again := deliver(within(t))
	close(line.confirm)
	for range many {
		if err := <-again; err != nil {
			t.Error(err)
		}
	}
	reported := map[string]bool{}
	for range many {
		reported[line.NextEvent(t).MessageID] = true
	}
	if len(reported) != many {
		t.Errorf("%d messages are reported, want %d", len(reported), many)
	}
	b.noOtherEvent()
}
