package smpp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
	"switchboard/transports/smpp/submissions"
)

func references(t *testing.T, m *message.Message, opts ...func(*Transport)) (list []int) {
	t.Helper()
	all, err := planned(t, m, opts...)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		reference, ok := s.TLVs.Uint(pdu.TagUserMessageReference)
		if !ok {
			return nil
		}
		list = append(list, int(reference))
	}
	return list
}

// Every segment has a reference of its own, the same at each try; the message's
// own and the operator's choice go before.
func TestUserMessageReference(t *testing.T) {
	long := outgoing(strings.Repeat("x", 400))
	first := references(t, long)
	if again := references(t, long); fmt.Sprint(first) != fmt.Sprint(again) || len(first) != 3 {
		t.Errorf("references %v, and then %v", first, again)
	}
	if first[0] == first[1] || first[1] == first[2] || first[0] == first[2] {
		t.Errorf("references %v, want three", first)
	}
	if list := references(t, long, func(o *Transport) { o.SendMultipartSAR = true }); fmt.Sprint(list) != fmt.Sprint(first) {
		t.Errorf("with SAR the references are %v, want %v", list, first)
	}
	if list := references(t, long, func(o *Transport) { o.UserMessageReference = false }); list != nil {
		t.Errorf("switched off, they are %v", list)
	}
	own := outgoing("hello")
	own.TransportMetadata.Set("user_message_reference", 4711)
	if list := references(t, own); fmt.Sprint(list) != "[4711]" {
		t.Errorf("references %v, want the message's own", list)
	}
	askFor(own, "user_message_reference", 1<<16)
	if _, err := planned(t, own); err == nil {
		t.Error("a reference of 17 bits is taken")
	}
}

// Where no answer ever comes, each receipt finds its message by the reference it
// brings back, also among many to one person, and each is submitted once.
func TestLostAnswersAreSettledByReference(t *testing.T) {
	v := simulate(t, simulator.Settings{Seed: 5, Behaviour: simulator.Behaviour{
		Answers: &simulator.Answers{Lost: 1},
		Receipts: &simulator.Receipts{
			Delay: simulator.Between(0, 300*time.Millisecond), Intermediate: 0.3, Duplicated: 0.2,
			Outcomes: []simulator.Outcome{{State: "UNDELIV", Rate: 0.3}},
		},
	}})
	state := remember(t)
	f := employ(t, connected(t, v.Addr(), state, nil, func(o *Transport) {
		o.SubmitTimeout, o.UnknownWait = quick, 40*quick
	}), state)
	defer f.stop()
	const many = 12
	sent := map[string]bool{}
	for i := range many {
		m := outgoing(fmt.Sprint("message ", i)) // all to one person
		if i == 0 {
			m.Content = strings.Repeat("0123456789", 31)
		}
		sent[m.ID] = true
		f.publish(m)
	}
	acked, ended := map[string]int{}, map[string]int{}
	for len(acked) < many || len(ended) < many {
		e := f.next()
		switch {
		case e.Type == message.Nack:
			t.Fatalf("a nack: %s", e.Encode())
		case e.Type == message.Ack:
			acked[e.MessageID]++
		case e.DeliveryStatus != message.Pending:
			ended[e.MessageID]++
		}
	}
	for id := range sent {
		if acked[id] != 1 || ended[id] != 1 {
			t.Errorf("message %s was acked %d and reported %d times", id, acked[id], ended[id])
		}
	}
	if n := v.Counters().Submits; n != many+2 {
		t.Errorf("%d submits, want %d: none twice", n, many+2)
	}
}

// A receipt whose reference is another's is not taken for a submit without an
// answer, and one whose reference fits is, whoever it says sent it.
func TestReferenceBeforePeople(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Answers: &simulator.Answers{Lost: 1}, Receipts: noReceipts()}},
		func(o *Transport) { o.SubmitTimeout = quick })
	first, second := outgoing("first"), outgoing("second")
	for _, m := range []*message.Message{first, second} {
		if _, err := b.Send(within(t), m); !errors.Is(err, errUnknown) {
			t.Fatalf("Send = %v", err)
		}
	}
	e, err := b.running(within(t))
	if err != nil {
		t.Fatal(err)
	}
	stranger := submissions.Receipt{ID: "9", Status: "delivered", Raw: "DELIVRD", From: second.To, To: second.From, Reference: 1}
	for _, of := range []*message.Message{first, second} {
		if referenceOf(of.ID) == stranger.Reference {
			stranger.Reference++
		}
	}
	if err := e.submissions.Receipt(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	e.submissions.Sweep(t.Context(), time.Now().Add(heldPatience)) // it matches nothing: the next event is another's
	for i, m := range []*message.Message{first, second} {
		p, err := e.sender.plan(m, 1)
		if err != nil {
			t.Fatal(err)
		}
		h := submissions.Receipt{ID: fmt.Sprint(100 + i), Status: "delivered", Raw: "DELIVRD", From: m.To, To: "SHORTCODE", Reference: p.Reference}
		if err := e.submissions.Receipt(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if event := b.line.NextEvent(t); event.MessageID != m.ID || event.TransportMetadata.Text("smpp_matched_by") != "reference" {
			t.Errorf("event = %s", event.Encode())
		}
		if id, err := b.SendAgain(within(t), m); err != nil || id != h.ID {
			t.Errorf("SendAgain = %q, %v; want the receipt's id", id, err)
		}
	}
}

// An intermediate notification tells the id too: the final one finds it.
func TestIntermediateReceiptOfUnanswered(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Answers: &simulator.Answers{Lost: 1}, Receipts: &simulator.Receipts{Intermediate: 1, Delay: simulator.Fixed(10 * quick.Std())},
	}}, func(o *Transport) { o.SubmitTimeout = options.Duration(quick.Std() / 2) })
	m := outgoing("hello")
	if _, err := b.Send(within(t), m); !errors.Is(err, errUnknown) {
		t.Fatalf("Send = %v", err)
	}
	for _, want := range []message.DeliveryStatus{message.Pending, message.Delivered} {
		if e := b.line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != want {
			t.Errorf("event = %s, want %s", e.Encode(), want)
		}
	}
}
