package smpp

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
	"switchboard/transports"
)

// sendMany sends n messages to n people at once, and says how each ended.
func (b *bundle) sendMany(n int) (failures []error) {
	b.Helper()
	ctx := within(b)
	var group sync.WaitGroup
	var mu sync.Mutex
	for i := range n {
		group.Go(func() {
			m := outgoing(fmt.Sprint("message ", i))
			m.To = fmt.Sprintf("2783%07d", i)
			if _, err := b.Send(ctx, m); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failures = append(failures, err)
			}
		})
	}
	group.Wait()
	return failures
}

func noReceipts() *simulator.Receipts { return &simulator.Receipts{Form: "none"} }

// However an SMSC answers, no second of ours sees more than mt_tps.
func TestRateHoldsHoweverTheSMSCAnswers(t *testing.T) {
	for name, answers := range map[string]*simulator.Answers{
		"quick answers":  {},
		"uneven answers": {Delay: simulator.Between(0, 60*time.Millisecond)},
		"late answers":   {Late: 0.1, LateBy: simulator.Fixed(200 * time.Millisecond)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Answers: answers, Receipts: noReceipts()}},
				func(o *Transport) { o.MTTPS, o.Window = 50, 20 })
			began := time.Now()
			for _, err := range b.sendMany(120) {
				t.Error(err)
			}
			if n := b.smsc.Counters().Submits; n != 120 {
				t.Errorf("%d submits, want 120", n)
			}
			if took := time.Since(began); took < 2*time.Second || took > 12*time.Second {
				t.Errorf("it took %s, want 120/50 s, and some pauses of the machine at most", took)
			}
		})
	}
}

func TestWindowIsNeverExceeded(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Answers: &simulator.Answers{Delay: simulator.Between(0, 5*time.Millisecond)}, Receipts: noReceipts(),
	}}, func(o *Transport) { o.Window = 7 })
	for _, err := range b.sendMany(200) {
		t.Error(err)
	}
	if n := b.smsc.Counters().Sessions[0].PeakUnanswered; n > 7 || n < 5 {
		t.Errorf("%d submits were unanswered at once, want 7", n)
	}
}

func TestThrottledMessagesAllArrive(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Answers: &simulator.Answers{TPS: 100, Burst: 10, QueueFull: 0.02}, Receipts: noReceipts(),
	}}, func(o *Transport) { o.Window, o.ThrottleDelay = 20, options.Duration(20*time.Millisecond) })
	for _, err := range b.sendMany(150) {
		t.Error(err)
	}
	c := b.smsc.Counters()
	if c.Accepted != 150 {
		t.Errorf("%d were accepted, want 150 and none twice", c.Accepted)
	}
	throttled := c.Answers["ESME_RTHROTTLED"] + c.Answers["ESME_RMSGQFUL"]
	if throttled == 0 || throttled > 150 {
		t.Errorf("%d answers asked for less traffic", throttled)
	}
	for b.nextStatus().Type != "throttled" { // waits, and fails when it does not come
	}
}

func (b *bundle) nextStatus() *message.Status {
	b.Helper()
	return b.line.NextStatus(b)
}

func TestRefusalsAreInWords(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Rules: []simulator.Rule{
		{To: simulator.Matching("1$"), Status: simulator.Status(pdu.StatusInvDstAdr)},
		{To: simulator.Matching("2$"), Status: simulator.Status(pdu.StatusSysErr)},
	}}})
	for to, permanent := range map[string]bool{"27831": true, "27832": false} {
		m := outgoing("hello")
		m.To = to
		_, err := b.Send(within(t), m)
		if err == nil || message.IsPermanent(err) != permanent || !strings.Contains(err.Error(), "ESME_R") {
			t.Errorf("to %s: %v; permanent: want %t", to, err, permanent)
		}
	}
}

func TestUnansweredSubmit(t *testing.T) {
	lost := simulator.Behaviour{Answers: &simulator.Answers{Lost: 1}, Receipts: noReceipts()}
	unanswered := func(p string) func(*Transport) {
		return func(o *Transport) { o.SubmitTimeout, o.UnknownPolicy, o.UnknownWait = quick, p, quick }
	}
	t.Run("wait", func(t *testing.T) {
		b := start(t, simulator.Settings{Behaviour: lost}, unanswered(transports.UnknownWait))
		m := outgoing("hello")
		_, err := b.Send(within(t), m)
		if _, again := message.RetryDelay(err); !again || !errors.Is(err, errUnknown) {
			t.Fatalf("Send = %v, want to be asked again", err)
		}
		b.until("the wait is over", func() bool {
			_, err = b.SendAgain(within(t), m)
			return message.IsPermanent(err)
		})
		if n := b.smsc.Counters().Submits; n != 1 {
			t.Errorf("submitted %d times, want once", n)
		}
	})
	t.Run("fail", func(t *testing.T) {
		b := start(t, simulator.Settings{Behaviour: lost}, unanswered(transports.UnknownFail))
		if _, err := b.Send(within(t), outgoing("hello")); !message.IsPermanent(err) || !errors.Is(err, errUnknown) {
			t.Errorf("Send = %v", err)
		}
	})
	t.Run("resend", func(t *testing.T) {
		b := start(t, simulator.Settings{Behaviour: lost}, unanswered(transports.UnknownResend))
		if _, err := b.Send(within(t), outgoing("hello")); !message.IsPermanent(err) {
			t.Errorf("Send = %v", err)
		}
		if n := b.smsc.Counters().Submits; n != maxResends+1 {
			t.Errorf("submitted %d times, want %d", n, maxResends+1)
		}
	})
}

func TestLateAnswerIsTaken(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Answers: &simulator.Answers{Late: 1, LateBy: simulator.Fixed(400 * time.Millisecond)},
	}}, func(o *Transport) { o.SubmitTimeout = quick })
	m := outgoing("hello")
	if _, err := b.Send(within(t), m); !errors.Is(err, errUnknown) {
		t.Fatalf("Send = %v, want unknown", err)
	}
	var id string
	b.until("the late answer is known", func() (known bool) {
		var err error
		id, err = b.SendAgain(within(t), m)
		return err == nil
	})
	if n := b.smsc.Counters().Submits; id == "" || n != 1 {
		t.Errorf("id %q after %d submits, want the SMSC's id and one", id, n)
	}
	if e := b.line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != message.Delivered {
		t.Errorf("event = %s", e.Encode())
	}
}

// until polls a condition that no event announces.
func (b *bundle) until(what string, condition func() bool) {
	b.Helper()
	ctx := within(b)
	for !condition() {
		select {
		case <-ctx.Done():
			b.Fatalf("waited in vain until %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// A window that loses its connection is not stuck, and nothing in it is lost
// from sight.
func TestCutConnection(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Answers: &simulator.Answers{Delay: simulator.Between(0, 20*time.Millisecond)}, Receipts: noReceipts(),
		Links: &simulator.Links{DropEvery: simulator.Between(50*time.Millisecond, 150*time.Millisecond)},
	}}, func(o *Transport) { o.UnknownPolicy = transports.UnknownResend })
	for _, err := range b.sendMany(300) {
		if !errors.Is(err, errUnknown) {
			t.Error(err)
		}
	}
	if b.smsc.Counters().Accepted < 280 {
		t.Errorf("%+v", b.smsc.Counters())
	}
}

// Whatever an SMSC does wrong, every message ends and the transport lives on.
func TestMisbehaviour(t *testing.T) {
	for name, behaviour := range map[string]simulator.Behaviour{
		"garbage":         {Links: &simulator.Links{Garbage: 0.05}},
		"truncated":       {Links: &simulator.Links{Truncated: 0.05}},
		"oversized":       {Links: &simulator.Links{Oversized: 0.05}},
		"unknown command": {Links: &simulator.Links{UnknownCommand: 0.2}},
		"malformed":       {Links: &simulator.Links{Malformed: 0.2}},
		"unknown TLVs":    {Links: &simulator.Links{UnknownTLVs: true}},
		"wrong sequence":  {Answers: &simulator.Answers{WrongSequence: 0.1}},
		"duplicated":      {Answers: &simulator.Answers{Duplicated: 0.3}},
		"early":           {Answers: &simulator.Answers{Early: 0.1}},
		"nack":            {Answers: &simulator.Answers{Nack: 0.1}},
		"no id":           {Answers: &simulator.Answers{EmptyID: 0.3}},
		"drops":           {Links: &simulator.Links{DropRate: 0.03}},
		"deaf":            {Links: &simulator.Links{Hang: "silent", HangAfter: 40}},
		"unbinds":         {Links: &simulator.Links{UnbindAfter: 40}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, simulator.Settings{Behaviour: behaviour}, func(o *Transport) {
				o.SubmitTimeout, o.UnknownPolicy = 3*quick, transports.UnknownResend
				o.EnquireLinkInterval = 2 * quick
			})
			for _, err := range b.sendMany(100) {
				if !message.IsPermanent(err) && !strings.Contains(err.Error(), "ESME_RSYSERR") { // which a nack may say
					t.Error(err)
				}
			}
			b.smsc.SetBehaviour(simulator.Behaviour{})
			if b.send(outgoing("afterwards")) == "" {
				t.Error("no id")
			}
		})
	}
}
