package smppserver

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

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
	s := newStuck(b.state, "plugin/server/deliver/acme/")
	b.state = s
	b.collect()
	b.run()
	c := b.bound(pdu.CmdBindTransceiver)
	b.says("one")
	p, _ := c.deliverSM()
	close(s.from)
	b.says("two") // which has to be stored
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

// A process that starts finds what is being written while others are removed, in
// the order of its coming.
func TestAQueueIsFoundAgain(t *testing.T) {
	state := memory.New()
	defer func() { _ = state.Close() }()
	s := newStuck(state, "deliver/")
	options := defaultOptions()
	open := func(state store.State) *deliverQueue {
		b := store.NewBatcher(state, store.BatchSettings{})
		t.Cleanup(func() { _ = b.Close() })
		return newDeliverQueue(b, "deliver/", &options, func(int) {})
	}
	q := open(s)
	add := func(id string) error {
		return q.add(t.Context(), []deliverSM{{ID: id, Kind: kindReceipt, Body: new(pdu.DeliverSM)}})
	}
	for n := range 2 * loadBatch {
		if err := add(strconv.Itoa(n)); err != nil {
			t.Fatal(err)
		}
	}
	close(s.from)
	written := make(chan error)
	go func() { written <- add("last") }()
	<-s.came
	var removing sync.WaitGroup
	for _, m := range slices.Clone(q.list[:loadBatch]) {
		removing.Go(func() {
			if err := q.remove(t.Context(), m); err != nil {
				t.Error(err)
			}
		})
	}
	close(s.free)
	removing.Wait()
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	next := open(state)
	if err := next.load(t.Context()); err != nil || len(next.list) != loadBatch+1 {
		t.Fatalf("a process that starts finds %d of %d, %v", len(next.list), loadBatch+1, err)
	}
	for n, m := range next.list {
		want := strconv.Itoa(loadBatch + n)
		if n == loadBatch {
			want = "last"
		}
		if d, err := next.content(t.Context(), m); err != nil || d == nil || d.ID != want {
			t.Fatalf("at %d is %+v, want %s, %v", n, d, want, err)
		}
	}
}
