package smpp

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/smpp/simulator"
)

// Of two messages with one id each gets its own state, by the reference.
func TestRepeatedIDs(t *testing.T) {
	for name, c := range map[string]struct {
		to       func(i int) string
		receipts simulator.Receipts
	}{
		"to two people":            {func(i int) string { return fmt.Sprintf("2783%07d", i) }, simulator.Receipts{}},
		"to one person, reference": {func(int) string { return "27831234567" }, simulator.Receipts{}},
	} {
		t.Run(name, func(t *testing.T) {
			c.receipts.Delay = simulator.Fixed(quick.Std())
			b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
				IDs: &simulator.IDs{Repeated: 0.7}, Receipts: &c.receipts,
				Rules: []simulator.Rule{{Text: simulator.Matching("odd"), Outcome: &simulator.Outcome{State: "UNDELIV"}}},
			}})
			const many = 40
			want := map[string]message.DeliveryStatus{}
			var group sync.WaitGroup
			ctx := within(t)
			for i := range many {
				m := outgoing([]string{"even", "odd"}[i%2])
				m.To = c.to(i)
				want[m.ID] = []message.DeliveryStatus{message.Delivered, message.Failed}[i%2]
				group.Go(func() {
					if _, err := b.Send(ctx, m); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			for range many {
				e := b.line.NextEvent(t)
				if want[e.MessageID] != e.DeliveryStatus {
					t.Errorf("event = %s, want %s", e.Encode(), want[e.MessageID])
				}
				delete(want, e.MessageID)
			}
			if n := b.metric("switchboard_smpp_protocol_errors_total", "what", "repeated message_id"); n == 0 {
				t.Error("the repeated ids are not counted")
			}
		})
	}
}

// What cannot be told apart is nobody's: no message gets another's state.
func TestRepeatedIDsWithoutReference(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{IDs: &simulator.IDs{Repeated: 1}, Receipts: noReceipts()}},
		func(o *Transport) { o.UserMessageReference = false })
	b.send(outgoing("one"))
	b.send(outgoing("another"))
	b.receipt(b.smsc.Submitted()[0], "UNDELIV")
	if n := b.metric("switchboard_smpp_receipts_total", "outcome", "held"); n != 1 {
		t.Errorf("%v receipts are held, want the one that may be either's", n)
	}
}

// An SMSC that answers a submit before its time, with the one before's id, mixes
// nothing up: no message gets another's state.
func TestEarlyAnswers(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Answers:  &simulator.Answers{Early: 1, Delay: simulator.Fixed(quick.Std())},
		Receipts: &simulator.Receipts{Delay: simulator.Fixed(2 * quick.Std())},
		Rules:    []simulator.Rule{{Text: simulator.Matching("odd"), Outcome: &simulator.Outcome{State: "UNDELIV"}}},
	}}, func(o *Transport) { o.Window = 50 }).bound()
	want, ctx := map[string]message.DeliveryStatus{}, within(t)
	var group sync.WaitGroup
	for i := range 20 {
		m := outgoing([]string{"even", "odd"}[i%2])
		want[m.ID] = []message.DeliveryStatus{message.Delivered, message.Failed}[i%2]
		group.Go(func() {
			if _, err := b.Send(ctx, m); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	b.until("all receipts are taken", func() bool { return b.smsc.Counters().ReceiptsTaken == uint64(len(want)) })
	r, err := b.running(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r.submissions.Sweep(ctx, time.Now().Add(heldPatience))
	reported := 0
	for e, there := b.line.PeekEvent(); there; e, there = b.line.PeekEvent() {
		if reported++; want[e.MessageID] != e.DeliveryStatus {
			t.Errorf("event = %s, want %s", e.Encode(), want[e.MessageID])
		}
	}
	if reported == 0 {
		t.Error("no receipt found its message")
	}
}

// An SMSC that gives all parts of a message one id reports each of them under it.
func TestOneIDForAllParts(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		IDs: &simulator.IDs{Repeated: 1}, Receipts: &simulator.Receipts{Delay: simulator.Fixed(quick.Std())},
	}})
	m := outgoing(strings.Repeat("0123456789", 31))
	b.send(m)
	if e := b.line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != message.Delivered {
		t.Errorf("event = %s", e.Encode())
	}
	if n := b.metric("switchboard_smpp_receipts_total", "outcome", "matched"); n < 2 {
		t.Errorf("%v receipts matched before it was reported, want all three", n)
	}
}

// An SMSC that gives one id to all costs no more than its receipts.
func TestOneIDForAllMessages(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{IDs: &simulator.IDs{Repeated: 1}, Receipts: noReceipts()}},
		func(o *Transport) { o.Window = 50 })
	for _, err := range b.sendMany(80) {
		t.Error(err)
	}
	found, err := memoryOf(b.state).Get(t.Context(), "smpp/smpp_transport/id/1")
	if err != nil {
		t.Fatal(err)
	}
	var row struct {
		Ambiguous bool `json:"y"`
	}
	if text := found["smpp/smpp_transport/id/1"]; json.Unmarshal([]byte(text), &row) != nil || !row.Ambiguous || len(text) > 1024 {
		t.Errorf("the id is stored as %s", text)
	}
}
