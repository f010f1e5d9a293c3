package smppserver

import (
	"fmt"
	"strings"
	"testing"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/worker"
)

// two has a second customer beside acme.
func two(a *Application) {
	other := acme()
	other.Addresses = options.Names{"5555"}
	a.Customers = append(a.Customers, options.Pair[Customer]{Key: "other", Value: other})
}

// What waits for a customer who is bound and answers nothing moves out of the others' way.
func TestAMuteCustomerHoldsUpNobody(t *testing.T) {
	const waiting = 2 * inFlight
	b := prepare(t)
	b.collect()
	for n := range waiting {
		b.says("for the mute", func(m *message.Message) { m.From = fmt.Sprintf("+2783%07d", n) })
	}
	b.says("for the other", func(m *message.Message) { m.To = "5555" })
	b.run(two)
	b.bound(pdu.CmdBindTransceiver) // and reads nothing
	if got := text(t, b.boundAs("other", pdu.Version34).delivered()); got != "for the other" {
		t.Errorf("got %q", got)
	}
	b.eventually("all is in the queue of the mute", func() bool {
		info, err := b.broker.Inspect(within(t), connector+".customer.acme")
		return err == nil && info.Messages >= waiting-2*defaultWindow*defaultMaxBinds && b.queued() >= waiting
	})
}

// What waits for a customer who is taken out of the file goes to another one who has the
// address now, or to the dead letters with the reason.
func TestARemovedCustomerLosesNothing(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransmitter) // takes nothing
	c.submit(simple("hi"))
	b.event(report(b.sent(), message.Delivered))
	b.says("for whoever has 9292")
	b.says("for nobody", func(m *message.Message) { m.To = "27831110000" })
	b.eventually("all is kept", func() bool { return b.queued() == 3 })
	b.eventually("its queue is known", func() bool {
		found, err := b.state.Get(within(t), "plugin/server/queue/customer.acme")
		return err == nil && len(found) == 1
	})
	_ = c.conn.Close()
	b.stop()
	b.run(func(a *Application) {
		heir := acme()
		heir.Addresses = options.Names{"9292"}
		a.Customers = options.Map[Customer]{{Key: "heir", Value: heir}}
	})
	if got := text(t, b.boundAs("heir", pdu.Version34).delivered()); got != "for whoever has 9292" {
		t.Errorf("the heir got %q", got)
	}
	for queue, want := range map[string]string{"inbound": "no customer has the address", "event": "customer acme, who submitted"} {
		b.eventually("the rest is a dead letter", func() bool {
			said := ""
			err := b.broker.Browse(within(t), connector+"."+queue+broker.DeadSuffix, 9, func(d *broker.Delivery) (broker.Verdict, error) {
				said += d.Headers[worker.HeaderError]
				return broker.Keep, nil
			})
			return err == nil && strings.Contains(said, want)
		})
	}
}

// A customer who falls silent with deliver_sm in its window holds the connector's queues
// for a moment only; its answer counts all the same when it comes.
func TestALateAnswerCounts(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransceiver)
	b.says("hello")
	p, _ := c.deliverSM()
	b.eventually("the connector's queue is free", func() bool {
		info, err := b.broker.Inspect(within(t), connector+".inbound")
		return err == nil && info.Messages == 0 && b.running().customers["acme"].isWaiting()
	})
	c.write(p.Respond(pdu.StatusOK))
	b.eventually("nothing is kept", func() bool { return b.queued() == 0 })
	b.says("the next")
	if got := text(t, c.delivered()); got != "the next" {
		t.Errorf("it came again: %q", got)
	}
}

func (c *customer) isWaiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting == 1 && c.direct == 0
}

// Names of queues are for the broker, and no two customers share one.
func TestQueuesHaveNames(t *testing.T) {
	names := map[string]string{}
	for _, id := range []string{"acme", "ACME", "Acme", "a.c", "a c", "a/c", "ä", "a", "A1_-"} {
		name := queueOf(id)
		if was, taken := names[name]; taken {
			t.Errorf("%q and %q are both %s", id, was, name)
		}
		if err := worker.CheckConnector(name); err != nil {
			t.Error(err)
		}
		names[name] = id
	}
	if names["customer.acme"] != "acme" {
		t.Errorf("got %v", names)
	}
}
