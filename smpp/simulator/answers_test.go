package simulator_test

import (
	"fmt"
	"testing"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
)

func answering(a simulator.Answers) simulator.Settings {
	return simulator.Settings{Behaviour: simulator.Behaviour{Answers: &a, Receipts: &simulator.Receipts{Form: "none"}}}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		answers simulator.Answers
		want    pdu.Status
	}{
		"queue full": {simulator.Answers{QueueFull: 1}, pdu.StatusMsgQFul},
		"any status": {simulator.Answers{Errors: []simulator.ErrorRate{{Status: 0x400, Rate: 1}}}, 0x400},
		"throttled":  {simulator.Answers{TPS: 0.0001, Burst: 1}, pdu.StatusThrottled},
	} {
		t.Run(name, func(t *testing.T) {
			v := start(t, answering(c.answers))
			client := bound(t, v, pdu.CmdBindTransmitter, "esme")
			client.ask(submit("one"))
			answer := client.ask(submit("two"))
			if answer.Status != c.want || answer.Body.(*pdu.SubmitSMResp).MessageID != "" {
				t.Errorf("got %s, want %s", answer, c.want)
			}
			last := v.Submitted()[1]
			if last.Status != c.want || last.MessageID != "" || v.Counters().Answers[c.want.String()] == 0 {
				t.Errorf("recorded %+v, counted %v", last, v.Counters().Answers)
			}
		})
	}
}

func TestRate(t *testing.T) {
	v := start(t, answering(simulator.Answers{QueueFull: 0.25}))
	c := bound(t, v, pdu.CmdBindTransmitter, "esme")
	refused := 0
	for range 1000 {
		if c.ask(submit("x")).Status != pdu.StatusOK {
			refused++
		}
	}
	if refused < 200 || refused > 300 {
		t.Errorf("%d of 1000 refused, want about 250", refused)
	}
}

// What was drawn is the same for the same seed, and not for another.
func TestSeed(t *testing.T) {
	outcome := func(seed uint64) (s string) {
		settings := answering(simulator.Answers{QueueFull: 0.5})
		settings.Seed = seed
		c := bound(t, start(t, settings), pdu.CmdBindTransmitter, "esme")
		for range 64 {
			s += fmt.Sprint(c.ask(submit("x")).Status == pdu.StatusOK)
		}
		return s
	}
	first, again, other := outcome(1), outcome(1), outcome(2)
	if first != again || first == other {
		t.Error("the seed does not decide")
	}
}

func TestWindowLimit(t *testing.T) {
	v := start(t, answering(simulator.Answers{Window: 2, Delay: simulator.Fixed(20 * time.Millisecond)}))
	c := bound(t, v, pdu.CmdBindTransmitter, "esme")
	for range 3 {
		c.send(submit("x"))
	}
	statuses := map[pdu.Status]int{}
	for range 3 {
		statuses[c.next().Status]++
	}
	if statuses[pdu.StatusOK] != 2 || statuses[pdu.StatusThrottled] != 1 {
		t.Errorf("got %v, want one throttled", statuses)
	}
	if peak := v.Counters().Sessions[0].PeakUnanswered; peak != 3 {
		t.Errorf("at most %d unanswered, want 3", peak)
	}
}

func TestRoundTrip(t *testing.T) {
	const trip = 50 * time.Millisecond
	v := start(t, answering(simulator.Answers{Delay: simulator.Fixed(trip)}))
	c := bound(t, v, pdu.CmdBindTransmitter, "esme")
	began := time.Now()
	first, second := c.send(submit("one")), c.send(submit("two"))
	if a, b := c.next().Sequence, c.next().Sequence; a != first || b != second {
		t.Errorf("answered %d, %d: answers of the same delay keep their order", a, b)
	}
	if took := time.Since(began); took < trip {
		t.Errorf("answered after %s, want %s", took, trip)
	}
}

func TestOddAnswers(t *testing.T) {
	all := simulator.Probability(1)
	for name, c := range map[string]struct {
		answers simulator.Answers
		// want is the sequence_numbers of what comes after a submit of sequence
		// 2, before the answer to the enquire_link of sequence 3.
		want string
	}{
		"lost":           {simulator.Answers{Lost: all}, "[]"},
		"ignored":        {simulator.Answers{Ignored: all}, "[]"},
		"duplicated":     {simulator.Answers{Duplicated: all}, "[2 2]"},
		"wrong sequence": {simulator.Answers{WrongSequence: all}, "[1048578]"},
		"early":          {simulator.Answers{Early: all}, "[2 3]"},
		"late":           {simulator.Answers{Late: all, LateBy: simulator.Fixed(time.Hour)}, "[]"},
		"nack":           {simulator.Answers{Nack: all}, "[2]"},
	} {
		t.Run(name, func(t *testing.T) {
			v := start(t, answering(c.answers))
			client := bound(t, v, pdu.CmdBindTransmitter, "esme")
			client.send(submit("x"))
			client.send(new(pdu.EnquireLink))
			got := []uint32{}
			for p := client.next(); p.Command() != pdu.CmdEnquireLinkResp; p = client.next() {
				got = append(got, p.Sequence)
				if nack := p.Command() == pdu.CmdGenericNack; nack != (name == "nack") {
					t.Errorf("got %s", p)
				}
			}
			if fmt.Sprint(got) != c.want {
				t.Errorf("got answers %v, want %s", got, c.want)
			}
			if accepted := v.Counters().Accepted; (accepted == 0) != (name == "ignored") {
				t.Errorf("accepted %d", accepted)
			}
		})
	}
}

func TestRules(t *testing.T) {
	v := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Rules: []simulator.Rule{
		{Text: simulator.Matching("^refuse"), Status: simulator.Status(pdu.StatusInvDstAdr)},
		{To: simulator.Matching("99$"), Outcome: &simulator.Outcome{State: "EXPIRED", Error: "042"}},
		{From: simulator.Matching("^1234$"), Text: simulator.Matching("ping"), NoReport: true, Reply: "pong"},
		{Text: simulator.Matching("drop"), Drop: true},
	}}})
	c := bound(t, v, pdu.CmdBindTransceiver, "esme")
	if got := c.ask(submit("refuse this")).Status; got != pdu.StatusInvDstAdr {
		t.Errorf("refused with %s", got)
	}
	expiring := submit("hello")
	expiring.Dest.Addr = "3161234599"
	c.ask(expiring)
	if got := reported(t, c.delivered()); got.RawStatus != "EXPIRED" || got.Error != "042" {
		t.Errorf("receipt %+v", got)
	}
	c.ask(submit("ping"))
	if m := c.delivered(); string(m.ShortMessage) != "pong" || m.Dest.Addr != "1234" || m.ESMClass.IsReceipt() {
		t.Errorf("reply %+v", m)
	}
	c.send(submit("drop me"))
	if err := c.ended(); err == nil {
		t.Error("goes on")
	}
}

func TestPhases(t *testing.T) {
	settings := answering(simulator.Answers{QueueFull: 1})
	settings.Phases = []simulator.Phase{{After: 1, Behaviour: simulator.Behaviour{Answers: &simulator.Answers{}}}}
	v := start(t, settings)
	c := bound(t, v, pdu.CmdBindTransmitter, "esme")
	ctx := within(t)
	for c.ask(submit("x")).Status != pdu.StatusOK {
		if ctx.Err() != nil {
			t.Fatal("the phase does not begin")
		}
	}
	v.SetBehaviour(simulator.Behaviour{Answers: &simulator.Answers{QueueFull: 1}}) // under the phase's
	if got := c.ask(submit("x")).Status; got != pdu.StatusOK {
		t.Errorf("got %s within the phase", got)
	}
}

func TestCongestion(t *testing.T) {
	state := uint8(80)
	v := start(t, simulator.Settings{Version: "5.0", Behaviour: simulator.Behaviour{Answers: &simulator.Answers{Congestion: &state}}})
	for version, want := range map[uint8]bool{pdu.Version34: false, pdu.Version50: true} {
		c := dial(t, v)
		c.ask(&pdu.Bind{ID: pdu.CmdBindTransmitter, SystemID: "esme", InterfaceVersion: version})
		got, there := c.ask(submit("x")).Body.(*pdu.SubmitSMResp).TLVs.Uint(pdu.TagCongestionState)
		if there != want || there && got != uint32(state) {
			t.Errorf("version %x: %d, %v", version, got, there)
		}
	}
}
