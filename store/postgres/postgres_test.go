//go:build services

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"switchboard/message"
	"switchboard/store"
	"switchboard/store/postgres"
	"switchboard/store/storetest"
)

func url(t testing.TB) string {
	t.Helper()
	url := os.Getenv("DATABASE_URL")
	if url == "" {
		t.Fatal("DATABASE_URL is not set; run with scripts/services run")
	}
	return url
}

// schema names a schema of the test's own, dropped at its end.
func schema(t testing.TB) string {
	t.Helper()
	name := "test_" + message.NewID()[:16]
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		execRaw(ctx, t, "DROP SCHEMA IF EXISTS "+name+" CASCADE")
	})
	return name
}

func execRaw(ctx context.Context, t testing.TB, statement string) {
	t.Helper()
	c, err := pgx.Connect(ctx, url(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, statement); err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, schema string) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Settings{URL: url(t), Schema: schema, MaxConns: 6})
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

func migrated(t testing.TB) *postgres.DB {
	t.Helper()
	db := open(t, schema(t))
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestState(t *testing.T) {
	storetest.RunState(t, func(t *testing.T) store.State { return migrated(t) })
}

func TestStateBatched(t *testing.T) {
	storetest.RunState(t, func(t *testing.T) store.State {
		b := store.NewBatcher(migrated(t), store.BatchSettings{})
		t.Cleanup(func() { _ = b.Close() })
		return b
	})
}

func TestStateIsShared(t *testing.T) {
	name := schema(t)
	one, two := open(t, name), open(t, name)
	if err := one.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := one.Set(t.Context(), store.Entry{Key: "a", Value: "1"}); err != nil {
		t.Fatal(err)
	}
	got, err := two.Get(t.Context(), "a")
	if err != nil || got["a"] != "1" {
		t.Errorf("the other sees %v, %v", got, err)
	}
}

func TestMigrateTogether(t *testing.T) {
	name := schema(t)
	var all sync.WaitGroup
	for range 5 {
		db := open(t, name)
		all.Go(func() {
			if err := db.Migrate(context.Background()); err != nil {
				t.Errorf("Migrate: %v", err)
			}
		})
	}
	all.Wait()
	if err := open(t, name).Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
}

func TestSchemaOlderAndNewer(t *testing.T) {
	name := schema(t)
	db := open(t, name)
	if err := db.Check(t.Context()); !errors.Is(err, store.ErrSchemaOlder) {
		t.Errorf("Check of an empty schema = %v", err)
	}
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	execRaw(t.Context(), t, fmt.Sprintf("INSERT INTO %s.goose_db_version (version_id, is_applied) VALUES (9999, true)", name))
	for what, do := range map[string]func(context.Context) error{"Check": db.Check, "Migrate": db.Migrate} {
		if err := do(t.Context()); !errors.Is(err, store.ErrSchemaNewer) {
			t.Errorf("%s of a newer schema = %v", what, err)
		}
	}
}

// A worker starts without its server. Using the database then fails with the server's name,
// without the password.
func TestWithoutServerItIsNamedAndNotThePassword(t *testing.T) {
	db, err := postgres.Open(t.Context(), postgres.Settings{URL: "postgres://u:secret-word@127.0.0.1:1/db"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for what, do := range map[string]func(context.Context) error{"Check": db.Check, "Migrate": db.Migrate} {
		if err := do(t.Context()); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("%s = %v", what, err)
		}
	}
	if _, err := postgres.Open(t.Context(), postgres.Settings{URL: "postgres://u:secret-word@127.0.0.1:port/db"}); err == nil ||
		strings.Contains(err.Error(), "secret-word") {
		t.Errorf("Open with a wrong URL = %v", err)
	}
}
