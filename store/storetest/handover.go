package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"switchboard/internal/testutil"
	"switchboard/store"
)

func broadcastControl(t *testing.T, db Ledger) {
	made := create(t, db, store.Broadcast{Text: "x", BatchSize: 2}, recipients(6))
	batches := dueNow(t, db)
	if len(batches) != 3 || len(dueNow(t, db)) != 0 {
		t.Fatalf("due: %+v; and again while they are lent", batches)
	}
	some := claim(t, db, batches[0].ID)
	if err := db.Pause(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Claim(t.Context(), batches[1].ID, "owner", lease); !errors.Is(err, store.ErrNotDue) {
		t.Errorf("Claim while paused = %v", err)
	}
	finish(t, db, batches[0].ID, some[:1], false)
	if len(dueNow(t, db)) != 0 {
		t.Error("batches are due while paused")
	}
	for range 2 {
		if err := db.Resume(t.Context(), made.ID); err != nil {
			t.Fatal(err)
		}
	}
	if again := dueNow(t, db); len(again) != 3 {
		t.Fatalf("due after the pause, whose tasks are gone: %+v", again)
	}
	if rest := claim(t, db, batches[0].ID); len(rest) != 1 || rest[0].ID != some[1].ID {
		t.Errorf("left of the batch: %+v", rest)
	}
	if err := db.Cancel(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Claim(t.Context(), batches[1].ID, "owner", lease); !errors.Is(err, store.ErrNotDue) {
		t.Errorf("Claim after Cancel = %v", err)
	}
	i := info(t, db, made.ID)
	if i.State != store.BroadcastCancelled || i.Error != 5 || i.Open != 1 || i.Batches != 0 {
		t.Errorf("cancelled: %+v", i)
	}
	if h := i.HandedOver; len(h) != 1 || h[0].Backend != "sms" || h[0].N != 1 {
		t.Errorf("what a cancelled broadcast still sends: %+v", h)
	}
	for _, r := range list(t, db, store.Filter{Status: store.StatusError}) {
		if r.Reason != "broadcast cancelled" {
			t.Errorf("reason of %+v", r)
		}
	}
	if err := db.Resume(t.Context(), made.ID); err == nil {
		t.Error("a cancelled broadcast was resumed")
	}
	if err := db.Pause(t.Context(), 99999); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Pause of none = %v", err)
	}
}

func broadcastRetries(t *testing.T, db Ledger) {
	made := create(t, db, store.Broadcast{Text: "x", Retries: 2, RetryAfter: time.Microsecond}, recipients(3))
	answers := func(h *store.Handover) []store.Envelope {
		if h.Address == "+27000000000" || h.Address == "+27000000001" && h.Attempt == 1 {
			return nacked(h)
		}
		return acked(h)
	}
	var attempts []string
	testutil.EventuallyWithin(t, soon, "the broadcast is done", func() bool {
		for _, h := range deliver(t, db, answers) {
			attempts = append(attempts, fmt.Sprint(h.Address[len(h.Address)-1:], h.Attempt))
		}
		return info(t, db, made.ID).State == store.BroadcastDone
	})
	if diff := cmp.Diff([]string{"01", "11", "21", "02", "12", "03"}, attempts); diff != "" {
		t.Errorf("who was tried and which time, -want +got:\n%s", diff)
	}
	i := info(t, db, made.ID)
	if i.Error != 1 || i.Sent != 2 || i.Message != store.StatusError || i.Retrying != 0 {
		t.Errorf("done: %+v", i)
	}
	for _, r := range list(t, db, store.Filter{Status: store.StatusError}) {
		if r.Reason != "congested" || r.Attempts != 3 {
			t.Errorf("given up: %+v", r)
		}
	}
}

// broadcastDeath: a worker that dies with a claimed batch loses nothing, and what it published
// and was recorded is not published again.
func broadcastDeath(t *testing.T, db Ledger) {
	made := create(t, db, store.Broadcast{Text: "x", BatchSize: 10}, recipients(2))
	batch := dueNow(t, db)[0]
	brief, err := db.Claim(t.Context(), batch.ID, "dying", time.Millisecond)
	if err != nil || len(brief) != 2 {
		t.Fatalf("Claim = %+v, %v", brief, err)
	}
	record(t, db, published(&brief[0]))
	var again []store.Batch
	testutil.EventuallyWithin(t, soon, "the batch is due again", func() bool {
		again = dueNow(t, db)
		return len(again) == 1
	})
	rest := claim(t, db, again[0].ID)
	if len(rest) != 1 || rest[0].ID != brief[1].ID {
		t.Errorf("left: %+v", rest)
	}
	if _, err := db.Claim(t.Context(), again[0].ID, "another", lease); !errors.Is(err, store.ErrNotDue) {
		t.Errorf("Claim of what another has = %v", err)
	}
	finish(t, db, again[0].ID, rest, true)
	if i := info(t, db, made.ID); i.Open != 2 || i.Batches != 0 {
		t.Errorf("after: %+v", i)
	}
}

func broadcastTimes(t *testing.T, db Ledger) {
	create(t, db, store.Broadcast{Text: "later", Start: time.Now().Add(time.Hour)}, recipients(2))
	if due := dueNow(t, db); len(due) != 0 {
		t.Errorf("due before its time: %+v", due)
	}
	if a, err := db.Audit(t.Context(), store.AuditLimits{Stuck: -time.Hour}); err != nil || len(a.Stuck) != 0 {
		t.Errorf("Audit of what is scheduled = %+v, %v", a, err)
	}
	create(t, db, store.Broadcast{Text: "slow", BatchSize: 1, Rate: 0.001}, recipients(2))
	if due := dueNow(t, db); len(due) != 1 || due[0].Rate != 0.001 {
		t.Errorf("due at one in 1000 s: %+v", due)
	}
	soonDue := create(t, db, store.Broadcast{Text: "soon", BatchSize: 1, Rate: 20}, recipients(2))
	n := 0
	testutil.EventuallyWithin(t, soon, "the throttled batches are due", func() bool {
		for _, b := range dueNow(t, db) {
			if b.Broadcast == soonDue.ID {
				n++
			}
		}
		return n == 2
	})
}

func broadcastWorkers(t *testing.T, db Ledger) {
	const people, workers = 300, 4
	made := create(t, db, store.Broadcast{Text: "x", BatchSize: 25, Retries: 5, RetryAfter: time.Microsecond}, recipients(people))
	var mu sync.Mutex
	attempts := map[string]int{} // of a transmission: the last that was handed over
	deadline := time.Now().Add(6 * soon)
	atOnce(t, workers, func(worker int) error {
		for {
			batches, err := db.Due(t.Context(), 3, lease)
			if err != nil {
				return err
			}
			for _, b := range batches {
				if err := work(t, db, b.ID, &mu, attempts); err != nil {
					return err
				}
			}
			if err := db.Conclude(t.Context()); err != nil {
				return err
			}
			i, err := db.Broadcast(t.Context(), made.ID)
			if err != nil || i.State == store.BroadcastDone {
				return err
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("worker %d: not done in time: %+v", worker, i)
			}
		}
	})
	i := info(t, db, made.ID)
	if i.Sent != people || i.Error != 0 || i.Message != store.StatusSent || len(attempts) != people {
		t.Errorf("done: %+v, %d handed over", i, len(attempts))
	}
}

// work does one task; every fifth address fails the first time.
func work(t *testing.T, db Ledger, batch int64, mu *sync.Mutex, attempts map[string]int) error {
	handovers, err := db.Claim(t.Context(), batch, fmt.Sprint("task ", batch), lease)
	if err != nil {
		return err
	}
	var passed []store.Envelope
	for n := range handovers {
		h := &handovers[n]
		mu.Lock()
		if h.Attempt != attempts[h.ID]+1 {
			t.Errorf("%s: attempt %d after %d", h.ID, h.Attempt, attempts[h.ID])
		}
		attempts[h.ID] = h.Attempt
		mu.Unlock()
		passed = append(passed, published(h))
		if h.Attempt == 1 && (h.Address[len(h.Address)-1] == '0' || h.Address[len(h.Address)-1] == '5') {
			passed = append(passed, nacked(h)...)
		} else {
			passed = append(passed, acked(h)...)
		}
	}
	if _, err := db.Record(t.Context(), passed); err != nil {
		return err
	}
	return db.Finish(t.Context(), batch, fmt.Sprint("task ", batch), handovers, true)
}
