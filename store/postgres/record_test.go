//go:build services

package postgres_test

import (
	"testing"

	"switchboard/store/storetest"
)

func TestRecord(t *testing.T) {
	storetest.RunRecord(t, func(t *testing.T) storetest.Ledger { return migrated(t) })
}

func TestNewerProgress(t *testing.T) {
	db := migrated(t)
	storetest.RunNewerProgress(t, db, db.Write)
}

func TestKilledCancel(t *testing.T) {
	db := migrated(t)
	storetest.RunKilledCancel(t, db, db.Write)
}

func TestKilledRecorder(t *testing.T) {
	db := migrated(t)
	storetest.RunKilledRecorder(t, db, db.Write)
}

func TestRetention(t *testing.T) {
	db := migrated(t)
	storetest.RunRetention(t, db, db.Write)
}
