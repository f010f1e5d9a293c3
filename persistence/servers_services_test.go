//go:build services

package persistence_test

import (
	"context"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/message"
	"switchboard/store"
	"switchboard/store/postgres"
)

func TestServers(t *testing.T) { runSuite(t, openServers) }

func needed(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf(`%s is not set: eval "$(scripts/services env)" after scripts/services up`, name)
	}
	return value
}

func openServers(t testing.TB) (broker.Broker, store.Database) {
	t.Helper()
	return openRabbitMQ(t), openPostgres(t, "switchboard")
}

func openRabbitMQ(t testing.TB) broker.Broker {
	t.Helper()
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: needed(t, "AMQP_URL"), Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = b.Close(ctx)
	})
	return b
}

// openPostgres opens a schema of the test's own, dropped at its end; name is
// what its connections are called.
func openPostgres(t testing.TB, name string) *postgres.DB {
	t.Helper()
	address, schema := needed(t, "DATABASE_URL"), "test_"+message.NewID()[:16]
	t.Cleanup(func() { execute(t, address, "DROP SCHEMA IF EXISTS "+schema+" CASCADE") })
	db, err := postgres.Open(t.Context(), postgres.Settings{URL: named(t, address, name), Schema: schema, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}

func named(t testing.TB, address, name string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("application_name", name)
	u.RawQuery = q.Encode()
	return u.String()
}

func execute(t testing.TB, address, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	if _, err := c.Exec(ctx, statement); err != nil {
		t.Error(err)
	}
}

// The connections to the database are killed again and again while batches are
// written: nothing is lost, and nothing is dead-lettered.
func TestKilledConnections(t *testing.T) {
	id := message.NewID()[:10]
	db := openPostgres(t, id)
	b := &bench{TB: t, id: id, broker: openRabbitMQ(t), db: db}
	b.sms, b.app = "sms"+b.id, "app"+b.id
	t.Cleanup(b.deleteQueues)
	p := b.worker()
	p.RecordBatch = 50
	b.start(p, db)
	const many, kills = 3000, 10
	for i := range many {
		b.publishMessage(message.Inbound, b.inbound("hello"))
		if i%(many/kills) == 0 {
			execute(t, needed(t, "DATABASE_URL"), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '"+b.id+"'")
		}
	}
	counted := func() (n int64) {
		audit, err := db.Audit(t.Context(), store.AuditLimits{})
		if err != nil {
			return 0
		}
		for _, c := range audit.Counts {
			n += c.N
		}
		return n
	}
	b.await("all are written", func() bool { return counted() == many })
	if dead := b.dead(); len(dead) > 0 {
		t.Errorf("%d are dead-lettered, the first because of %s", len(dead), dead[0].Headers)
	}
}

func BenchmarkRecorderOnServers(b *testing.B) { benchmarkRecorder(b, openServers) }
