package smpp

import (
	"context"
	"sync"
	"testing"
	"time"

	"switchboard/options"
	"switchboard/smpp/simulator"
	"switchboard/transports/transporttest"
)

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) *transporttest.Outside {
		v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{
			Delivery: &simulator.Delivery{Retries: -1}, Receipts: &simulator.Receipts{Form: "none"},
		}})
		state := remember(t)
		tr := connected(t, v.Addr(), state, nil, func(o *Transport) { o.SendLongMessages = true })
		p := &phone{v: v}
		leave := sync.OnceFunc(func() {
			_ = v.Close()
			_ = state.Close()
		})
		return &transporttest.Outside{Transport: tr, Say: p.say, Hear: p.hear, Leave: leave}
	})
}

// phone is a person at the SMSC's other side.
type phone struct {
	v    *simulator.SMSC
	next uint64
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
			if r.Message() != nil {
				return r.Text(), nil
			}
		}
		n := p.v.Counters().Submits
		if err := p.v.WaitSubmits(ctx, int(n)+1); err != nil {
			return "", err
		}
	}
}

// quick is short enough to wait for, and long enough for a machine under load.
const quick = options.Duration(100 * time.Millisecond)
