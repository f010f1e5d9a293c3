package storetest

import (
	"testing"
	"time"

	"switchboard/internal/testutil"
	"switchboard/store"
)

func optsOut(t *testing.T, db Ledger, out bool, identity string) {
	t.Helper()
	if err := db.OptOut(t.Context(), store.Address{Backend: "sms", Identity: identity}, out); err != nil {
		t.Fatal(err)
	}
}

// optOutLater: a person who opts out after a broadcast was created gets nothing that was not
// handed over by then, and no retry.
func optOutLater(t *testing.T, db Ledger) {
	made := create(t, db, store.Broadcast{Text: "x", RetryAfter: time.Microsecond}, recipients(4))
	optsOut(t, db, true, "+27000000000")
	optsOut(t, db, true, "+27000000001")
	optsOut(t, db, false, "+27000000001")
	tries := map[string]int{}
	testutil.EventuallyWithin(t, soon, "nothing is left to do", func() bool {
		for _, h := range deliver(t, db, nacked) {
			tries[h.Address]++
			optsOut(t, db, true, "+27000000003")
		}

		return info(t, db, made.ID).State == store.BroadcastDone
	})
	want := map[string]int{"+27000000001": 4, "+27000000002": 4, "+27000000003": 1}
	for address, n := range want {
		if tries[address] != n {
			t.Errorf("%s was tried %d times, want %d", address, tries[address], n)
		}
	}
	if len(tries) != len(want) {
		t.Errorf("handed over: %v", tries)
	}
	for _, address := range []string{"+27000000000", "+27000000003"} {
		for _, r := range list(t, db, store.Filter{Address: address}) {
			if r.Status != store.StatusError || r.Reason != "opted out" {
				t.Errorf("%s: %s because %q", address, r.Status, r.Reason)
			}
		}
	}
	if i := info(t, db, made.ID); i.Open != 0 || i.Error != 4 || i.Retrying != 0 || i.Batches != 0 {
		t.Errorf("done: %+v", i)
	}
}
