// Package postgres is the store on PostgreSQL, for production: any number of workers share it.
//
// Messages, transmissions and events are in monthly partitions, which are made ahead and which
// Retention drops. Everything is in one schema, so that a database can have several fleets.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"switchboard/store"
	"switchboard/store/internal/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

var (
	_ store.State    = (*DB)(nil)
	_ store.Recorder = (*DB)(nil)
)

// Settings of a database. Only URL is needed.
type Settings struct {
	URL      string // postgres://user:password@host:port/database?options; without sslmode, another machine is verified
	MaxConns int    // at least 2; 0 is 8
	Schema   string // of the tables, which Migrate makes; empty is the user's default (public)
	Logger   *slog.Logger
}

const (
	defaultConns  = 8
	lockPeriod    = 1   // seconds between tries for the lock of migrations
	lockThreshold = 300 // tries: longer than any migration takes
)

// DB is a store on PostgreSQL. Its methods are safe from several goroutines. They fail while
// the database is out of reach, and work again when it is back.
type DB struct {
	*sqlstore.DB
	pool   *pgxpool.Pool
	schema string
}

// Open makes a pool of connections. The database need not be up yet. Open does not touch the
// schema: see Migrate and Check. An error is about the URL.
func Open(ctx context.Context, s Settings) (*DB, error) {
	config, err := poolConfig(s)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("opening PostgreSQL pool: %w", err)
	}
	return newDB(pool, s), nil
}

func poolConfig(s Settings) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(s.URL)
	if err == nil && !saysTLS(s.URL) && leavesMachine(config.ConnConfig) {
		config, err = pgxpool.ParseConfig(verified(s.URL))
	}
	if err != nil {
		// pgx masks the password.
		return nil, fmt.Errorf("reading PostgreSQL URL: %w", err)
	}
	config.MaxConns = defaultConns
	if s.MaxConns > 0 {
		config.MaxConns = int32(min(max(s.MaxConns, 2), 10_000))
	}
	params := config.ConnConfig.RuntimeParams
	if params["application_name"] == "" {
		params["application_name"] = "switchboard"
	}
	if s.Schema != "" {
		params["search_path"] = pgx.Identifier{s.Schema}.Sanitize()
	}
	params["timezone"] = "UTC"
	// There are few statements, and all use an index. With monthly partitions planning takes
	// longer than running: plan once, without parallel workers and JIT.
	params["plan_cache_mode"] = "force_generic_plan"
	params["max_parallel_workers_per_gather"] = "0"
	params["jit"] = "off"
	return config, nil
}

// An address on another machine that does not say otherwise means sslmode=verify-full. libpq's own
// default, prefer, would take any certificate, or none (libpq §34.19.1).

var sslMode = regexp.MustCompile(`(?i)\b(sslmode|ssl|service)\s*=`)

// saysTLS says whether the address, or the environment, chooses how the connection is secured.
func saysTLS(address string) bool {
	return sslMode.MatchString(address) || os.Getenv("PGSSLMODE") != "" || os.Getenv("PGSERVICE") != ""
}

// leavesMachine says whether one of the hosts is another machine.
func leavesMachine(c *pgx.ConnConfig) bool {
	hosts := []string{c.Host}
	for _, f := range c.Fallbacks {
		hosts = append(hosts, f.Host)
	}
	return slices.ContainsFunc(hosts, func(host string) bool {
		return !strings.HasPrefix(host, "/") && host != "localhost" && !net.ParseIP(host).IsLoopback()
	})
}

// verified is an address with sslmode=verify-full, in either of its forms.
func verified(address string) string {
	switch {
	case !strings.Contains(address, "://"):
		return address + " sslmode=verify-full"
	case strings.Contains(address, "?"):
		return address + "&sslmode=verify-full"
	}
	return address + "?sslmode=verify-full"
}

func newDB(pool *pgxpool.Pool, s Settings) *DB {
	std := stdlib.OpenDBFromPool(pool)
	// Idle connections belong to the pool, not to database/sql.
	std.SetMaxIdleConns(0)
	db := &DB{
		DB:   sqlstore.New(std, std, dialect{}, migrations),
		pool: pool, schema: s.Schema,
	}
	db.Start(s.Logger)
	return db
}

// Close ends the background jobs and closes the connections.
func (db *DB) Close() error {
	db.Stop()
	err := db.Write.Close()
	db.pool.Close()
	return err
}

// Migrate brings the schema to the program's version. Of several that run at once one migrates
// and the others wait. A newer schema is an error: store.ErrSchemaNewer.
func (db *DB) Migrate(ctx context.Context) error {
	if err := db.Check(ctx); err == nil || !errors.Is(err, store.ErrSchemaOlder) {
		return err
	}
	if err := db.createSchema(ctx); err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(db.lockID()), lock.WithLockTimeout(lockPeriod, lockThreshold))
	if err != nil {
		return err
	}
	if err := db.Up(ctx, goose.DialectPostgres, goose.WithSessionLocker(locker)); err != nil {
		return err
	}
	if err := db.MakeAhead(ctx); err != nil {
		return err
	}
	return db.Check(ctx)
}

// lockID is one per schema, so that migrations of two schemas do not wait for each other.
func (db *DB) lockID() int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte("switchboard migrations " + db.schema)) // never fails
	return int64(h.Sum32())
}

func (db *DB) createSchema(ctx context.Context) error {
	if db.schema == "" {
		return nil
	}
	// IF NOT EXISTS alone fails for the second of two concurrent statements.
	err := pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", -db.lockID()-1); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{db.schema}.Sanitize())
		return err
	})
	if err != nil {
		return fmt.Errorf("creating schema %s: %w", db.schema, err)
	}
	return nil
}
