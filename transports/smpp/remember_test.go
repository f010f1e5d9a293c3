package smpp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"switchboard/message"
	"switchboard/smpp/simulator"
	"switchboard/store"
	"switchboard/transports"
	"switchboard/transports/transporttest"
)

// fragile is a state whose next writes fail.
type fragile struct {
	store.State
	failures atomic.Int32
}

func (s *fragile) Set(ctx context.Context, entries ...store.Entry) error {
	if len(entries) > 0 && s.failures.Add(-1) >= 0 {
		return errors.New("the database is starting up")
	}
	return s.State.Set(ctx, entries...)
}

func startFragile(t *testing.T, behaviour simulator.Behaviour, options ...func(*Transport)) (*bundle, *fragile) {
	state := &fragile{State: remember(t)}
	b := &bundle{T: t, smsc: simulate(t, simulator.Settings{Behaviour: behaviour}), line: transporttest.NewPublisher(), state: state}
	b.Transport = connected(t, b.smsc.Addr(), state, nil, options...)
	b.stop = transporttest.Start(t, b.Transport, b.line)
	return b.bound(), state
}

// A message is not done with before its id is recorded, however long the
// store is away.
func TestStoreOutage(t *testing.T) {
	for _, text := range []string{"hello", strings.Repeat("0123456789", 31)} {
		b, state := startFragile(t, simulator.Behaviour{Receipts: noReceipts()})
		state.failures.Store(7)
		m := outgoing(text)
		b.send(m)
		for _, r := range b.smsc.Submitted() {
			b.receipt(r, "DELIVRD")
		}
		if e := b.line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != message.Delivered {
			t.Errorf("event = %s", e.Encode())
		}
	}
}

// When the store stays away until the transport ends, the message stays in its
// queue.
func TestStoreStaysAway(t *testing.T) {
	b, state := startFragile(t, simulator.Behaviour{Receipts: noReceipts()})
	state.failures.Store(1 << 30)
	failed := make(chan error, 1)
	go func() {
		_, err := b.Send(within(b), outgoing("hello"))
		failed <- err
	}()
	b.until("it is accepted", func() bool { return b.smsc.Counters().Accepted == 1 })
	b.stop()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("Send = %v, want one that puts it back", err)
	}
}

// keptOf are the parts of a message that the store knows of.
func (b *bundle) keptOf(m *message.Message, total int) (n int) {
	b.Helper()
	var list []string
	for i := range total {
		list = append(list, fmt.Sprintf("smpp/smpp_transport/part/%s/%d", m.ID, i+1))
	}
	found, err := memoryOf(b.state).Get(b.Context(), list...)
	if err != nil {
		b.Fatal(err)
	}
	return len(found)
}

// A process that dies in the middle of a long message leaves behind which parts
// the SMSC has, and the next one submits the others alone.
func TestKilledInTheMiddle(t *testing.T) {
	behaviour := simulator.Behaviour{Receipts: noReceipts(), Rules: []simulator.Rule{{To: simulator.Matching("7$"), Text: simulator.Matching("last"), Lost: true}}}
	b := start(t, simulator.Settings{Behaviour: behaviour}).bound()
	m := outgoing(strings.Repeat("0123456789", 50) + "last")
	go func() { _, _ = b.Send(within(b), m) }()
	b.until("three parts are recorded", func() bool { return b.keptOf(m, 4) == 3 })

	next := connected(t, b.smsc.Addr(), b.state, nil)
	transporttest.Start(t, next, transporttest.NewPublisher())
	b.smsc.SetBehaviour(simulator.Behaviour{Receipts: noReceipts()})
	if id, err := next.SendAgain(within(t), m); err != nil || id == "" {
		t.Fatalf("SendAgain = %q, %v", id, err)
	}
	if n := b.smsc.Counters().Submits; n != 5 {
		t.Errorf("%d submits, want 4 and the unanswered part's second", n)
	}
}

// The receipt of a part finds it while the others are in flight.
func TestReceiptBeforeTheOtherParts(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Receipts: noReceipts(), Rules: []simulator.Rule{{Text: simulator.Matching("last"), Lost: true}},
	}}, func(o *Transport) { o.SubmitTimeout, o.UnknownPolicy = 4*quick, transports.UnknownResend }).bound()
	m := outgoing(strings.Repeat("0123456789", 30) + "last")
	sent := make(chan error, 1)
	go func() {
		_, err := b.Send(within(b), m)
		sent <- err
	}()
	b.until("a part is recorded", func() bool { return b.keptOf(m, 2) == 1 })
	first := b.smsc.Submitted()[0]
	b.receipt(first, "UNDELIV")
	if e := b.line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != message.Failed {
		t.Errorf("event = %s", e.Encode())
	}
	b.smsc.SetBehaviour(simulator.Behaviour{Receipts: noReceipts()})
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	b.receipt(first, "UNDELIV")
	if n := b.metric("switchboard_smpp_receipts_total", "outcome", "repeated"); n != 1 {
		t.Errorf("the final receipt of the first part is forgotten: %v receipts were repeated", n)
	}
}

// A broadcast's next attempt at a message is another message: what the SMSC has
// of the one before is none of it.
func TestAttemptsAreApart(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: noReceipts()}})
	m := outgoing(strings.Repeat("0123456789", 31))
	for attempt := range 2 {
		m.RoutingMetadata.Set("broadcast", map[string]any{"id": 1, "attempt": attempt + 1})
		if _, err := b.SendAgain(within(t), m); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.smsc.Counters().Submits; n != 6 {
		t.Errorf("%d submits, want those of two attempts", n)
	}
}
