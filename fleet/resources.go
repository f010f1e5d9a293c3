package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/broker/rabbitmq"
	"switchboard/store"
	statememory "switchboard/store/memory"
	"switchboard/store/postgres"
	"switchboard/store/sqlite"
	"switchboard/worker"
)

// OpenBroker opens the broker a URL names: amqp://, amqps:// or memory: for the
// embedded one, which lives and dies with the process.
func OpenBroker(address, name string, logger *slog.Logger, reg prometheus.Registerer) (broker.Broker, error) {
	switch scheme(address) {
	case "memory":
		return memory.New(memory.Settings{}), nil
	case "amqp", "amqps":
		return rabbitmq.Open(rabbitmq.Settings{URL: address, Name: name, Logger: logger, Metrics: reg, DeadLetter: func(d *broker.Delivery, size uint64) broker.Headers {
			return worker.DeadLetterHeaders(name, d, worker.ReasonInvalid, fmt.Errorf("the body has %d bytes, and the most that max_body_bytes can be is %d", size, broker.MaxBody))
		}})
	}
	return nil, errors.New("AMQP_URL begins with none of memory:, amqp:// and amqps:// (it is not shown: it may hold a password)")
}

// Memory is a shared memory that lives and dies with the process: no record is
// kept in it.
type Memory interface {
	store.State
	Close() error
}

// OpenState opens what workers remember together: postgres://, sqlite:PATH, or
// memory: for a Memory. A SQLite file is made and migrated at once; a
// PostgreSQL database by `switchboard migrate`.
func OpenState(ctx context.Context, address string, logger *slog.Logger) (Memory, error) {
	if scheme(address) == "memory" {
		return statememory.New(), nil
	}
	db, err := MakeDatabase(ctx, address, logger)
	if err != nil {
		return nil, err
	}
	prepare := db.Migrate
	if scheme(address) != "sqlite" {
		prepare = func(ctx context.Context) error { return refuseEmpty(ctx, db) }
	}
	if err := prepare(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// schemaTimeout is how long a start waits to hear whether a database has a
// schema.
const schemaTimeout = 3 * time.Second

// refuseEmpty refuses a database that was never migrated, in which nothing can
// be remembered. Another version than the program's will do, and so will a
// database that is out of reach: who needs it waits for it.
func refuseEmpty(ctx context.Context, db store.Database) error {
	ctx, cancel := context.WithTimeout(ctx, schemaTimeout)
	defer cancel()
	if current, _, err := db.Version(ctx); err == nil && current == 0 {
		return store.ErrSchemaOlder
	}
	return nil
}

// OpenDatabase opens a database that has a record, postgres:// or sqlite:PATH,
// as it is: it makes no file, and leaves the schema alone.
func OpenDatabase(ctx context.Context, address string, logger *slog.Logger) (store.Database, error) {
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("opening SQLite file: %w; name the one that the fleet writes, or make one with `switchboard migrate`", err)
		}
	}
	return MakeDatabase(ctx, address, logger)
}

// MakeDatabase is OpenDatabase for those who begin a record: a SQLite file
// that is not there is made. The schema is left alone.
func MakeDatabase(ctx context.Context, address string, logger *slog.Logger) (store.Database, error) {
	if connectionString.MatchString(address) {
		return postgres.Open(ctx, postgres.Settings{URL: address, Logger: logger})
	}
	switch scheme(address) {
	case "sqlite":
		return sqlite.Open(ctx, strings.TrimPrefix(address, "sqlite:"), logger)
	case "postgres", "postgresql":
		return postgres.Open(ctx, postgres.Settings{URL: address, Logger: logger})
	case "memory":
		return nil, errors.New("DATABASE_URL is memory:, which keeps no record; write postgres:// or sqlite:PATH")
	}
	return nil, errors.New("DATABASE_URL begins with none of memory:, sqlite: and postgres:// (it is not shown: it may hold a password)")
}

// connectionString is PostgreSQL's other form of an address: host=… user=…
// (libpq §34.1.1.1).
var connectionString = regexp.MustCompile(`^\s*\w+\s*=`)

func scheme(address string) string {
	before, _, _ := strings.Cut(address, ":")
	return before
}

// closeTimeout is how long closing the broker waits for outstanding confirms.
const closeTimeout = 5 * time.Second

// abandonBroker closes the broker without waiting for confirms.
func abandonBroker(b broker.Broker) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = b.Close(ctx) // that confirms are outstanding is known
}

// CloseBroker closes the broker, waiting a bounded time for confirms.
func CloseBroker(b broker.Broker) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return b.Close(ctx)
}
