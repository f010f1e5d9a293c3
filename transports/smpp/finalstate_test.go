package smpp

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
	"switchboard/smpp/simulator"
	"switchboard/transports"
	"switchboard/transports/smpp/submissions"
	"switchboard/transports/transporttest"
)

// lameLine refuses the next reports.
type lameLine struct {
	*transporttest.Publisher
	refuse atomic.Int32
}

func (l *lameLine) Event(ctx context.Context, e *message.Event) error {
	if l.refuse.Add(-1) >= 0 {
		return errors.New("the broker is away")
	}
	return l.Publisher.Event(ctx, e)
}

// busyPublisher is long about its next report.
type busyPublisher struct {
	*transporttest.Publisher
	begun, finish chan struct{}
	reports       atomic.Int32
}

func (l *busyPublisher) Event(ctx context.Context, e *message.Event) error {
	if l.reports.Add(1) == 1 {
		close(l.begun)
		<-l.finish
	}
	return l.Publisher.Event(ctx, e)
}

// A receipt that comes again while it is being reported, as one that was held
// and whose id has just come, is reported once.
func TestReceiptTakenTwiceAtOnce(t *testing.T) {
	v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: noReceipts()}})
	line := &busyPublisher{Publisher: transporttest.NewPublisher(), begun: make(chan struct{}), finish: make(chan struct{})}
	tr := connected(t, v.Addr(), remember(t), nil)
	transporttest.Start(t, tr, line)
	b := &bundle{T: t, Transport: tr, smsc: v, line: line.Publisher}
	m := outgoing("hello")
	h := submissions.Receipt{ID: b.send(m), Status: receipt.Delivered, Raw: "DELIVRD", From: m.To, To: m.From}
	e, err := b.running(within(t))
	if err != nil {
		t.Fatal(err)
	}
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- e.submissions.Receipt(within(t), h) }()
	<-line.begun
	go func() { second <- e.submissions.Receipt(within(t), h) }()
	close(line.finish)
	if err := errors.Join(<-first, <-second); err != nil {
		t.Fatal(err)
	}
	if event := line.NextEvent(t); event.MessageID != m.ID || event.DeliveryStatus != message.Delivered {
		t.Errorf("event = %s", event.Encode())
	}
	b.noOtherEvent()
}

// A failed message of several parts is reported, once, also when the broker was
// away for its first receipt.
func TestFailedPartsAreReportedLater(t *testing.T) {
	v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: noReceipts(), Delivery: &simulator.Delivery{Retries: -1}}})
	line := &lameLine{Publisher: transporttest.NewPublisher()}
	tr := connected(t, v.Addr(), remember(t), nil)
	transporttest.Start(t, tr, line)
	b := &bundle{T: t, Transport: tr, smsc: v, line: line.Publisher}
	m := outgoing(strings.Repeat("0123456789", 20))
	b.send(m)
	line.refuse.Store(1)
	parts := v.Submitted()
	if err := b.tryReceipt(parts[0], "UNDELIV"); err == nil || !strings.Contains(err.Error(), pdu.StatusRxTAppn.String()) {
		t.Fatalf("with the broker away the SMSC is told %v", err)
	}
	b.receipt(parts[1], "UNDELIV")
	b.receipt(parts[0], "UNDELIV") // as it was asked to
	if e := b.line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != message.Failed {
		t.Errorf("event = %s", e.Encode())
	}
	b.noOtherEvent()
}

// After a part has failed, nothing more is said of the message.
func TestNothingAfterAFailedPart(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: noReceipts()}})
	m := outgoing(strings.Repeat("0123456789", 20))
	b.send(m)
	parts := b.smsc.Submitted()
	b.receipt(parts[1], "ENROUTE")
	b.receipt(parts[0], "UNDELIV")
	b.receipt(parts[1], "ENROUTE")
	b.receipt(parts[1], "DELIVRD")
	for _, want := range []message.DeliveryStatus{message.Pending, message.Failed} {
		if e := b.line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != want {
			t.Errorf("event = %s, want %s", e.Encode(), want)
		}
	}
	b.noOtherEvent()
}

// A message that was submitted twice has two ids, and one final state.
func TestResentMessageEndsOnce(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Answers: &simulator.Answers{Late: 1, LateBy: simulator.Fixed(4 * quick.Std())}, Receipts: noReceipts(),
	}}, func(o *Transport) { o.SubmitTimeout, o.UnknownPolicy = 2*quick, transports.UnknownResend }).bound()
	m := outgoing("hello")
	sent := make(chan error, 1)
	ctx := within(t)
	go func() {
		_, err := b.Send(ctx, m)
		sent <- err
	}()
	b.until("it is submitted", func() bool { return b.smsc.Counters().Submits == 1 })
	b.smsc.SetBehaviour(simulator.Behaviour{Receipts: noReceipts()})
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	both := b.smsc.Submitted()
	b.until("both ids are known", func() bool {
		found, err := memoryOf(b.state).Get(ctx, idKey(both[0].MessageID), idKey(both[1].MessageID))
		return err == nil && len(found) == 2
	})
	b.receipt(both[1], "DELIVRD")
	b.receipt(both[0], "REJECTD")
	b.receipt(both[0], "ENROUTE")
	if event := b.line.NextEvent(t); event.MessageID != m.ID || event.DeliveryStatus != message.Delivered {
		t.Errorf("event = %s", event.Encode())
	}
	b.noOtherEvent()
}

// A message that the SMSC has although it refused it is submitted again; its
// two receipts, of which one finds it by reference, are one final state.
func TestRefusedMessageEndsOnce(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Answers: &simulator.Answers{Nack: 1}, Receipts: noReceipts()}}).bound()
	m := outgoing("hello")
	if _, err := b.Send(within(t), m); err == nil || message.IsPermanent(err) {
		t.Fatalf("Send = %v, want to be tried again", err)
	}
	b.smsc.SetBehaviour(simulator.Behaviour{Answers: &simulator.Answers{Delay: simulator.Fixed(10 * quick.Std())}, Receipts: noReceipts()})
	ctx, cancel := context.WithTimeout(within(t), quick.Std())
	defer cancel()
	if _, err := b.SendAgain(ctx, m); !errors.Is(err, errUnknown) {
		t.Fatalf("SendAgain, without time = %v", err)
	}
	b.endsOnce(m, b.smsc.Submitted())
}

// So are those of a message that a stopped process has left unanswered, and the
// next one has submitted again.
func TestLeftMessageEndsOnce(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Answers: &simulator.Answers{Lost: 1}, Receipts: noReceipts()}},
		func(o *Transport) { o.UnknownPolicy = transports.UnknownResend }).bound()
	m := outgoing("hello")
	ctx, cancel := context.WithTimeout(within(t), quick.Std())
	defer cancel()
	if _, err := b.Send(ctx, m); !errors.Is(err, errUnknown) {
		t.Fatalf("Send, without time = %v", err)
	}
	b.smsc.SetBehaviour(simulator.Behaviour{Receipts: noReceipts()})
	if _, err := b.SendAgain(within(t), m); err != nil {
		t.Fatal(err)
	}
	b.endsOnce(m, b.smsc.Submitted())
}

// endsOnce has the SMSC report both submits of a message: the first is told by
// its reference, the second, in other words, by its id.
func (b *bundle) endsOnce(m *message.Message, both []simulator.Received) {
	b.Helper()
	e, err := b.running(within(b))
	if err != nil {
		b.Fatal(err)
	}
	h := submissions.Receipt{ID: both[0].MessageID, Status: receipt.Delivered, Raw: "DELIVRD", From: m.To, To: m.From, Reference: max(1, referenceOf(m.ID))}
	if err := e.submissions.Receipt(b.Context(), h); err != nil {
		b.Fatal(err)
	}
	if event := b.line.NextEvent(b); event.MessageID != m.ID || event.TransportMetadata.Text("smpp_matched_by") != "reference" {
		b.Errorf("event = %s", event.Encode())
	}
	b.until("the second id is known", func() bool {
		found, err := memoryOf(b.state).Get(b.Context(), idKey(both[1].MessageID))
		return err == nil && len(found) == 1
	})
	b.smsc.SetBehaviour(simulator.Behaviour{Receipts: noReceipts()})
	b.receipt(both[1], "REJECTD")
	b.noOtherEvent()
}

// tryReceipt has the SMSC report a state, and returns what it is told.
func (b *bundle) tryReceipt(r simulator.Received, state string) error {
	return b.tryReceiptWithin(within(b), r, state)
}

func (b *bundle) tryReceiptWithin(ctx context.Context, r simulator.Received, state string) error {
	m := r.Message()
	return b.smsc.DeliverPDU(ctx, "", &pdu.DeliverSM{Message: pdu.Message{
		Source: m.Dest, Dest: m.Source, ESMClass: pdu.ESMReceipt,
		ShortMessage: []byte("id:" + r.MessageID + " sub:001 dlvrd:001 submit date:2611210700 done date:2611210701 stat:" + state + " err:000 text:"),
	}})
}

func idKey(id string) string { return "smpp/smpp_transport/id/" + id }
