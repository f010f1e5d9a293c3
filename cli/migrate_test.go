package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchboard/store"
	"switchboard/store/sqlite"
)

// A mistyped path shows no empty record, and a newer program's look into a
// fleet's record does not turn the fleet out of it.
func TestOnlyMigrateMakesAndMigrates(t *testing.T) {
	lookUps := [][]string{
		{"messages"},
		{"trace", "x"},
		{"audit"},
		{"send", "--transport", "sms", "--to", "+1", "--text", "x"},
		{"send", "--sql", "SELECT 1 AS address", "--text", "x"},
		{"broadcasts", "list"},
		{"broadcasts", "show", "1"},
		{"broadcasts", "pause", "1"},
	}
	s := &sender{t, t.TempDir()}
	path := filepath.Join(s.dir, "record.db")
	for _, args := range lookUps {
		_, _, err := s.run(strings.NewReader(""), args...)
		if err == nil || !strings.Contains(err.Error(), path) || exitCode(err) != exitMisused {
			t.Errorf("%q without a database: %v", args, err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%q makes a database: %v", args, err)
		}
	}
	s.file("record.db", "")
	for _, args := range lookUps {
		if _, _, err := s.run(strings.NewReader(""), args...); !errors.Is(err, store.ErrSchemaOlder) {
			t.Errorf("%q on a database that is not migrated: %v", args, err)
		}
	}
	db, err := sqlite.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if version, _, err := db.Version(t.Context()); err != nil || version != 0 {
		t.Errorf("looking migrated it to %d, %v", version, err)
	}
	s.must("migrate")
	if err := db.Check(t.Context()); err != nil {
		t.Error(err)
	}
}
