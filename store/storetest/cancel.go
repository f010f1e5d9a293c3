package storetest

import (
	"database/sql"
	"testing"
	"time"

	"switchboard/internal/testutil"
	"switchboard/store"
)

// RunKilledCancel tests that an interrupted Cancel is completed. raw is the store's database.
func RunKilledCancel(t *testing.T, db Ledger, raw *sql.DB) {
	made := create(t, db, store.Broadcast{Text: "x", BatchSize: 4, RetryAfter: time.Microsecond}, recipients(600))
	handed := deliverOne(t, db, nacked)
	var again []store.Handover // their next attempt, in the hands of one who dies, too
	testutil.EventuallyWithin(t, soon, "a retry is due", func() bool {
		due, err := db.Due(t.Context(), 1000, lease)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range due {
			if h := claim(t, db, b.ID); h[0].Attempt == 2 {
				again = append(again, h...)
			}
		}
		return len(again) == len(handed)
	})
	if _, err := raw.ExecContext(t.Context(), "UPDATE broadcast SET state = 'cancelled'"); err != nil {
		t.Fatal(err)
	}
	halfway := 0
	testutil.EventuallyWithin(t, soon, "nothing is left", func() bool {
		if err := db.Conclude(t.Context()); err != nil {
			t.Fatal(err)
		}
		i := info(t, db, made.ID)
		if i.Open > 0 && i.Error > 0 {
			halfway++
		}
		return i.Open == 0 && i.Batches == 0 && i.Retrying == 0
	})
	if i := info(t, db, made.ID); halfway == 0 || i.State != store.BroadcastCancelled || i.Error != 600 {
		t.Errorf("halfway %d times, and then %+v", halfway, i)
	}
	for _, r := range list(t, db, store.Filter{Limit: 1000}) {
		if r.Status != store.StatusError || r.Reason != "broadcast cancelled" {
			t.Fatalf("%s: %s because %q", r.ID, r.Status, r.Reason)
		}
	}
}

func deliverOne(t *testing.T, db Ledger, answer func(h *store.Handover) []store.Envelope) []store.Handover {
	t.Helper()
	due, err := db.Due(t.Context(), 1, lease)
	if err != nil || len(due) != 1 {
		t.Fatalf("Due = %v, %v", due, err)
	}
	handovers := claim(t, db, due[0].ID)
	var passed []store.Envelope
	for i := range handovers {
		passed = append(passed, published(&handovers[i]))
		passed = append(passed, answer(&handovers[i])...)
	}
	record(t, db, passed...)
	finish(t, db, due[0].ID, handovers, true)
	return handovers
}
