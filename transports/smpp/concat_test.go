package smpp

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"switchboard/internal/testutil"
	"switchboard/smpp"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
	"switchboard/store"
	"switchboard/transports/transporttest"
)

// segment delivers one part of a long message of reference 77.
func (b *bundle) segment(n, total int, text string) error {
	return b.smsc.DeliverPDU(within(b), "", &pdu.DeliverSM{Message: pdu.Message{
		Source: simulator.Number("27831234567"), Dest: simulator.Number("9292"), ESMClass: pdu.ESMUDHI,
		ShortMessage: append([]byte{5, 0, 3, 77, byte(total), byte(n)}, text...),
	}})
}

func (b *bundle) segments(total int, texts map[int]string, order ...int) {
	b.Helper()
	for _, n := range order {
		if err := b.segment(n, total, texts[n]); err != nil {
			b.Fatal(err)
		}
	}
}

func (b *bundle) hears(wants ...string) {
	b.Helper()
	for _, want := range wants {
		if m := b.line.Next(b); m.Content != want {
			b.Errorf("received %q, want %q", m.Content, want)
		}
	}
}

// stumbling is a state in which nothing can be begun.
type stumbling struct {
	store.State
	failing atomic.Int32
}

func (s *stumbling) Add(ctx context.Context, e store.Entry) (string, bool, error) {
	if s.failing.Add(-1) >= 0 {
		return "", false, errors.New("the database is starting up")
	}
	return s.State.Add(ctx, e)
}

// A message whose beginning failed once is still given up in time.
func TestGroupIsNotedOnTheSecondTry(t *testing.T) {
	v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{Delivery: &simulator.Delivery{Retries: -1}}})
	state := &stumbling{State: remember(t)}
	tr := connected(t, v.Addr(), state, nil, func(o *Transport) { o.ReassemblyTTL = quick })
	line := transporttest.NewPublisher()
	transporttest.Start(t, tr, line)
	b := (&bundle{T: t, Transport: tr, smsc: v, line: line}).bound()
	state.failing.Store(1)
	if err := b.segment(1, 2, "one "); err == nil || !strings.Contains(err.Error(), "ESME_RX_T_APPN") {
		t.Fatalf("the SMSC is told %v", err)
	}
	b.segments(2, map[int]string{1: "one "}, 1)
	b.hears("one ")
}

// A reference that is used again before its message is whole does not mix two
// messages.
func TestReferenceIsTakenAnew(t *testing.T) {
	b := start(t, simulator.Settings{}).bound()
	b.segments(3, map[int]string{1: "old one ", 2: "old two "}, 1, 2)
	b.segments(3, map[int]string{1: "new one ", 2: "new two ", 3: "new three"}, 1, 2, 3)
	b.hears("old one old two ", "new one new two new three")
}

// Messages that begin alike, with one reference, are both whole; what is only
// sent again is no new message.
func TestMessagesThatBeginAlike(t *testing.T) {
	b := start(t, simulator.Settings{}).bound()
	first := map[int]string{1: "dear customer ", 2: "yes"}
	b.segments(2, first, 1, 2, 1, 2, 1)
	b.segments(2, map[int]string{1: "dear customer ", 2: "no"}, 1, 2)
	b.hears("dear customer yes")
	e, err := b.running(within(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range e.receiver.parts.Due(time.Now().Add(smpp.DoubtWait + time.Second)) {
		if err := e.receiver.parts.GiveUp(t.Context(), g); err != nil {
			t.Fatal(err)
		}
	}
	b.says(simulator.Incoming{Text: "the last"})
	b.hears("dear customer no", "the last")
}

// A part that was sent again is not taken for one of the next message, which has
// its own.
func TestPartOfTheMessageBefore(t *testing.T) {
	b := start(t, simulator.Settings{}).bound()
	b.segments(2, map[int]string{1: "one ", 2: "two"}, 1, 2, 2)
	b.segments(2, map[int]string{1: "three ", 2: "four"}, 1, 2)
	b.hears("one two", "three four")
}

// A process whose group another has finished leaves the next one of that name
// alone.
func TestStaleGroupIsLeftAlone(t *testing.T) {
	b := start(t, simulator.Settings{}).bound()
	e, err := b.running(within(t))
	if err != nil {
		t.Fatal(err)
	}
	b.segments(2, map[int]string{1: "one "}, 1)
	stale := e.receiver.parts.Due(time.Now().Add(48 * time.Hour))
	b.segments(2, map[int]string{2: "two"}, 2)
	b.segments(2, map[int]string{1: "three "}, 1)
	if len(stale) != 1 {
		t.Fatalf("%d groups are open, want one", len(stale))
	}
	if err := e.receiver.parts.GiveUp(t.Context(), stale[0]); err != nil {
		t.Fatal(err)
	}
	b.segments(2, map[int]string{2: "four"}, 2)
	b.hears("one two", "three four")
}

// reads counts the round trips of reading.
type reads struct {
	store.State
	gets atomic.Int32
}

func (s *reads) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	s.gets.Add(1)
	return s.State.Get(ctx, keys...)
}

// The last part costs one look at the others.
func TestLastPartIsLookedUpOnce(t *testing.T) {
	v := simulate(t, simulator.Settings{})
	state := &reads{State: remember(t)}
	tr := connected(t, v.Addr(), state, nil)
	line := transporttest.NewPublisher()
	transporttest.Start(t, tr, line)
	b := (&bundle{T: t, Transport: tr, smsc: v, line: line}).bound()
	b.segments(3, map[int]string{1: "a", 2: "b"}, 1, 2)
	before := state.gets.Load()
	b.segments(3, map[int]string{3: "c"}, 3)
	if n := state.gets.Load() - before; n != 1 {
		t.Errorf("the state was read %d times, want once", n)
	}
	b.hears("abc")
}

// Of two replicas that know of a message whose parts never come, one receives it.
func TestOneReplicaGivesUp(t *testing.T) {
	v := simulate(t, simulator.Settings{})
	state := remember(t)
	one := connected(t, v.Addr(), state, nil)
	line := transporttest.NewPublisher()
	transporttest.Start(t, one, line)
	b := (&bundle{T: t, Transport: one, smsc: v, line: line}).bound()
	b.segments(2, map[int]string{1: "one "}, 1)
	other := connected(t, "127.0.0.1:1", state, nil)
	otherLine := transporttest.NewPublisher()
	transporttest.Start(t, other, otherLine)
	first, err := one.running(within(t))
	if err != nil {
		t.Fatal(err)
	}
	second, err := other.running(within(t))
	if err != nil {
		t.Fatal(err)
	}
	g := first.receiver.parts.Due(time.Now().Add(48 * time.Hour))[0]
	release := line.Hold()
	given := make(chan error, 1)
	go func() { given <- first.receiver.parts.GiveUp(context.Background(), g) }()
	line.Asked(t)
	if err := second.receiver.parts.GiveUp(t.Context(), g); !errors.Is(err, smpp.ErrElsewhere) {
		t.Errorf("the other replica says %v", err)
	}
	release()
	if err := <-given; err != nil {
		t.Fatal(err)
	}
	b.hears("one ")
	if err := second.receiver.parts.GiveUp(t.Context(), g); err != nil {
		t.Errorf("the other replica says %v", err)
	}
}

// gated is a state that counts what is asked, and answers Get when it may.
type gated struct {
	trips
	open chan struct{}
}

func (s *gated) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	<-s.open
	return s.trips.Get(ctx, keys...)
}

// Parts that are there when the first is looked up cost one look, and are not stored.
func TestPartsThatComeTogetherAreNotStored(t *testing.T) {
	v := simulate(t, simulator.Settings{})
	state := &gated{trips: trips{State: remember(t)}, open: make(chan struct{})}
	tr := connected(t, v.Addr(), state, nil)
	line := transporttest.NewPublisher()
	stop := transporttest.Start(t, tr, line)
	b := (&bundle{T: t, Transport: tr, smsc: v, line: line}).bound()
	long := strings.Repeat("0123456789", 40)
	told := make(chan error, 1)
	go func() { told <- v.Deliver(within(t), simulator.Incoming{From: "27831234567", To: "9292", Text: long}) }()
	testutil.Eventually(t, "all parts are on their way", func() bool { return v.Counters().Delivering == 3 })
	b.says(simulator.Incoming{From: "27837654321", To: "9292", Text: "after them"})
	b.hears("after them")
	close(state.open)
	b.hears(long)
	if err := <-told; err != nil {
		t.Error(err)
	}
	stop()
	if gets, sets, others := state.gets.Load(), state.sets.Load(), state.others.Load(); gets != 1 || sets != 1 || others != 0 {
		t.Errorf("%d reads, %d writes and %d others, want one read and one write", gets, sets, others)
	}
}
