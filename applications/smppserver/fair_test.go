package smppserver

import (
	"context"
	"fmt"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

// distant is a state that is some milliseconds away, as a database may be.
type distant struct{ store.State }

const distance = 10 * time.Millisecond

func (d distant) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	time.Sleep(distance)
	return d.State.Get(ctx, keys...)
}

func (d distant) Set(ctx context.Context, entries ...store.Entry) error {
	time.Sleep(distance)
	return d.State.Set(ctx, entries...)
}

// A customer who answers nothing, with more waiting than is kept for one, holds up
// nobody behind it in the queue.
func TestAMuteCustomerHoldsUpNobody(t *testing.T) {
	b := prepare(t)
	b.state = distant{b.state}
	b.collect()
	for n := range 12_000 {
		b.says("for the mute", func(m *message.Message) { m.From = fmt.Sprintf("+2783%07d", n) })
	}
	b.says("for the other", func(m *message.Message) { m.To = "5555" })
	b.run(func(a *Application) {
		other := acme()
		other.Addresses = options.Names{"5555"}
		a.Customers = append(a.Customers, options.Pair[Customer]{Key: "other", Value: other})
	})
	b.bound(pdu.CmdBindTransceiver) // and reads nothing
	if got := text(t, b.boundAs("other", pdu.Version34).delivered()); got != "for the other" {
		t.Errorf("got %q", got)
	}
}
