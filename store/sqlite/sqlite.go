// Package sqlite is the store in one file, or in memory, for demonstrations, tests and small
// fleets on one machine. Several processes may share a file; one writes at a time.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"switchboard/internal/backoff"
	"switchboard/store"
	"switchboard/store/internal/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	_ store.State    = (*DB)(nil)
	_ store.Recorder = (*DB)(nil)
)

// Memory is the path of a database in the process's memory, which ends with Close.
const Memory = ":memory:"

const (
	busyTimeout  = 10 * time.Second // waiting for another process's write
	readers      = 4
	migrateTries = 40
	migratePause = 250 * time.Millisecond
)

// DB is a store on SQLite. Its methods are safe from several goroutines.
type DB struct {
	*sqlstore.DB
}

// Open opens the database file at path, or makes it; Memory is a path, too. A nil logger is
// silent. Open does not touch the schema: see Migrate and Check.
func Open(ctx context.Context, path string, log *slog.Logger) (*DB, error) {
	write, err := openPool(ctx, path, 1)
	if err != nil {
		return nil, err
	}
	read := write
	if path != Memory {
		if read, err = openPool(ctx, path, readers); err != nil {
			return nil, errors.Join(err, write.Close())
		}
	}
	db := &DB{DB: sqlstore.New(write, read, dialect{}, migrations)}
	db.Start(log)
	return db, nil
}

func openPool(ctx context.Context, path string, conns int) (*sql.DB, error) {
	pool, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return nil, fmt.Errorf("opening SQLite file %s: %w", path, err)
	}
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns) // a memory database ends with its last connection
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("opening SQLite file %s: %w%s", path, err, unwritable(path)), pool.Close())
	}
	return pool, nil
}

// unwritable says why the file's directory cannot be written, where it cannot. SQLite
// makes files beside its own, and says no more than that it cannot open them.
func unwritable(path string) string {
	probe, err := os.CreateTemp(filepath.Dir(path), ".switchboard-*")
	if err != nil {
		return fmt.Sprintf("; its directory must be writable: %v", errors.Unwrap(err))
	}
	_, _ = probe.Close(), os.Remove(probe.Name())
	return ""
}

// dsn: WAL lets readers read while one writes. Writing transactions begin immediate, because
// only BEGIN waits for busy_timeout.
func dsn(path string) string {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"journal_mode(WAL)", "foreign_keys(ON)", "synchronous(FULL)", "cache_size(-20000)",
		// SQLite would index the whole table for each join with hundreds of rows; the tables
		// have indexes.
		"automatic_index(OFF)",
	}}
	if path == Memory {
		return Memory + "?" + q.Encode()
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// Close ends the background jobs and closes the file.
func (db *DB) Close() error {
	db.Stop()
	err := db.Write.Close()
	if db.Read != db.Write {
		err = errors.Join(err, db.Read.Close())
	}
	return err
}

// Migrate brings the schema to the program's version. Several processes may do so at once: the
// second one finds a migration applied, and tries again. A newer schema is an error:
// store.ErrSchemaNewer.
func (db *DB) Migrate(ctx context.Context) error {
	var failure error
	for range migrateTries {
		err := db.Check(ctx)
		if err == nil || errors.Is(err, store.ErrSchemaNewer) {
			return err
		}
		if failure = db.Up(ctx, goose.DialectSQLite3); failure == nil {
			return db.Check(ctx)
		}
		if !backoff.Sleep(ctx, backoff.Jitter(migratePause)) {
			return errors.Join(ctx.Err(), failure)
		}
	}
	return failure
}
