package smpp

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
	"switchboard/transports"
	"switchboard/transports/smpp/binds"
	"switchboard/transports/transporttest"
	"switchboard/worker"
)

// A message that the SMSC has no room for, time and again, keeps nobody else's
// waiting, and ends: the broker's delays take it over.
func TestOneFullRecipient(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Answers: &simulator.Answers{Delay: simulator.Fixed(5 * time.Millisecond)}, Receipts: noReceipts(),
		Rules: []simulator.Rule{{To: simulator.Matching("666$"), Status: simulator.Status(pdu.StatusMsgQFul)}},
	}}, func(o *Transport) { o.ThrottleDelay = options.Duration(20 * time.Millisecond) }).bound()
	full := make(chan error, 1)
	go func() {
		m := outgoing("hello")
		m.To = "2783000666"
		_, err := b.Send(within(b), m)
		full <- err
	}()
	b.until("it was refused", func() bool { return b.smsc.Counters().Answers["ESME_RMSGQFUL"] > 0 })
	began := time.Now()
	for _, err := range b.sendMany(400) {
		t.Error(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("400 others took %s", took)
	}
	if err := <-full; err == nil || message.IsPermanent(err) || !strings.Contains(err.Error(), "ESME_RMSGQFUL") {
		t.Errorf("Send to the full one = %v, want to be tried later", err)
	}
	if n := b.smsc.Counters().Answers["ESME_RMSGQFUL"]; n != roomRefusals+1 {
		t.Errorf("it was refused %d times", n)
	}
}

// A stop while a submit is unanswered loses neither the submit nor its answer.
func TestStopWithSubmitsInFlight(t *testing.T) {
	for _, policy := range []string{transports.UnknownWait, transports.UnknownFail} {
		t.Run(policy, func(t *testing.T) {
			b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
				Answers: &simulator.Answers{Delay: simulator.Fixed(3 * quick.Std())}, Receipts: noReceipts(),
			}}, func(o *Transport) { o.UnknownPolicy = policy }).bound()
			m := outgoing("hello")
			ctx, cancel := context.WithTimeout(context.Background(), quick.Std())
			defer cancel()
			if _, err := b.Send(ctx, m); !errors.Is(err, errUnknown) || message.IsPermanent(err) {
				t.Fatalf("Send, without time = %v", err)
			}
			b.until("the answer is taken", func() bool {
				id, err := b.SendAgain(within(t), m)
				return id != "" || policy == transports.UnknownFail && message.IsPermanent(err)
			})
			if n := b.smsc.Counters().Submits; n != 1 {
				t.Errorf("submitted %d times", n)
			}
		})
	}
}

// What waits when the time is over was never submitted, and is so the next time.
func TestStopWithSubmitsWaiting(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: noReceipts(), Binds: &simulator.Binds{Refuse: simulator.Status(pdu.StatusBindFail)}}})
	m := outgoing(strings.Repeat("0123456789", 31))
	ctx, cancel := context.WithTimeout(context.Background(), quick.Std())
	defer cancel()
	if _, err := b.Send(ctx, m); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errUnknown) {
		t.Errorf("Send = %v", err)
	}
	b.smsc.SetBehaviour(simulator.Behaviour{Receipts: noReceipts()})
	if _, err := b.SendAgain(within(t), m); err != nil || b.smsc.Counters().Submits != 3 {
		t.Errorf("SendAgain = %v after %d submits, want 3", err, b.smsc.Counters().Submits)
	}
}

// sendingOf is a try at a message whose one submit is in flight.
func sendingOf(t *testing.T, m *message.Message) *sending {
	t.Helper()
	r, err := newRun(connected(t, "127.0.0.1:1", remember(t), nil), transporttest.NewPublisher())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.state.Close() })
	p, err := r.sender.plan(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	return r.sender.newSending(p, nil)
}

// An answer counts, also when the time was over at the same moment.
func TestAnswerAtTheLastMoment(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 100 {
		s := sendingOf(t, outgoing("hello"))
		one := &s.parts[0]
		s.answered(one, binds.Result{ID: "1"})
		if err := s.await(ctx, one); err != nil || !one.Accepted {
			t.Fatalf("an accepted message: %v", err)
		}
	}
}

// Whatever goes wrong with an answer, its submit ends.
func TestAnswerThatPanics(t *testing.T) {
	s := sendingOf(t, outgoing("hello"))
	s.sender.submissions = nil
	err := worker.Protect(func() error {
		s.answered(&s.parts[0], binds.Result{ID: "1"})
		return nil
	})
	if r := <-s.parts[0].results; err == nil || r.ID != "1" {
		t.Errorf("result %+v, %v", r, err)
	}
}

// A transport that ends records what is unanswered.
func TestTransportEndsWithSubmitsInFlight(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Answers: &simulator.Answers{Lost: 1}, Receipts: noReceipts()}}).bound()
	m := outgoing("hello")
	failed := make(chan error, 1)
	go func() {
		_, err := b.Send(within(b), m)
		failed <- err
	}()
	b.until("it is submitted", func() bool { return b.smsc.Counters().Submits == 1 })
	b.stop()
	if err := <-failed; !errors.Is(err, errUnknown) {
		t.Errorf("Send = %v", err)
	}
	key := "smpp/smpp_transport/part/" + m.ID + "/1"
	if found, err := memoryOf(b.state).Get(t.Context(), key); err != nil || !strings.Contains(found[key], `"since":`) {
		t.Errorf("it is recorded as %q, %v", found[key], err)
	}
}

// An answer that says "later", later, is no refusal for good.
func TestLateTemporaryRefusal(t *testing.T) {
	for status, permanent := range map[pdu.Status]bool{pdu.StatusThrottled: false, pdu.StatusInvBndSts: false, pdu.StatusInvDstAdr: true} {
		b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
			Answers: &simulator.Answers{Late: 1, LateBy: simulator.Fixed(2 * quick.Std()), Errors: []simulator.ErrorRate{{Status: simulator.Status(status), Rate: 1}}},
		}}, func(o *Transport) { o.SubmitTimeout = quick })
		m := outgoing("hello")
		if _, err := b.Send(within(t), m); !errors.Is(err, errUnknown) {
			t.Fatalf("Send = %v", err)
		}
		b.smsc.SetBehaviour(simulator.Behaviour{Receipts: noReceipts()})
		var err error
		b.until("the answer is known", func() bool {
			_, err = b.SendAgain(within(t), m)
			return !errors.Is(err, errUnknown)
		})
		if message.IsPermanent(err) != permanent || (err == nil) == permanent {
			t.Errorf("%s: SendAgain = %v", status, err)
		}
	}
}

// Each part is submitted again three times, and no more.
func TestResendsOfOnePart(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Receipts: noReceipts(), Rules: []simulator.Rule{{Text: simulator.Matching("last"), Lost: true}},
	}}, func(o *Transport) { o.SubmitTimeout, o.UnknownPolicy = quick/2, transports.UnknownResend })
	if _, err := b.Send(within(t), outgoing(strings.Repeat("0123456789", 50)+"last")); !message.IsPermanent(err) {
		t.Errorf("Send = %v", err)
	}
	if n := b.smsc.Counters().Submits; n != 4+maxResends {
		t.Errorf("%d submits, want 4 and %d more of the last part", n, maxResends)
	}
}

// Long texts to one person, one after the other, are marked differently; the
// parts of one alike, also when they are submitted in several tries.
func TestPartsAreMarked(t *testing.T) {
	j, last := new(sender), uint16(0)
	j.longTexts.Store(1<<16 - 1)
	for range 256 {
		next := j.concatReference(nil)
		if next&0xFF == last&0xFF {
			t.Fatalf("%d follows %d", next, last)
		}
		last = next
	}
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Receipts: noReceipts(), Rules: []simulator.Rule{{Text: simulator.Matching("last"), Status: simulator.Status(pdu.StatusSysErr)}},
	}})
	m := outgoing(strings.Repeat("0123456789", 30) + "last")
	if _, err := b.Send(within(t), m); err == nil {
		t.Fatal("the last part was to be refused for now")
	}
	b.smsc.SetBehaviour(simulator.Behaviour{Receipts: noReceipts()})
	b.send(outgoing(m.Content))
	if _, err := b.SendAgain(within(t), m); err != nil {
		t.Fatal(err)
	}
	var marks []uint16
	for _, r := range b.smsc.Submitted() {
		p, _, err := gsm.ParsePart(r.Message().ShortMessage)
		if err != nil {
			t.Fatal(err)
		}
		marks = append(marks, p.Reference)
	}
	if n := len(marks); n < 4 || marks[0] != marks[n-1] || marks[n-2] != marks[n-3] || marks[0] == marks[n-2] {
		t.Errorf("marks %v: want the first message's first and last, and the other's between them", marks)
	}
}
