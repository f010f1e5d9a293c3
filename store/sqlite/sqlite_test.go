package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"switchboard/store"
	"switchboard/store/sqlite"
	"switchboard/store/storetest"
)

func open(t testing.TB, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return db
}

func migrated(t testing.TB, path string) *sqlite.DB {
	t.Helper()
	db := open(t, path)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func file(t *testing.T) string { return filepath.Join(t.TempDir(), "with space % and ?.db") }

func TestStateInFile(t *testing.T) {
	storetest.RunState(t, func(t *testing.T) store.State { return migrated(t, file(t)) })
}

func TestStateInMemory(t *testing.T) {
	storetest.RunState(t, func(t *testing.T) store.State { return migrated(t, sqlite.Memory) })
}

func TestStateBatched(t *testing.T) {
	storetest.RunState(t, func(t *testing.T) store.State {
		b := store.NewBatcher(migrated(t, file(t)), store.BatchSettings{})
		t.Cleanup(func() { _ = b.Close() })
		return b
	})
}

func TestStateIsSharedAndStays(t *testing.T) {
	path := file(t)
	one, two := migrated(t, path), open(t, path)
	if err := one.Set(t.Context(), store.Entry{Key: "a", Value: "1"}); err != nil {
		t.Fatal(err)
	}
	got, err := two.Get(t.Context(), "a")
	if err != nil || got["a"] != "1" {
		t.Errorf("the other sees %v, %v", got, err)
	}
}

func TestMigrateTogether(t *testing.T) {
	path := file(t)
	var all sync.WaitGroup
	for range 6 {
		db := open(t, path)
		all.Go(func() {
			if err := db.Migrate(context.Background()); err != nil {
				t.Errorf("Migrate: %v", err)
			}
		})
	}
	all.Wait()
	if err := open(t, path).Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func TestSchemaOlderAndNewer(t *testing.T) {
	path := file(t)
	db := open(t, path)
	if err := db.Check(t.Context()); !errors.Is(err, store.ErrSchemaOlder) {
		t.Errorf("Check of an empty file = %v", err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", "file:"+filepath.Join(filepath.Dir(path), "with%20space%20%25%20and%20%3F.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)"); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func(context.Context) error{"Check": db.Check, "Migrate": db.Migrate} {
		if err := do(t.Context()); !errors.Is(err, store.ErrSchemaNewer) {
			t.Errorf("%s of a newer schema = %v", name, err)
		}
	}
	current, latest, err := db.Version(t.Context())
	if current != 9999 || latest == 0 || err != nil {
		t.Errorf("Version = %d, %d, %v", current, latest, err)
	}
}
