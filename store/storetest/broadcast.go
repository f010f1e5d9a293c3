package storetest

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"switchboard/message"
	"switchboard/store"
)

const lease = time.Minute

// recipients is a list of n addresses, every third on another backend.
func recipients(n int) iter.Seq2[store.Recipient, error] {
	return func(yield func(store.Recipient, error) bool) {
		for i := range n {
			r := store.Recipient{Address: store.Address{Backend: "sms", Identity: fmt.Sprintf("+27%09d", i)}}
			if i%3 == 2 {
				r.Backend = "ussd"
			}
			r.Fields = map[string]string{"name": fmt.Sprint("N", i)}
			if !yield(r, nil) {
				return
			}
		}
	}
}

func create(t *testing.T, db Ledger, b store.Broadcast, list iter.Seq2[store.Recipient, error]) store.Created {
	t.Helper()
	made, err := db.Create(t.Context(), b, list)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	return made
}

func dueNow(t *testing.T, db Ledger) []store.Batch {
	t.Helper()
	batches, err := db.Due(t.Context(), 1000, lease)
	if err == nil {
		err = db.Conclude(t.Context())
	}
	if err != nil {
		t.Fatalf("Due: %v", err)
	}
	return batches
}

func claim(t *testing.T, db Ledger, id int64) []store.Handover {
	t.Helper()
	handovers, err := db.Claim(t.Context(), id, "owner", lease)
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	return handovers
}

func finish(t *testing.T, db Ledger, id int64, handed []store.Handover, done bool) {
	t.Helper()
	if err := db.Finish(t.Context(), id, "owner", handed, done); err != nil {
		t.Fatalf("Finish: %v", err)
	}
}

func info(t *testing.T, db Ledger, id int64) store.BroadcastInfo {
	t.Helper()
	i, err := db.Broadcast(t.Context(), id)
	if err != nil {
		t.Fatalf("Broadcast: %v", err)
	}
	return *i
}

// published is the envelope of a published handover.
func published(h *store.Handover) store.Envelope {
	body := h.Message().Encode()
	m, err := message.Decode(body)
	if err != nil {
		panic(err)
	}
	return store.Envelope{Direction: store.Outbound, Backend: h.Backend, Message: m, Body: body}
}

// deliver hands over all that is due; answer makes the events.
func deliver(t *testing.T, db Ledger, answer func(h *store.Handover) []store.Envelope) (handed []store.Handover) {
	t.Helper()
	for _, b := range dueNow(t, db) {
		handovers := claim(t, db, b.ID)
		var passed []store.Envelope
		for i := range handovers {
			passed = append(passed, published(&handovers[i]))
			passed = append(passed, answer(&handovers[i])...)
		}
		// Events may be recorded before Finish.
		record(t, db, passed...)
		finish(t, db, b.ID, handovers, true)
		handed = append(handed, handovers...)
	}
	return handed
}

func answerOf(h *store.Handover, kind message.EventType) store.Envelope {
	e := message.NewEvent(kind, h.Message())
	e.SentMessageID, e.NackReason = "smsc-"+h.ID, "congested"
	return store.Envelope{Backend: h.Backend, Event: e}
}

func acked(h *store.Handover) []store.Envelope { return []store.Envelope{answerOf(h, message.Ack)} }

func nacked(h *store.Handover) []store.Envelope { return []store.Envelope{answerOf(h, message.Nack)} }

func broadcastLife(t *testing.T, db Ledger) {
	made := create(t, db, store.Broadcast{Name: "june", Text: "Hi {{ name }}!", From: "12345", Endpoint: "ep", BatchSize: 4}, recipients(20))
	// 13 on sms and 6 on ussd make 4 + 2 batches.
	want := store.Created{ID: made.ID, MessageID: made.MessageID, Total: 20, Batches: 6}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("Create, -want +got:\n%s", diff)
	}
	if i := info(t, db, made.ID); i.Open != 20 || i.Message != store.StatusQueued || i.State != store.BroadcastRunning {
		t.Errorf("stored: %+v", i)
	}
	texts := map[string]string{}
	handed := deliver(t, db, func(h *store.Handover) []store.Envelope {
		m := h.Message()
		texts[h.Address] = m.Content
		if m.From != "12345" || m.Endpoint() != "ep" || m.TransportName != h.Backend || h.Attempt != 1 {
			t.Errorf("handover %+v as %s", h, m.Encode())
		}
		return nil
	})
	if len(handed) != 20 || len(texts) != 20 || texts["+27000000003"] != "Hi N3!" {
		t.Errorf("handed %d, texts %v", len(handed), texts)
	}
	if i := info(t, db, made.ID); i.Open != 20 || i.Message != store.StatusPassing || i.Batches != 0 {
		t.Errorf("handed over: %+v", i)
	}
	for n := range handed {
		record(t, db, acked(&handed[n])...)
	}
	if i := info(t, db, made.ID); i.Sent != 20 || i.Message != store.StatusSent {
		t.Errorf("acked: %+v", i)
	}
	for n := range handed {
		e := answerOf(&handed[n], message.DeliveryReport)
		e.Event.DeliveryStatus = message.Delivered
		record(t, db, e)
	}
	dueNow(t, db)
	if i := info(t, db, made.ID); i.Delivered != 20 || i.Message != store.StatusDelivered || i.State != store.BroadcastDone {
		t.Errorf("delivered: %+v", i)
	}
	if got := list(t, db, store.Filter{Broadcast: made.ID}); len(got) != 20 || got[0].MessageID != made.MessageID {
		t.Errorf("%d records of the broadcast", len(got))
	}
	if trace, err := db.Trace(t.Context(), made.MessageID); err != nil || len(trace.Records) != 20 {
		t.Errorf("Trace of the broadcast's message = %+v, %v", trace, err)
	}
	if got, err := db.List(t.Context(), 10); err != nil || len(got) != 1 || got[0].Name != "june" {
		t.Errorf("List = %+v, %v", got, err)
	}
	july := create(t, db, store.Broadcast{Name: "july", Text: "x"}, recipients(1))
	if got, err := db.List(t.Context(), 10, made.ID, made.ID+1000000); err != nil || len(got) != 1 || got[0].Name != "june" {
		t.Errorf("List of one = %+v, %v", got, err)
	}
	if got, err := db.List(t.Context(), 10, made.ID, july.ID); err != nil || len(got) != 2 || got[0].Name != "july" {
		t.Errorf("List of both = %+v, %v", got, err)
	}
}

func broadcastList(t *testing.T, db Ledger) {
	for _, n := range []int{1, 2} {
		if err := db.OptOut(t.Context(), store.Address{Backend: "sms", Identity: fmt.Sprintf("+27%09d", n)}, n == 1); err != nil {
			t.Fatal(err)
		}
	}
	twice := func(yield func(store.Recipient, error) bool) {
		for range 2 {
			for r, err := range recipients(10) {
				if !yield(r, err) {
					return
				}
			}
		}
	}
	made := create(t, db, store.Broadcast{Text: "x"}, twice)
	if made.Total != 9 || made.Duplicates != 10 || made.OptedOut != 1 {
		t.Errorf("Create = %+v", made)
	}
	seen := map[string]int{}
	for _, h := range deliver(t, db, acked) {
		seen[h.Backend+h.Address]++
		if seen[h.Backend+h.Address] > 1 || h.Address == "+27000000001" || h.Text != "x" {
			t.Errorf("handed over: %+v", h)
		}
	}
	if len(seen) != 9 {
		t.Errorf("%d were handed over", len(seen))
	}
}

func broadcastNobody(t *testing.T, db Ledger) {
	if err := db.OptOut(t.Context(), store.Address{Backend: "sms", Identity: "+27000000000"}, true); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		made, err := db.Create(t.Context(), store.Broadcast{Text: "x"}, recipients(n))
		if !errors.Is(err, store.ErrNoRecipients) || made.OptedOut != int64(n) {
			t.Errorf("Create for %d = %+v, %v", n, made, err)
		}
	}
	if got, err := db.List(t.Context(), 10); err != nil || len(got) != 0 {
		t.Errorf("List = %+v, %v", got, err)
	}
}

func broadcastBroken(t *testing.T, db Ledger) {
	broken := errors.New("line 7 has no number")
	lines := func(yield func(store.Recipient, error) bool) {
		for r := range recipients(5) {
			if !yield(r, nil) {
				return
			}
		}
		yield(store.Recipient{}, broken)
	}
	if _, err := db.Create(t.Context(), store.Broadcast{Text: "x"}, lines); !errors.Is(err, broken) {
		t.Errorf("Create = %v", err)
	}
	for text, to := range map[string]store.Recipient{
		"Hi {{name}}": {Address: store.Address{Backend: "sms", Identity: "1"}},
		"Hi {{name":   {Address: store.Address{Backend: "sms", Identity: "1"}},
		"Hi":          {Address: store.Address{Backend: "sms"}},
		"Ho":          {Address: store.Address{Identity: "1"}},
	} {
		one := func(yield func(store.Recipient, error) bool) { yield(to, nil) }
		if made, err := db.Create(t.Context(), store.Broadcast{Text: text}, one); err == nil {
			t.Errorf("Create(%q, %+v) = %+v", text, to, made)
		}
	}
	if made, err := db.Create(t.Context(), store.Broadcast{Text: strings.Repeat("x", 200_000)}, recipients(3)); err == nil {
		t.Errorf("Create with a text of 200,000 bytes = %+v", made)
	}
	for _, rate := range []float64{math.Inf(1), math.Inf(-1), math.NaN(), -1, 1e-300, 1e300} {
		if made, err := db.Create(t.Context(), store.Broadcast{Text: "x", Rate: rate}, recipients(3)); err == nil {
			t.Errorf("Create with rate %g = %+v", rate, made)
		}
	}
	if got := list(t, db, store.Filter{}); len(got) != 0 {
		t.Errorf("stored: %+v", got)
	}
	if made := create(t, db, store.Broadcast{Text: strings.Repeat("x", 90_000)}, recipients(60)); made.Batches != 3 {
		t.Errorf("Create with a text of 90,000 bytes = %+v, want batches of at most 23", made)
	}
	create(t, db, store.Broadcast{Text: "x"}, recipients(3)) // nothing is left in the way
}

// Of those who store broadcasts with one key at the same time one does, and each is told.
func broadcastOnce(t *testing.T, db Ledger) {
	const many = 4
	errs := make(chan error, many)
	for range many {
		go func() {
			_, err := db.Create(t.Context(), store.Broadcast{Text: "x", Key: "morning"}, recipients(3))
			errs <- err
		}()
	}
	made := 0
	for range many {
		err := <-errs
		if err == nil {
			made++
		} else if !errors.Is(err, store.ErrExists) {
			t.Errorf("Create: %v", err)
		}
	}
	if _, err := db.Create(t.Context(), store.Broadcast{Text: "y", Key: "morning"}, recipients(3)); !errors.Is(err, store.ErrExists) {
		t.Errorf("Create, later: %v", err)
	}
	create(t, db, store.Broadcast{Text: "x", Key: "evening"}, recipients(3))
	if all, err := db.List(t.Context(), 10); err != nil || made != 1 || len(all) != 2 {
		t.Errorf("%d were stored at the same time, %d in all, %v; want 1, 2", made, len(all), err)
	}
}
