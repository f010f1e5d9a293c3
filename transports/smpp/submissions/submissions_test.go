package submissions

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/message"
	"switchboard/smpp/receipt"
	"switchboard/store"
	"switchboard/store/memory"
)

type bundle struct {
	*testing.T
	*Store
	events chan *message.Event
}

func start(t *testing.T, state store.State, change ...func(*Settings)) *bundle {
	t.Helper()
	batcher := store.NewBatcher(state, store.BatchSettings{})
	t.Cleanup(func() { _ = batcher.Close() })
	b := &bundle{T: t, events: make(chan *message.Event, 1000)}
	settings := Settings{
		State: batcher, Prefix: "smpp/test/", Logger: slog.New(slog.DiscardHandler), Stopped: make(chan struct{}),
		Publish: func(_ context.Context, e *message.Event) error {
			b.events <- e
			return nil
		},
		CountReceipt: func(string) {},
		Guard:        func(_ string, work func() error) error { return work() },
		SubmitFormat: receipt.Auto, ReceiptFormat: receipt.Auto, OutcomeTTL: time.Hour, IDTTL: time.Hour, FinalTTL: time.Hour, HeldTTL: time.Hour,
	}
	for _, f := range change {
		f(&settings)
	}
	b.Store = New(settings)
	return b
}

func remember(t *testing.T) *memory.State {
	s := memory.New()
	t.Cleanup(func() { _ = s.Close() })
	return s
}

const (
	person = "27831234567"
	sender = "9292"
)

func of(id string) Part {
	return Part{&Message{ID: id, To: person, From: sender, Parts: 1}, 1}
}

// accepted records that the SMSC gave an id to a part.
func (b *bundle) accepted(p Part, id string) {
	b.Helper()
	if err := b.Accepted(b.Context(), p, id); err != nil {
		b.Fatal(err)
	}
}

// receipt takes a receipt about a part.
func (b *bundle) receipt(p Part, id, raw string) {
	b.Helper()
	err := b.Receipt(b.Context(), Receipt{ID: id, Raw: raw, Status: receipt.DefaultStatusMap().Of(raw), From: p.To, To: p.From, Reference: p.Reference()})
	if err != nil {
		b.Fatal(err)
	}
}

// reports checks that the next event is about a part.
func (b *bundle) reports(p Part, want message.DeliveryStatus) *message.Event {
	b.Helper()
	select {
	case e := <-b.events:
		if e.MessageID != p.ID || e.DeliveryStatus != want {
			b.Errorf("event = %s, want %s of %s", e.Encode(), want, p.ID)
		}
		return e
	default:
		b.Fatalf("there is no event for %s", p.ID)
		return nil
	}
}

func (b *bundle) reportsNothing() {
	b.Helper()
	if len(b.events) > 0 {
		b.Errorf("event = %s, want none", (<-b.events).Encode())
	}
}

func TestReferencesOfParts(t *testing.T) {
	for base := range 1 << 16 {
		p := Part{&Message{Reference: uint16(base), Parts: 255}, 255}
		if r := p.Reference(); (r == 0) != (base == 0) {
			t.Fatalf("part 255 of reference %d has %d", base, r)
		}
	}
	text, err := json.Marshal(submission{Part: Part{&Message{Reference: 7, Parts: 255}, 255}})
	var row submission
	if err != nil || json.Unmarshal(text, &row) != nil || row.Reference() != 261 {
		t.Errorf("reference %d comes back from %s", row.Reference(), text)
	}
}

// What is known of the latest ids does not grow.
func TestGivenIDsAreBounded(t *testing.T) {
	const most = 1000
	g := newGivenIDs(most)
	first, second, third := Part{&Message{ID: "a"}, 1}, Part{&Message{ID: "a"}, 2}, Part{&Message{ID: "c"}, 1}
	for i := range 2 * most {
		g.give(fmt.Sprint(i), first)
		if !g.give(fmt.Sprint(i), second) || g.give(fmt.Sprint(i), second) {
			t.Fatal("a second part with one id is not told, or is told twice")
		}
	}
	if g.recent.Len() != most {
		t.Errorf("%d ids", g.recent.Len())
	}
	if !g.give(fmt.Sprint(2*most-1), third) || g.give("0", third) {
		t.Error("it is not the latest that are known")
	}
}

// An id that several parts have, of which more than one awaits its receipt, stands
// for none of them, in whichever order they are recorded.
func TestAmbiguousID(t *testing.T) {
	for name, recorded := range map[string][]string{"in order": {"one", "two", "three"}, "late": {"two", "three", "one"}} {
		t.Run(name, func(t *testing.T) {
			b := start(t, remember(t))
			parts := map[string]Part{"one": of("one"), "two": of("two"), "three": of("three")}
			for i, id := range []string{"one", "two", "three"} {
				parts[id].Message.Reference = uint16(i + 1)
				b.Accepting(parts[id], "0")
			}
			for _, id := range append(recorded, recorded[2]) { // the last again, as after a write whose answer was lost
				b.accepted(parts[id], "0")
			}
			b.receipt(of(""), "0", "DELIVRD") // without a reference
			b.reportsNothing()
			for _, p := range parts {
				b.receipt(p, "0", "DELIVRD")
				b.reports(p, message.Delivered)
			}
		})
	}
}

// readless is a state that cannot be read for a while.
type readless struct {
	store.State
	failing atomic.Int32 // reads that fail
}

func (s *readless) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	if s.failing.Add(-1) >= 0 {
		return nil, errors.New("the database is starting up")
	}
	return s.State.Get(ctx, keys...)
}

// Who had an id first is not forgotten because the store is away as a second
// gets it.
func TestSharedIDOutlivesAnOutage(t *testing.T) {
	state := &readless{State: remember(t)}
	b := start(t, state)
	first, second := of("first"), of("second")
	first.Message.Reference, second.Message.Reference = 1, 2
	b.Accepting(first, "7")
	b.accepted(first, "7")
	state.failing.Store(1)
	b.Accepting(second, "7")
	b.accepted(second, "7")
	for _, p := range []Part{first, second} {
		b.receipt(p, "7", "DELIVRD")
		b.reports(p, message.Delivered)
	}
}

// A receipt with another's reference waits for its own message. It is taken for that
// of its id after a while, from an SMSC that was not seen to bring references back.
func TestAnothersReferenceWaits(t *testing.T) {
	for name, brings := range map[string]bool{"references come back": true, "nothing is known": false} {
		t.Run(name, func(t *testing.T) {
			b := start(t, remember(t))
			reported, m := of("reported"), of("hello")
			reported.Message.Reference, m.Message.Reference = 5, 7
			b.accepted(reported, "1")
			if brings {
				b.receipt(reported, "1", "DELIVRD")
			}
			b.accepted(m, "2")
			r := Receipt{ID: "2", Status: receipt.Delivered, Raw: "DELIVRD", From: m.To, To: m.From, Reference: 6}
			for waited, want := range map[time.Duration]bool{0: false, patience: !brings} {
				if found, err := b.find(t.Context(), r, waited); (found != nil) != want || err != nil {
					t.Errorf("after %s: %+v, %v", waited, found, err)
				}
			}
			r.Reference = 7
			if found, err := b.find(t.Context(), r, 0); found == nil || err != nil {
				t.Errorf("with its reference: %+v, %v", found, err)
			}
		})
	}
}

// Of two messages to one person without answers, a receipt that may be either's
// is neither's; of one, it is that one's.
func TestAmbiguousUnansweredSubmits(t *testing.T) {
	b := start(t, remember(t))
	for _, id := range []string{"one", "two"} {
		if err := b.Unanswered(t.Context(), of(id).Message, []Outcome{{Unanswered: time.Now()}}); err != nil {
			t.Fatal(err)
		}
	}
	r := Receipt{ID: "77", Status: receipt.Failed, Raw: "UNDELIV", From: person, To: sender}
	if m, err := b.matchByAddress(t.Context(), r); m != nil || err != nil {
		t.Fatalf("a receipt that may be either's is taken for %+v, %v", m, err)
	}
	if err := b.Answered(t.Context(), of("one"), Outcome{Accepted: true, ID: "76"}); err != nil {
		t.Fatal(err)
	}
	if m, err := b.matchByAddress(t.Context(), r); err != nil || m == nil || m.ID != "two" {
		t.Errorf("the receipt is taken for %+v, %v; want two", m, err)
	}
	if m, err := b.matchByAddress(t.Context(), Receipt{ID: "78", From: person, To: sender}); m != nil || err != nil {
		t.Errorf("another receipt is taken for %+v, %v", m, err)
	}
}

// Ids that differ by case or leading zeros alone are two where they are said to
// be exact.
func TestExactIDs(t *testing.T) {
	b := start(t, remember(t), func(s *Settings) {
		s.SubmitFormat, s.ReceiptFormat = receipt.Exact, receipt.Exact
	})
	ids := []string{"aB1", "Ab1", "0Ab1"}
	for _, id := range ids {
		b.accepted(of("message "+id), id)
	}
	for _, id := range ids {
		b.receipt(of(""), id, "DELIVRD")
		b.reports(of("message "+id), message.Delivered)
	}
}

// slow is a state whose reads take long.
type slow struct {
	store.State
	pause atomic.Int64
}

func (s *slow) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	time.Sleep(time.Duration(s.pause.Load()))
	return s.State.Get(ctx, keys...)
}

// Thousands of held receipts are looked at in a few round trips, and those whose
// messages have come are reported.
func TestManyHeldReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := &slow{State: remember(t)}
		b := start(t, state)
		const many, known = 1000, 50
		to := func(id string, i int) Part {
			p := of(id)
			p.To = fmt.Sprintf("2783%07d", i)
			return p
		}
		for i := range many {
			b.receipt(to("", i), fmt.Sprint(900_000+i), "DELIVRD")
		}
		for i := range known {
			key := b.idKey(fmt.Sprint(900_000 + i))
			if err := b.State.Set(t.Context(), b.idEntry(key, submission{Part: to(fmt.Sprint("m", i), i)})); err != nil {
				t.Fatal(err)
			}
		}
		state.pause.Store(int64(20 * time.Millisecond))
		began := time.Now()
		b.Sweep(t.Context(), time.Now().Add(2*SweepEvery))
		if took := time.Since(began); took > many*20*time.Millisecond/2 {
			t.Errorf("it took %s", took)
		}
		reported := map[string]bool{}
		for range known {
			reported[(<-b.events).MessageID] = true
		}
		if len(reported) != known || b.held.Len() != many-known {
			t.Errorf("%d are reported and %d still held, want %d and %d", len(reported), b.held.Len(), known, many-known)
		}
	})
}

// Whoever says it, and in whatever words, one end is one event; another status,
// part's notification or attempt is another.
func TestEventIDs(t *testing.T) {
	one := match{submission: submission{Part: Part{&Message{ID: "m", Parts: 2}, 1}}, key: "id/1"}
	other := match{submission: submission{Part: Part{one.Message, 2}}, key: "id/2"}
	as := func(m match, status receipt.Status, raw string) string {
		return eventID(m, Receipt{Status: status, Raw: raw})
	}
	if as(one, "delivered", "DELIVRD") != as(one, "delivered", "DELIVERED") {
		t.Error("a receipt and the answer to a query make two events")
	}
	if as(one, "delivered", "DELIVRD") != as(other, "delivered", "DELIVRD") {
		t.Error("the final receipts of two parts make two events")
	}
	again := other
	again.Message = &Message{ID: "m", Parts: 2, Attempt: 2}
	seen := map[string]string{}
	for name, id := range map[string]string{
		"delivered": as(other, "delivered", "DELIVRD"), "failed": as(other, "failed", "DELIVRD"),
		"pending": as(other, "pending", "DELIVRD"), "pending of the other part": as(one, "pending", "DELIVRD"),
		"pending in other words": as(other, "pending", "DELIVERED"), "another attempt": as(again, "delivered", "DELIVRD"),
	} {
		if other, there := seen[id]; there {
			t.Errorf("%s and %s are one event", name, other)
		}
		seen[id] = name
	}
}

// Of two parts that end at the same time, in two replicas say, one speaks for the
// message.
func TestPartsEndAtOnce(t *testing.T) {
	b := start(t, remember(t))
	for _, status := range []receipt.Status{receipt.Failed, receipt.Delivered} {
		for i := range 100 {
			m := &Message{ID: fmt.Sprint(status, i), Parts: 2}
			news := make(chan bool, 2)
			for n := 1; n <= 2; n++ {
				go func() {
					is, err := b.isNews(t.Context(), match{submission: submission{Part: Part{m, n}}, key: fmt.Sprint(n)}, Receipt{Status: status})
					if err != nil {
						t.Error(err)
					}
					news <- is
				}()
			}
			if one, other := <-news, <-news; one == other {
				t.Fatalf("message %s: worth reporting: %t and %t", m.ID, one, other)
			}
		}
	}
}

// An id that the SMSC uses again, after the first message had its final receipt,
// is the new message's, for the same person too; also after a restart.
func TestReusedID(t *testing.T) {
	for name, restarted := range map[string]bool{"by one process": false, "after a restart": true} {
		t.Run(name, func(t *testing.T) {
			state := remember(t)
			b := start(t, state)
			first, second := of("first"), of("second")
			b.Accepting(first, "7")
			b.accepted(first, "7")
			b.receipt(first, "7", "DELIVRD")
			b.reports(first, message.Delivered)
			if restarted {
				b = start(t, state)
			}
			b.Accepting(second, "7")
			b.accepted(second, "7")
			b.receipt(second, "7", "UNDELIV")
			b.reports(second, message.Failed)
			b.receipt(second, "7", "UNDELIV")
			b.reportsNothing()
		})
	}
}

// A receipt that comes while the answer is being recorded waits for that, and is
// not held.
func TestReceiptWaitsForTheRecording(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := remember(t)
		b := start(t, state)
		for id, p := range map[string]Part{"77": of("by its id"), "": {&Message{ID: "by its reference", To: person, From: sender, Parts: 1, Reference: 5}, 1}} {
			b.Accepting(p, id)
			taken := make(chan struct{})
			go func() {
				defer close(taken)
				b.receipt(p, cmp.Or(id, "78"), "DELIVRD")
			}()
			synctest.Wait()
			if found, err := state.Range(t.Context(), "smpp/test/held", "smpp/test/helf", 1); err != nil || len(found) > 0 {
				t.Fatalf("held is %v, %v", found, err)
			}
			b.accepted(p, id)
			<-taken
			b.reports(p, message.Delivered)
		}
	})
}

// It does not wait for ever.
func TestReceiptIsHeldWhenTheRecordingTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, remember(t))
		b.Accepting(of("one"), "77")
		b.receipt(of("one"), "77", "DELIVRD")
		b.accepted(of("one"), "77")
		b.reports(of("one"), message.Delivered)
	})
}
