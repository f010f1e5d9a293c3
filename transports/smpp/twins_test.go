package smpp

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
)

// Of two messages with one id each gets its own state: by the person, and where
// both went to one, by the reference.
func TestRepeatedIDs(t *testing.T) {
	for name, c := range map[string]struct {
		to       func(i int) string
		receipts simulator.Receipts
	}{
		"to two people, by text":   {func(i int) string { return fmt.Sprintf("2783%07d", i) }, simulator.Receipts{Form: "text", NoReference: true}},
		"to two people, together":  {func(i int) string { return fmt.Sprintf("2783%07d", i) }, simulator.Receipts{}},
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
			if n := b.metric("switchboard_smpp_oddities_total", "what", "repeated message_id"); n == 0 {
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

// An SMSC that answers the second submit before its time, with the first one's
// id, and then truly, mixes nothing up.
func TestEarlyAnswers(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Answers:  &simulator.Answers{Early: 1, Delay: simulator.Fixed(quick.Std())},
		Receipts: &simulator.Receipts{Delay: simulator.Fixed(2 * quick.Std()), NoReference: true},
	}}, func(o *Transport) { o.Window = 50 }).bound()
	const many = 20
	for _, err := range b.sendMany(many) {
		t.Error(err)
	}
	reported := map[string]bool{}
	for len(reported) < many {
		e := b.line.NextEvent(t)
		if reported[e.MessageID] || e.DeliveryStatus != message.Delivered {
			t.Fatalf("event = %s", e.Encode())
		}
		reported[e.MessageID] = true
	}
}

// What is known of latest ids does not grow.
func TestTwinsAreBounded(t *testing.T) {
	w := newTwins()
	for i := range 2 * maxGiven {
		w.give(fmt.Sprint(i), "a", 1)
		if !w.give(fmt.Sprint(i), "a", 2) || w.give(fmt.Sprint(i), "a", 2) {
			t.Fatal("a second part with one id is not told, or is told twice")
		}
		w.mark(fmt.Sprint(i))
	}
	if len(w.given) != maxGiven || len(w.ring) != maxGiven || len(w.shared) > maxTwins {
		t.Errorf("%d ids, %d in the ring, %d shared", len(w.given), len(w.ring), len(w.shared))
	}
	if !w.give(fmt.Sprint(2*maxGiven-1), "c", 1) || w.give("0", "c", 1) {
		t.Error("it is not the latest that are known")
	}
}

// An SMSC that gives all parts of a message one id reports each of them under it.
func TestOneIDForAllParts(t *testing.T) {
	for name, reference := range map[string]bool{"with references": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
				IDs: &simulator.IDs{Repeated: 1}, Receipts: &simulator.Receipts{Delay: simulator.Fixed(quick.Std()), NoReference: !reference},
			}})
			m := outgoing(strings.Repeat("0123456789", 31))
			b.send(m)
			if e := b.line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != message.Delivered {
				t.Errorf("event = %s", e.Encode())
			}
			if n := b.metric("switchboard_smpp_receipts_total", "outcome", "matched"); n < 2 {
				t.Errorf("%v receipts matched before it was reported, want all three", n)
			}
		})
	}
}

// An SMSC that gives one id to all costs no more than its receipts.
func TestOneIDForAllMessages(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{IDs: &simulator.IDs{Repeated: 1}, Receipts: noReceipts()}},
		func(o *Transport) { o.Window = 50 })
	for _, err := range b.sendMany(10 * maxSharers) {
		t.Error(err)
	}
	found, err := b.state.Get(t.Context(), "smpp/smpp_transport/id/1")
	if err != nil {
		t.Fatal(err)
	}
	var k known
	if err := json.Unmarshal([]byte(found["smpp/smpp_transport/id/1"]), &k); err != nil || !k.Many || len(k.Same) > 0 {
		t.Errorf("the id is kept for %d, %v", len(k.Same)+1, err)
	}
	e, err := b.running(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if !e.twins.worthless(e.keys.id("1")) {
		t.Error("what shares the id is still being written down")
	}
}

// Two receipts of one id that both come before its messages are written down do
// not displace each other; nor does the first that is written down get both.
func TestReceiptsOfOneIDAreHeldApart(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: noReceipts()}})
	e, err := b.running(within(t))
	if err != nil {
		t.Fatal(err)
	}
	var parts []part
	for _, m := range []*message.Message{outgoing("one"), outgoing("another")} {
		p, err := e.plan(m, 1)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part{p.submitted, 1})
		e.given("7", parts[len(parts)-1])
	}
	e.rememberIDs(t.Context(), parts[0].submitted, parts[0].only("7"), false)
	e.twins.mu.Lock()
	e.twins.shared[e.keys.id("7")].list = nil // as before the first is written down
	e.twins.mu.Unlock()
	want := map[string]message.DeliveryStatus{parts[0].id: message.Delivered, parts[1].id: message.Failed}
	for i, raw := range []string{"DELIVRD", "UNDELIV"} {
		h := heldReceipt{ID: "7", Raw: raw, From: parts[i].to, To: parts[i].from, Ref: parts[i].reference()}
		h.Status = e.parser.Statuses.Of(raw)
		if err := e.takeReceipt(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	e.rememberIDs(t.Context(), parts[1].submitted, parts[1].only("7"), false)
	for key, w := range e.held.due(time.Now().Add(2 * heldLook)) {
		if _, err := e.retryHeld(t.Context(), key, w, 0); err != nil {
			t.Fatal(err)
		}
	}
	for range parts {
		if event := b.line.NextEvent(t); event.DeliveryStatus != want[event.MessageID] {
			t.Errorf("event = %s, want %s", event.Encode(), want[event.MessageID])
		}
	}
}

// Of an SMSC that brings references back, a receipt with another's waits for its
// own message, and is only then taken for that of its id.
func TestAnothersReferenceWaits(t *testing.T) {
	b := start(t, simulator.Settings{})
	b.send(outgoing("reported"))
	b.line.NextEvent(t) // with its reference
	b.smsc.SetBehaviour(simulator.Behaviour{Receipts: noReceipts()})
	m := outgoing("hello")
	id := b.send(m)
	e, err := b.running(within(t))
	if err != nil {
		t.Fatal(err)
	}
	reference, _ := b.smsc.Submitted()[1].Message().TLVs.Uint(pdu.TagUserMessageReference)
	h := heldReceipt{ID: id, Status: "delivered", Raw: "DELIVRD", From: m.To, To: m.From, Ref: uint16(reference) ^ 1}
	for patient, want := range map[bool]bool{false: false, true: true} {
		if found, err := e.find(t.Context(), h, patient); (found != nil) != want || err != nil {
			t.Errorf("patient %t: %+v, %v", patient, found, err)
		}
	}
	h.Ref = uint16(reference)
	if found, err := e.find(t.Context(), h, false); found == nil || err != nil {
		t.Errorf("with its reference: %+v, %v", found, err)
	}
}
