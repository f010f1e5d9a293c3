package storetest

import (
	"database/sql"
	"testing"
	"time"

	"switchboard/store"
)

// RunKilledRecorder tests that a recorder that died after a commit leaves no early update for
// ever: its batch is recorded again, when the message is there. raw is the store's database.
func RunKilledRecorder(t *testing.T, db Ledger, raw *sql.DB) {
	exec := func(statement string) {
		t.Helper()
		if _, err := raw.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	reply, question := outbound("reply", "question", at(1)), inbound("question", at(0))
	record(t, db, reply)
	exec("CREATE TABLE left_early AS SELECT * FROM early")
	record(t, db, question)
	exec("INSERT INTO early SELECT * FROM left_early")
	exec("DROP TABLE left_early")
	record(t, db, reply)
	a, err := db.Audit(t.Context(), store.AuditLimits{Stuck: -time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if a.Orphan != 0 {
		t.Errorf("%d updates are of messages that never came: %+v", a.Orphan, a.Orphans)
	}
}
