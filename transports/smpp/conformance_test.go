package smpp

import (
	"context"
	"sync"
	"testing"
	"time"

	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
	"switchboard/transports"
	"switchboard/transports/transporttest"
)

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) *transporttest.Outside {
		v := simulate(t, simulator.Settings{Behaviour: friendly()})
		tr := configured(t, v.Addr(), func(o *Transport) {
			o.SendLongMessages, o.Password = true, "s3cr3tpw"
			o.UnknownPolicy, o.SubmitTimeout = transports.UnknownFail, options.Duration(time.Second)
		})
		p := &phone{v: v}
		return &transporttest.Outside{
			Transport: tr, Say: p.say, Hear: p.hear, Leave: sync.OnceFunc(func() { _ = v.Close() }),
			Meet: map[transporttest.Outcome]func(){
				transporttest.Pending: func() {
					b := friendly()
					b.Receipts = &simulator.Receipts{Intermediate: 1, Lost: 1, Always: true}
					v.SetBehaviour(b)
				},
				transporttest.Temporary: func() { p.once(pdu.StatusSysErr) },
				transporttest.Throttled: func() { p.once(pdu.StatusThrottled) },
				transporttest.Permanent: func() { p.once(pdu.StatusInvDstAdr) },
				transporttest.Unknown:   func() { p.meet(simulator.Answers{Lost: 1}) },
			},
			Stall: func() (release func()) {
				p.meet(simulator.Answers{Delay: simulator.Fixed(300 * time.Millisecond)})
				return func() {}
			},
			Secrets: []string{"s3cr3tpw"},
		}
	})
}

// friendly delivers without receipts.
func friendly() simulator.Behaviour {
	return simulator.Behaviour{
		Delivery: &simulator.Delivery{Retries: -1}, Receipts: &simulator.Receipts{Form: "none"},
	}
}

// phone is a person at the SMSC's other side.
type phone struct {
	v       *simulator.SMSC
	next    uint64
	submits int // seen
}

// once answers the next submit with a status, and those after it as before.
func (p *phone) once(status pdu.Status) {
	p.meet(simulator.Answers{Errors: []simulator.ErrorRate{{Status: simulator.Status(status), Rate: 1}}})
}

// meet answers the next submit so, and those after it as before.
func (p *phone) meet(answers simulator.Answers) {
	b := friendly()
	b.Answers = &answers
	before := answered(p.v.Counters())
	p.v.SetBehaviour(b)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), transporttest.Patience)
		defer cancel()
		if p.v.Wait(ctx, "the answer is decided", func(c simulator.Counters) bool { return answered(c) > before }) == nil {
			p.v.SetBehaviour(friendly())
		}
	}()
}

// answered is how many submits the SMSC has decided about.
func answered(c simulator.Counters) (n uint64) {
	for _, of := range c.Answers {
		n += of
	}
	return n + c.LostAnswers
}

func (p *phone) say(ctx context.Context, text string) error {
	if err := p.v.WaitBound(ctx, 1); err != nil {
		return err
	}
	return p.v.Deliver(ctx, simulator.Incoming{From: "27831234567", To: "9292", Text: text})
}

func (p *phone) hear(ctx context.Context) (string, error) {
	for {
		list, _ := p.v.ReceivedSince(p.next)
		for _, r := range list {
			p.next++
			if r.Message() == nil {
				continue
			}
			p.submits++
			if r.Status == pdu.StatusOK {
				return r.Text(), nil
			}
		}
		if err := p.v.WaitSubmits(ctx, p.submits+1); err != nil {
			return "", err
		}
	}
}

// quick is short enough to wait for, and long enough for a machine under load.
const quick = options.Duration(100 * time.Millisecond)
