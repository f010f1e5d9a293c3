package smppserver

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"switchboard/smpp/pdu"
	"switchboard/store"
)

// stuck is a state that keeps those waiting who set certain keys, from a time on.
type stuck struct {
	store.State
	keys string        // the beginning of their names
	from chan struct{} // closed
	came chan struct{} // one token: somebody waits
	free chan struct{} // closed
}

func newStuck(state store.State, keys string) *stuck {
	return &stuck{state, keys, make(chan struct{}), make(chan struct{}, 1), make(chan struct{})}
}

func (s *stuck) Set(ctx context.Context, entries ...store.Entry) error {
	select {
	case <-s.from:
	default:
		return s.State.Set(ctx, entries...)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Key, s.keys) {
			continue
		}
		select {
		case s.came <- struct{}{}:
		default:
		}
		select {
		case <-s.free:
		case <-ctx.Done():
			return errors.New("the database is away")
		}
	}
	return s.State.Set(ctx, entries...)
}

// A store that takes its time keeps nobody's session from being read, and holds up
// nobody's next message.
func TestASlowStoreLeavesSessionsAlone(t *testing.T) {
	b := prepare(t)
	s := newStuck(b.state, "plugin/server/seen/")
	b.state = s
	b.collect()
	b.run()
	c := b.bound(pdu.CmdBindTransceiver)
	close(s.from)
	b.says("one")
	c.delivered()
	<-s.came // that it was delivered has to be stored
	b.says("two")
	p, m := c.deliverSM()
	if got := text(t, m); got != "two" {
		t.Errorf("then came %q", got)
	}
	c.write(p.Respond(pdu.StatusRxTAppn))
	if p := c.ask(new(pdu.EnquireLink)); p.Status != pdu.StatusOK {
		t.Errorf("enquire_link got %s", p.Status)
	}
	close(s.free)
	if got := text(t, c.delivered()); got != "two" {
		t.Errorf("then came %q", got)
	}
	b.eventually("nothing is kept", func() bool { return b.queued() == 0 })
}

// unreachable is a state that does not tell which messages came before, while it is away.
type unreachable struct {
	store.State
	now atomic.Bool
}

func (a *unreachable) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	if a.now.Load() && strings.HasPrefix(keys[0], "plugin/server/seen/") {
		return nil, errors.New("the database is away")
	}
	return a.State.Get(ctx, keys...)
}

// What is dead-lettered from a customer's queue waits there no more.
func TestDeadLettersDoNotWait(t *testing.T) {
	b := prepare(t)
	state := &unreachable{State: b.state}
	b.state, b.attempts = state, 1
	b.collect()
	b.run()
	b.says("hi")
	b.eventually("it is kept", func() bool { return b.queued() == 1 })
	state.now.Store(true)
	b.bound(pdu.CmdBindReceiver)
	b.eventually("it is dead-lettered", func() bool { return strings.Contains(b.log.String(), "dead-lettered") })
	state.now.Store(false)
	b.eventually("the customer keeps up", b.running().inOrder[0].keepsUp)
}
