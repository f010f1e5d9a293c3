package smpp

import (
	"strings"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
	"switchboard/transports"
	"switchboard/transports/transporttest"
)

// The longest and the shortest content go out, arrive, and are reported once.
func TestContentOfAnyLength(t *testing.T) {
	for name, c := range map[string]struct {
		text     string
		segments int
	}{
		"10,000 characters":       {strings.Repeat("0123456789", 1000), 66},
		"10,000 in UCS2":          {strings.Repeat("012345678☃", 1000), 150},
		"none":                    {"", 1},
		"as many as segments can": {strings.Repeat("x", 255*153), 255},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, simulator.Settings{}, func(o *Transport) { o.Window, o.AllowEmptyMessages = 50, true }).bound()
			m := outgoing(c.text)
			b.send(m)
			got := map[int]string{}
			for _, r := range b.smsc.Submitted() {
				p := smpp.PartOf(r.Message())
				got[int(p.Seq)] += r.Text()
			}
			text := ""
			for n := range c.segments {
				text += got[n+1]
			}
			if len(got) != c.segments || text != c.text {
				t.Errorf("%d segments, want %d; together %.40q…", len(got), c.segments, text)
			}
			if e := b.line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != message.Delivered {
				t.Errorf("event = %s", e.Encode())
			}
			if c.segments == 255 {
				return // the parts of which are looked for at each other's coming: that takes its time
			}
			b.says(simulator.Incoming{Text: c.text})
			if in := b.line.Next(t); in.Content != c.text {
				t.Errorf("received %.40q… of %d octets, want %d", in.Content, len(in.Content), len(c.text))
			}
		})
	}
}

// What no SMSC should send is answered by generic_nack, as §4.3 has it, and the
// link stays.
func TestUnknownCommandsAreNacked(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Links: &simulator.Links{UnknownCommand: 1}, Receipts: noReceipts()}}).bound()
	for range 5 {
		b.send(outgoing("hello"))
	}
	err := b.smsc.Wait(within(t), "five generic_nack", func(c simulator.Counters) bool { return c.Received["generic_nack"] >= 5 })
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range b.smsc.Received() {
		if r.PDU.Command() == pdu.CmdGenericNack && r.PDU.Status != pdu.StatusInvCmdID {
			t.Errorf("nacked with %s, want ESME_RINVCMDID", r.PDU.Status)
		}
	}
	if c := b.smsc.Counters(); c.Connections != 1 {
		t.Errorf("%d connections, want one", c.Connections)
	}
}

// An answer under a sequence_number that nobody used settles nothing: the submit
// it was for is unknown, and the window is free again.
func TestWrongSequenceNumbers(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Answers: &simulator.Answers{WrongSequence: 1}, Receipts: noReceipts()}},
		func(o *Transport) { o.Window, o.SubmitTimeout, o.UnknownPolicy = 1, quick, transports.UnknownFail })
	if _, err := b.Send(within(t), outgoing("hello")); !message.IsPermanent(err) || !strings.Contains(err.Error(), "unknown") {
		t.Errorf("Send = %v, want that it is unknown", err)
	}
	if n := b.metric("switchboard_smpp_protocol_errors_total", "what", "answer to nothing"); n != 1 {
		t.Errorf("%v answers to nothing, want one", n)
	}
	b.smsc.SetBehaviour(simulator.Behaviour{})
	b.send(outgoing("afterwards"))
}

// Whatever a bind is refused with, the status event says it in words, and the
// tries come at a growing distance.
func TestEveryRefusalOfABind(t *testing.T) {
	const tries, first = 3, 8 * time.Millisecond
	for status := pdu.StatusInvMsgLen; status <= pdu.StatusInvBcastChanInd+1; status++ {
		name := status.String()
		if name[0] != 'E' && status <= pdu.StatusInvBcastChanInd {
			continue // reserved
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{Binds: &simulator.Binds{Refuse: simulator.Status(status), First: tries}}})
			tr := connected(t, v.Addr(), remember(t), nil, func(o *Transport) { o.InitialReconnectDelay = options.Duration(first) })
			b := &bundle{T: t, smsc: v, line: transporttest.NewPublisher()}
			began := time.Now()
			transporttest.Start(t, tr, b.line)
			for range tries {
				if s := b.awaitStatus("bind_refused"); !strings.Contains(s.Text, name+": ") || !strings.Contains(s.Text, status.Words()) || status.Words() == "" {
					t.Errorf("status = %s", s.Encode())
				}
			}
			b.awaitStatus("bound")
			if took := time.Since(began); took < (1+2+4)*first/2 || v.Counters().Refused != tries {
				t.Errorf("refused %d times within %s", v.Counters().Refused, took)
			}
		})
	}
}
