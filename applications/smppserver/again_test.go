package smppserver

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"switchboard/applications"
	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

// part is one of two parts of a message.
func part(reference, seq byte, text string) *pdu.SubmitSM {
	return simple("", func(m *pdu.Message) {
		m.ESMClass, m.ShortMessage = pdu.ESMUDHI, append([]byte{5, 0, 3, reference, 2, seq}, text...)
	})
}

func (b *bundle) running() *engine {
	b.Helper()
	e, err := b.app.engine.Get(within(b))
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// open is how many long messages wait for parts.
func (e *engine) open() int { return e.customers["acme"].parts.Open() }

// Parts of a message that is complete get the answers they got, when those were
// lost, and make no other message.
func TestPartsOfACompleteMessageAgain(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransceiver)
	one, two := c.submit(part(77, 1, "one ")), c.submit(part(77, 2, "two"))
	m := b.sent()
	for range 2 {
		if again := c.submit(part(77, 2, "two")); again != two {
			t.Errorf("the last part got %s, then %s", two, again)
		}
	}
	if again := c.submit(part(77, 1, "one ")); again != one {
		t.Errorf("the first part got %s, then %s", one, again)
	}
	b.none()
	if n := b.running().open(); n != 0 {
		t.Errorf("%d messages wait for parts", n)
	}
	// A client that counts nothing sends another message that begins alike.
	if again := c.submit(part(77, 1, "one ")); again != one {
		t.Errorf("a first part like that got %s, want %s", again, one)
	}
	c.submit(part(77, 2, "too"))
	if next := b.sent(); next.Content != "one too" || next.ID == m.ID {
		t.Errorf("after %s came %q as %s", m.ID, next.Content, next.ID)
	}
}

// forgetful is a state that never learns that a message is complete.
type forgetful struct {
	store.State
	on atomic.Bool
}

func (f *forgetful) Set(ctx context.Context, entries ...store.Entry) error {
	for _, e := range entries {
		if f.on.Load() && strings.Contains(e.Key, "/parts/") && strings.HasSuffix(e.Key, "/done") {
			return errors.New("the process was killed before this")
		}
	}
	return f.State.Set(ctx, entries...)
}

// A process killed between a message's publication and the last part's answer
// has left what is needed to know that part again: the fleet sees the same
// message, and what became of it stays known.
func TestLastPartAgainAfterAKill(t *testing.T) {
	for name, version := range map[string]uint8{"3.4": pdu.Version34, "3.3": pdu.Version33} {
		t.Run(name, func(t *testing.T) {
			b := prepare(t)
			state := &forgetful{State: b.state}
			b.state = state
			b.collect()
			b.run()
			come := func() *esme {
				c, l := b.dial(), login(pdu.CmdBindTransceiver)
				l.InterfaceVersion = version
				if p := c.ask(l); p.Status != pdu.StatusOK {
					t.Fatal(p)
				}
				return c
			}
			c := come()
			c.submit(part(7, 1, "one "))
			state.on.Store(true)
			id := c.submit(part(7, 2, "two"))
			m := b.sent()
			b.event(report(m, message.Delivered))
			for range 2 {
				c.delivered()
			}
			_ = c.conn.Close()
			b.stop()
			b.run()
			c = come()
			b.eventually("the message is found", func() bool { return b.running().open() == 1 })
			b.running().giveUpParts(b.Context(), time.Now().Add(2*time.Hour)) // EXPIRED would come before the answer below
			if again := c.submit(part(7, 2, "two")); again != id {
				t.Errorf("the last part got %s, then %s", id, again)
			}
			if next := b.sent(); next.ID != m.ID || next.Content != m.Content {
				t.Errorf("the fleet got %s and then %s", m.Encode(), next.Encode())
			}
			p := c.ask(&pdu.QuerySM{MessageID: id})
			if body := p.Body.(*pdu.QuerySMResp); body.State != pdu.StateDelivered {
				t.Errorf("then it is %s", body.State)
			}
		})
	}
}

// slow is a broker that takes its time.
type slow struct {
	applications.Sender
	came, free chan struct{}
}

func (s slow) Send(ctx context.Context, m *message.Message) error {
	close(s.came)
	select {
	case <-s.free:
		return s.Sender.Send(ctx, m)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A message whose last part is being published is not given up meanwhile.
func TestNothingIsGivenUpWhileItIsPublished(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransceiver)
	c.submit(part(7, 1, "one "))
	e := b.running()
	s := slow{e.out, make(chan struct{}), make(chan struct{})}
	e.out = s
	c.send(part(7, 2, "two"))
	<-s.came
	e.giveUpParts(b.Context(), time.Now().Add(2*time.Hour))
	if p := c.ask(new(pdu.EnquireLink)); p.Status != pdu.StatusOK { // an EXPIRED would come first
		t.Fatal(p)
	}
	if n := b.queued(); n != 0 {
		t.Errorf("%d receipts are kept", n)
	}
	close(s.free)
	if p := c.next(); p.Command() != pdu.CmdSubmitSMResp || p.Status != pdu.StatusOK {
		t.Errorf("got %s", p)
	}
	b.event(report(b.sent(), message.Delivered))
	for range 2 {
		if m := c.delivered(); !strings.Contains(string(m.ShortMessage), "stat:DELIVRD") {
			t.Errorf("the receipt is %q", m.ShortMessage)
		}
	}
	b.eventually("nothing waits", func() bool { return e.open() == 0 && b.queued() == 0 })
}
