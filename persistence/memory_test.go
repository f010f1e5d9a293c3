package persistence_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	"switchboard/store"
	"switchboard/store/sqlite"
	"switchboard/worker"
)

func TestEmbedded(t *testing.T) { runSuite(t, openEmbedded) }

func openEmbedded(t testing.TB) (broker.Broker, store.Database) {
	t.Helper()
	b := memory.New(memory.Settings{})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return b, openSQLite(t, filepath.Join(t.TempDir(), "record.db"))
}

func openSQLite(t testing.TB, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

// A worker leaves a database alone that a newer program has migrated.
func TestNewerSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.db")
	db := openSQLite(t, path)
	raw, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	if _, err := raw.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)"); err != nil {
		t.Fatal(err)
	}
	b := memory.New(memory.Settings{})
	defer func() { _ = b.Close(context.Background()) }()
	bench := &bench{TB: t, id: "newer", sms: "sms", app: "app"}
	w, err := bench.worker().Worker(worker.Dependencies{Name: "p", Broker: b, State: db, Record: db, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(t.Context()); !errors.Is(err, store.ErrSchemaNewer) || !message.IsPermanent(err) {
		t.Errorf("the worker ended with: %v", err)
	}
}

// migratable is a database that a newer program migrates while others run.
type migratable struct {
	store.Database
	newer atomic.Bool
}

func (m *migratable) Check(ctx context.Context) error {
	if m.newer.Load() {
		return store.ErrSchemaNewer
	}
	return m.Database.Check(ctx)
}

// A worker that runs while a newer program migrates its database stops, and says
// why.
func TestMigratedWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker, db := openEmbedded(t)
		bench := &bench{TB: t, id: "running", broker: broker, db: db, sms: "sms", app: "app"}
		shared := &migratable{Database: db}
		w, err := bench.worker().Worker(worker.Dependencies{Name: "p", Broker: broker, State: db, Record: shared, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- w.Run(t.Context()) }()
		time.Sleep(10 * time.Minute) // of the test's own clock
		select {
		case err := <-ended:
			t.Fatalf("the worker ended before the migration: %v", err)
		default:
		}
		shared.newer.Store(true)
		time.Sleep(2 * time.Minute)
		select {
		case err := <-ended:
			if !errors.Is(err, store.ErrSchemaNewer) || !message.IsPermanent(err) || !strings.Contains(err.Error(), "while this worker ran") {
				t.Errorf("the worker ended with: %v", err)
			}
		default:
			t.Fatal("the worker runs on")
		}
	})
}

func TestNeedsDatabase(t *testing.T) {
	bench := &bench{TB: t, id: "none", sms: "sms", app: "app"}
	if _, err := bench.worker().Worker(worker.Dependencies{Name: "p"}); !message.IsPermanent(err) {
		t.Errorf("without a database: %v", err)
	}
}
