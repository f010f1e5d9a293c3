package smpp

import (
	"fmt"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp/simulator"
)

// In a storm of everything at once each message ends, with an ack or with a nack
// that says why, and each that was acknowledged is reported, once.
func TestEveryMessageEnds(t *testing.T) {
	const many, rate = 400, 200
	v := simulate(t, simulator.Settings{Seed: 1, Behaviour: simulator.Behaviour{
		Answers: &simulator.Answers{
			Delay: simulator.Between(0, 20*time.Millisecond), TPS: 150, QueueFull: 0.01, Lost: 0.02, Late: 0.02,
			LateBy: simulator.Fixed(500 * time.Millisecond), Duplicated: 0.05, WrongSequence: 0.01, Nack: 0.01,
			Errors: []simulator.ErrorRate{{Status: 0x0B, Rate: 0.02}},
		},
		Receipts: &simulator.Receipts{
			Delay: simulator.Between(0, 100*time.Millisecond), Early: 0.2, Duplicated: 0.1, Unmatched: 0.05,
			Outcomes: []simulator.Outcome{{State: "UNDELIV", Rate: 0.1}},
		},
		Links: &simulator.Links{DropRate: 0.005, UnknownTLVs: true, UnknownCommand: 0.01, Malformed: 0.01, Garbage: 0.002},
	}})
	state := remember(t)
	f := employ(t, connected(t, v.Addr(), state, nil, func(o *Transport) {
		o.Window, o.MTTPS, o.SubmitTimeout, o.UnknownWait = 50, rate, 3*quick, 10*quick
		o.ThrottleDelay = options.Duration(10 * time.Millisecond)
	}), state)
	defer f.stop()
	for i := range many {
		m := outgoing("hello")
		m.ID, m.To = fmt.Sprintf("m%d", i), fmt.Sprintf("2783%07d", i)
		f.publish(m)
	}
	ended, reported := map[string]message.EventType{}, map[string]message.DeliveryStatus{}
	unreported := map[string]bool{}
	for len(ended) < many || len(unreported) > 0 {
		switch e := f.next(); e.Type {
		case message.DeliveryReport:
			if last := reported[e.MessageID]; last != "" {
				t.Errorf("%s after it was %s", e.Encode(), last)
			}
			reported[e.MessageID] = e.DeliveryStatus
			delete(unreported, e.MessageID)
		default:
			if e.Type == message.Nack && e.NackReason == "" {
				t.Errorf("a nack without a reason: %s", e.Encode())
			}
			ended[e.MessageID] = e.Type
			if e.Type == message.Ack && reported[e.MessageID] == "" {
				unreported[e.MessageID] = true
			}
		}
	}
	c := v.Counters()
	t.Logf("%d submits, %d dropped connections, %d reported", c.Submits, c.Dropped, len(reported))
}
