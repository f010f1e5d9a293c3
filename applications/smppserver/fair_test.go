package smppserver

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

// shut is a state that does not say which messages were seen until it is opened.
type shut struct {
	store.State
	open chan struct{} // closed
}

func (s *shut) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	if strings.Contains(keys[0], "/seen/") {
		select {
		case <-s.open:
		case <-ctx.Done():
		}
	}
	return s.State.Get(ctx, keys...)
}

// What waits for a customer who answers nothing shares the state store's round
// trips: the others behind it in the queue are not held up for one each.
func TestAMuteCustomerHoldsUpNobody(t *testing.T) {
	const waiting = 2 * inFlight
	b := prepare(t)
	state := &shut{b.state, make(chan struct{})}
	b.state = state
	b.collect()
	for n := range waiting {
		b.says("for the mute", func(m *message.Message) { m.From = fmt.Sprintf("+2783%07d", n) })
	}
	b.says("for the other", func(m *message.Message) { m.To = "5555" })
	b.run(func(a *Application) {
		a.KeepMax = waiting / 2 // more wait than are kept
		other := acme()
		other.Addresses = options.Names{"5555"}
		a.Customers = append(a.Customers, options.Pair[Customer]{Key: "other", Value: other})
	})
	e := b.running()
	b.eventually("hundreds are worked on at once", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.busy >= 400
	})
	close(state.open)
	b.bound(pdu.CmdBindTransceiver) // and reads nothing
	if got := text(t, b.boundAs("other", pdu.Version34).delivered()); got != "for the other" {
		t.Errorf("got %q", got)
	}
}
