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

// TestRowsTheDatabaseRefusesAreFound: an envelope that only the database rejects is reported
// alone; all others are stored.
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

// TestMigrateFilled migrates through every version with rows of each version.
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
	fills := map[int64]string{
		1: "INSERT INTO state (key, value) VALUES (CAST('1' AS BLOB), CAST('v' AS BLOB))",
		2: `INSERT INTO transmission (id, direction, backend_id, month, message_id, connection_id, status, fact, attempt, date, updated)
			VALUES ('handed', 'O', 1, 0, 'handed', 1, 'P', 2, 1, 0, 0), ('refused', 'O', 1, 0, 'refused', 1, 'E', 3, 1, 0, 0),
			('delivered', 'O', 1, 0, 'delivered', 1, 'D', 6, 1, 0, 0), ('received', 'I', 1, 0, 'received', 1, 'Q', 8, 1, 0, 0);
			INSERT INTO early (event_id, id, direction, backend_id, fact, attempt, date, recorded)
			VALUES ('ack', 'm', 'O', 1, 4, 1, 0, 0), ('receipt', 'm', 'I', 1, 11, 1, 0, 0)`,
	}
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
	for query, want := range map[string]store.Progress{
		"transmission WHERE id = 'handed'": store.HandedOver, "transmission WHERE id = 'refused'": store.Refused,
		"transmission WHERE id = 'delivered'": store.Delivered, "transmission WHERE id = 'received'": store.Received,
		"early WHERE event_id = 'ack'": store.Sent, "early WHERE event_id = 'receipt'": store.Processed,
	} {
		var got store.Progress
		if err := raw.QueryRow("SELECT progress FROM " + query).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", query, got, err, want)
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
