package sqlite_test

import (
	"testing"

	"switchboard/store/sqlite"
	"switchboard/store/storetest"
)

func TestRecordInFile(t *testing.T) {
	storetest.RunRecord(t, func(t *testing.T) storetest.Ledger { return migrated(t, file(t)) })
}

func TestRecordInMemory(t *testing.T) {
	storetest.RunRecord(t, func(t *testing.T) storetest.Ledger { return migrated(t, sqlite.Memory) })
}

func TestNewerProgress(t *testing.T) {
	db := migrated(t, file(t))
	storetest.RunNewerProgress(t, db, db.Write)
}

func TestKilledCancel(t *testing.T) {
	db := migrated(t, file(t))
	storetest.RunKilledCancel(t, db, db.Write)
}

func TestKilledRecorder(t *testing.T) {
	db := migrated(t, file(t))
	storetest.RunKilledRecorder(t, db, db.Write)
}

func TestRetention(t *testing.T) {
	db := migrated(t, file(t))
	storetest.RunRetention(t, db, db.Write)
}
