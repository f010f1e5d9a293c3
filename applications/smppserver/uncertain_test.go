package smppserver

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

// mumbling is a state whose answer to a write of a deliver_sm is lost once, whether the
// write was done or not.
type mumbling struct {
	store.State
	writes bool
	lost   atomic.Bool
}

func (m *mumbling) Set(ctx context.Context, entries ...store.Entry) error {
	for _, e := range entries {
		if strings.Contains(e.Key, "/deliver/") && m.lost.CompareAndSwap(false, true) {
			if m.writes {
				_ = m.State.Set(ctx, entries...)
			}
			return errors.New("the connection was lost before the database answered")
		}
	}
	return m.State.Set(ctx, entries...)
}

// A receipt of which the database did not say whether it has it reaches the
// customer all the same, and once.
func TestUncertainReceipts(t *testing.T) {
	for name, written := range map[string]bool{"it was written": true, "it was not": false} {
		t.Run(name, func(t *testing.T) {
			b := begin(t)
			b.stop()
			state := &mumbling{State: b.state, writes: written}
			b.state = state
			b.run()
			e, err := b.app.running(within(t))
			if err != nil {
				t.Fatal(err)
			}
			e.customers["acme"].queue.uncertainFor = 50 * time.Millisecond
			c := b.bound(pdu.CmdBindTransceiver)
			id := c.submit(simple("hi"))
			b.event(report(b.sent(), message.Delivered))
			if r := c.delivered(); !state.lost.Load() || !strings.HasPrefix(string(r.ShortMessage), "id:"+id+" ") {
				t.Errorf("the receipt is %q; an answer was lost: %t", r.ShortMessage, state.lost.Load())
			}
			b.eventually("nothing is kept", func() bool { return b.queued() == 0 })
			next := c.submit(simple("the next"))
			b.event(report(b.sent(), message.Delivered))
			if r := c.delivered(); !strings.HasPrefix(string(r.ShortMessage), "id:"+next+" ") {
				t.Errorf("then came %q", r.ShortMessage)
			}
		})
	}
}
