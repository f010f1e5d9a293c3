package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"switchboard/message"
	"switchboard/store"
)

// TestRowsTheDatabaseRefusesAreFound: what only the database knows to be wrong
// is reported alone, and all else is written.
func TestRowsTheDatabaseRefusesAreFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.db")
	db := migrated(t, path)
	raw, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_, err = raw.Exec(`CREATE TRIGGER poison BEFORE INSERT ON message WHEN NEW.text = 'poison'
		BEGIN SELECT RAISE(ABORT, 'no poison'); END`)
	if err != nil {
		t.Fatal(err)
	}
	batch := make([]store.Envelope, 9)
	for i := range batch {
		m := message.New()
		m.To, m.Content = "+27", map[bool]string{true: "poison", false: "text"}[i == 4]
		batch[i] = store.Envelope{Direction: store.Outbound, Backend: "sms", Message: m}
	}
	rejected, err := db.Record(t.Context(), batch)
	if err != nil || len(rejected) != 1 || rejected[0].Index != 4 || !strings.Contains(rejected[0].Error(), "no poison") {
		t.Fatalf("Record = %v, %v", rejected, err)
	}
	a, err := db.Audit(t.Context(), store.AuditLimits{Stuck: -time.Hour})
	if err != nil || len(a.Stuck) != 8 {
		t.Errorf("Audit = %+v, %v", a, err)
	}
}

// TestMigrateFilled takes a file through every version with rows of each in it.
func TestMigrateFilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "filled.db")
	raw, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, raw, os.DirFS("migrations"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	fills := map[int64]string{1: "INSERT INTO state (key, value) VALUES (CAST('1' AS BLOB), CAST('v' AS BLOB))"}
	for _, s := range provider.ListSources() {
		if _, err := provider.ApplyVersion(t.Context(), s.Version, true); err != nil {
			t.Fatalf("version %d: %v", s.Version, err)
		}
		if fill := fills[s.Version]; fill != "" {
			if _, err := raw.Exec(fill); err != nil {
				t.Fatalf("filling version %d: %v", s.Version, err)
			}
		}
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	db := migrated(t, path)
	if got, err := db.Get(t.Context(), "1"); err != nil || got["1"] != "v" {
		t.Errorf("Get = %v, %v", got, err)
	}
}
