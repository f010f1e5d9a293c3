package smppserver

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/store"
	"switchboard/store/memory"
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

// A store that takes its time keeps nobody's session from being read.
func TestASlowStoreLeavesSessionsAlone(t *testing.T) {
	b := prepare(t)
	s := newStuck(b.state, "plugin/server/mail/acme/tail")
	b.state = s
	b.collect()
	b.run()
	c := b.bound(pdu.CmdBindTransceiver)
	b.says("one")
	p, _ := c.deliverSM()
	e, err := b.app.running(within(t))
	if err != nil {
		t.Fatal(err)
	}
	box := e.customers["acme"].box
	box.mu.Lock()
	box.reserved = box.next
	box.mu.Unlock()
	close(s.from)
	b.says("two") // for which numbers have to be reserved
	<-s.came
	c.write(p.Respond(pdu.StatusRxTAppn))
	if p := c.ask(new(pdu.EnquireLink)); p.Status != pdu.StatusOK {
		t.Errorf("enquire_link got %s", p.Status)
	}
	close(s.free)
	if got := text(t, c.delivered()); got != "two" {
		t.Errorf("then came %q", got)
	}
}

// Where a process that starts begins to look is not behind what is being
// written.
func TestHeadIsNotBehindWhatIsWritten(t *testing.T) {
	state := memory.New()
	defer func() { _ = state.Close() }()
	s := newStuck(state, "mail/"+strconv.Itoa(1+2*reserveNumbers))
	options := defaultOptions()
	open := func(state store.State) *mailbox {
		b := store.NewBatcher(state, store.BatchSettings{})
		t.Cleanup(func() { _ = b.Close() })
		return newMailbox(b, "mail/", &options, func(int) {})
	}
	one := letter{Kind: kindReceipt, Body: new(pdu.DeliverSM)}
	box := open(s)
	if err := box.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	box.next += 2 * reserveNumbers // as if so many had come and gone
	if err := box.deposit(t.Context(), []letter{one}); err != nil {
		t.Fatal(err)
	}
	close(s.from)
	written := make(chan error)
	go func() { written <- box.deposit(t.Context(), []letter{one}) }()
	<-s.came
	dropped := make(chan error)
	first := box.mails[0]
	go func() { dropped <- box.drop(t.Context(), first) }()
	for gone := false; !gone; time.Sleep(time.Millisecond) {
		box.mu.Lock()
		gone = len(box.mails) == 0
		box.mu.Unlock()
	}
	close(s.free)
	if err := errors.Join(<-written, <-dropped); err != nil {
		t.Fatal(err)
	}
	next := open(state)
	if err := next.load(t.Context()); err != nil || len(next.mails) != 1 {
		t.Errorf("a process that starts finds %d of 1, %v", len(next.mails), err)
	}
}
