package smppserver

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

// mumbling is a state whose answer to the write that a receipt was delivered is lost once,
// whether the write was done or not.
type mumbling struct {
	store.State
	writes bool
	lost   atomic.Bool
}

func (m *mumbling) Set(ctx context.Context, entries ...store.Entry) error {
	for _, e := range entries {
		if strings.Contains(e.Value, `"receipted":true`) && m.lost.CompareAndSwap(false, true) {
			if m.writes {
				_ = m.State.Set(ctx, entries...)
			}
			return errors.New("the connection was lost before the database answered")
		}
	}
	return m.State.Set(ctx, entries...)
}

// A receipt reaches the customer once, although the database did not say whether it knows
// that.
func TestUncertainReceipts(t *testing.T) {
	for name, written := range map[string]bool{"it was written": true, "it was not": false} {
		t.Run(name, func(t *testing.T) {
			b := begin(t)
			b.stop()
			state := &mumbling{State: b.state, writes: written}
			b.state = state
			b.run()
			c := b.bound(pdu.CmdBindTransceiver)
			id := c.submit(simple("hi"))
			b.event(report(b.sent(), message.Delivered))
			if r := c.delivered(); !strings.HasPrefix(string(r.ShortMessage), "id:"+id+" ") {
				t.Errorf("the receipt is %q", r.ShortMessage)
			}
			b.eventually("nothing is kept", func() bool { return b.queued() == 0 })
			if !state.lost.Load() {
				t.Error("no answer was lost")
			}
			next := c.submit(simple("the next"))
			b.event(report(b.sent(), message.Delivered))
			if r := c.delivered(); !strings.HasPrefix(string(r.ShortMessage), "id:"+next+" ") {
				t.Errorf("then came %q", r.ShortMessage)
			}
		})
	}
}
