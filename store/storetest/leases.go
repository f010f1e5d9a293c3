package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"switchboard/internal/testutil"
	"switchboard/store"
)

// broadcastShares: a small broadcast does not wait for all of a large one.
func broadcastShares(t *testing.T, db Ledger) {
	create(t, db, store.Broadcast{Text: "large", BatchSize: 1}, recipients(30))
	small := create(t, db, store.Broadcast{Text: "small"}, recipients(1))
	due, err := db.Due(t.Context(), 10, lease)
	if err != nil {
		t.Fatal(err)
	}
	of := map[int64]int{}
	for _, b := range due {
		of[b.Broadcast]++
	}
	if len(due) < 5 || len(due) > 10 || of[small.ID] != 1 {
		t.Errorf("due: %+v", due)
	}
}

// broadcastsWaiting: broadcasts whose transport is away do not delay later ones.
func broadcastsWaiting(t *testing.T, db Ledger) {
	for range 101 {
		create(t, db, store.Broadcast{Text: "x"}, recipients(1))
		deliver(t, db, func(*store.Handover) []store.Envelope { return nil })
	}
	later := create(t, db, store.Broadcast{Text: "urgent"}, recipients(1))
	if due := dueNow(t, db); len(due) != 1 || due[0].Broadcast != later.ID {
		t.Errorf("due: %+v", due)
	}
}

// broadcastFence: a worker whose lease has ended does not change a batch that another has
// claimed, but what it published counts.
func broadcastFence(t *testing.T, db Ledger) {
	made := create(t, db, store.Broadcast{Text: "x"}, recipients(2))
	batch := dueNow(t, db)[0].ID
	slow, err := db.Claim(t.Context(), batch, "slow", time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	testutil.EventuallyWithin(t, soon, "the lease ends", func() bool {
		_, err = db.Claim(t.Context(), batch, "next", lease)
		return err == nil
	})
	if again, err := db.Claim(t.Context(), batch, "next", lease); err != nil || len(again) != 2 {
		t.Errorf("Claim that did not know of its success = %+v, %v", again, err)
	}
	for _, done := range []bool{false, true} {
		if err := db.Finish(t.Context(), batch, "slow", slow[:1], done); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Claim(t.Context(), batch, "third", lease); !errors.Is(err, store.ErrNotDue) {
			t.Errorf("Claim of what is in another's hands = %v", err)
		}
	}
	if r := find(t, db, slow[0].ID); r.Status != store.StatusPassing {
		t.Errorf("what the slow one published: %+v", r)
	}
	if rest, err := db.Claim(t.Context(), batch, "next", lease); err != nil || len(rest) != 1 {
		t.Errorf("left: %+v, %v", rest, err)
	}
	if i := info(t, db, made.ID); i.Batches != 1 {
		t.Errorf("in flight: %+v", i)
	}
}

// broadcastHalf: a transmission that failed while the rest of its batch was left is retried by
// its retry alone.
func broadcastHalf(t *testing.T, db Ledger) {
	create(t, db, store.Broadcast{Text: "x", RetryAfter: time.Microsecond}, recipients(2))
	first := dueNow(t, db)[0].ID
	handovers := claim(t, db, first)
	record(t, db, published(&handovers[0]))
	record(t, db, nacked(&handovers[0])...)
	finish(t, db, first, handovers[:1], false)
	var due []store.Batch
	testutil.EventuallyWithin(t, soon, "the retry is due", func() bool {
		due = append(due, dueNow(t, db)...)
		return len(due) == 2
	})
	tries := map[string]int{}
	for _, d := range slices.Backward(due) { // the retry first
		for _, h := range claim(t, db, d.ID) {
			tries[fmt.Sprint(h.Address, h.Attempt)]++
		}
	}
	if len(tries) != 2 || tries[handovers[0].Address+"2"] != 1 || tries[handovers[1].Address+"1"] != 1 {
		t.Errorf("handed over: %v", tries)
	}
}

// broadcastRelease: a batch whose task was not published is due again at once, unless it is
// claimed.
func broadcastRelease(t *testing.T, db Ledger) {
	create(t, db, store.Broadcast{Text: "x", BatchSize: 1}, recipients(2))
	due := dueNow(t, db)
	claim(t, db, due[0].ID)
	if err := db.Release(t.Context(), []int64{due[0].ID, due[1].ID}); err != nil {
		t.Fatal(err)
	}
	if again := dueNow(t, db); len(again) != 1 || again[0].ID != due[1].ID {
		t.Errorf("due again: %+v of %+v", again, due)
	}
}
