package storetest

import (
	"database/sql"
	"errors"
	"testing"

	"switchboard/message"
	"switchboard/store"
)

// RunNewerProgress tests a store beside a newer program: progress that only that one knows is
// an error. raw is the store's database.
func RunNewerProgress(t *testing.T, db Ledger, raw *sql.DB) {
	record(t, db, outbound("m", "", at(0)), ack("m", at(1)))
	exec := func(statement string) {
		t.Helper()
		if _, err := raw.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec("UPDATE transmission SET progress = 99")
	late := report("m", message.Delivered, at(2))
	if rejected, err := db.Record(t.Context(), []store.Envelope{late}); !errors.Is(err, store.ErrSchemaNewer) || len(rejected) > 0 {
		t.Errorf("Record of a newer program's message: rejected %v, %v", rejected, err)
	}
	exec("UPDATE transmission SET progress = 4") // sent, for ever
	record(t, db, late)
	if r := find(t, db, "m"); r.Status != store.StatusDelivered {
		t.Errorf("recorded when a newer program has done: %+v", r)
	}
	record(t, db, ack("n", at(1)))
	exec("UPDATE early SET progress = 99")
	if _, err := db.Record(t.Context(), []store.Envelope{outbound("n", "", at(0))}); !errors.Is(err, store.ErrSchemaNewer) {
		t.Errorf("Record of a message that a newer program's word waits for: %v", err)
	}
	exec("UPDATE early SET progress = 4")
	record(t, db, outbound("n", "", at(0)))
	if r := find(t, db, "n"); r.Status != store.StatusSent {
		t.Errorf("adopted when a newer program has done: %+v", r)
	}
}
