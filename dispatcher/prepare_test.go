package dispatcher_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"switchboard/broker"
	"switchboard/dispatcher"
)

// prepared is a router that routes what it was prepared for, and panics once.
type prepared struct {
	known    map[string]bool
	panicked bool
}

func (p *prepared) Prepare(_ context.Context, arrivals []dispatcher.Arrival) {
	if !p.panicked {
		p.panicked = true
		panic("not yet")
	}
	for _, a := range arrivals {
		p.known[a.Message.ID] = true
	}
}

func (p *prepared) Route(_ context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	if !p.known[a.Message.ID] && a.Message.ID != "first" {
		return nil, fmt.Errorf("%s was not prepared for", a.Message.ID)
	}
	return dispatcher.To("app"), nil
}

// A router that prepares does so for many at once, before each is routed, and
// the queue's order is kept.
func TestPrepare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		router := &prepared{known: map[string]bool{}}
		b := start(t, router)
		defer b.stop()
		b.publish("sms.inbound", inbound("first").Encode())
		const n = 2000
		for i := range n {
			b.broker.PublishAsync(t.Context(), broker.Publication{Key: "sms.inbound", Body: inbound(fmt.Sprint(i)).Encode()}, func(error) {})
		}
		synctest.Wait()
		found := b.bodies("app.inbound")
		if len(found) != n+1 {
			t.Fatalf("%d of %d arrived", len(found), n+1)
		}
		for i, d := range found[1:] {
			if m := decode(t, d); m.ID != fmt.Sprint(i) {
				t.Fatalf("at place %d is message %s", i, m.ID)
			}
		}
	})
}
