package storetest

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"switchboard/store"
)

// RunRetention tests that Retention keeps what is not final. raw is the store's database.
func RunRetention(t *testing.T, db Ledger, raw *sql.DB) {
	now := time.Now().UTC()
	old := time.Date(now.Year(), now.Month(), 15, 0, 0, 0, 0, time.UTC).AddDate(0, -4, 0)
	month := old.Year()*100 + int(old.Month())
	record(t, db, outbound("waits", "", old), outbound("sent", "", old), ack("sent", old), inbound("in", old))
	ctx := t.Context()
	scheduled, err := db.Create(ctx, store.Broadcast{Text: "later", Start: now.Add(time.Hour)}, recipients(3))
	if err != nil {
		t.Fatal(err)
	}
	failing, err := db.Create(ctx, store.Broadcast{Text: "again", Retries: 1, RetryAfter: time.Hour}, recipients(1))
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, db, nacked)
	for _, table := range []string{"message", "transmission"} { // both were created then
		if _, err := raw.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET month = %d WHERE month <> %[2]d", table, month)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := raw.ExecContext(ctx, fmt.Sprintf("UPDATE broadcast SET month = %d", month)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Retention(ctx, 2); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]bool{"waits": true, "sent": false, "in": false} {
		if _, err := db.Trace(ctx, id); (err == nil) != want || !want && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v; kept should be %t", id, err, want)
		}
	}
	for id, want := range map[int64]int64{scheduled.ID: 3, failing.ID: 1} {
		if i, err := db.Broadcast(ctx, id); err != nil || i.Open+i.Error != want {
			t.Errorf("broadcast %d: %+v, %v; want %d messages", id, i, err, want)
		}
	}
	if got := list(t, db, store.Filter{Broadcast: failing.ID}); len(got) != 1 {
		t.Errorf("of the broadcast that is retried: %q", ids(got))
	}
	record(t, db, ack("waits", now))
	if _, err := db.Retention(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if got := ids(list(t, db, store.Filter{})); slices.Contains(got, "waits") || len(got) != 4 {
		t.Errorf("when it is final: %q", got)
	}
}
