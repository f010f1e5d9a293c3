//go:build services

package httpapi_test

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"switchboard/applications"
	"switchboard/applications/httpapi"
	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/message"
	"switchboard/persistence"
	"switchboard/store/postgres"
)

func TestServers(t *testing.T) { runSuite(t, openServers) }

// openServers is a place on RabbitMQ and PostgreSQL, with queues and a schema of the test's
// own, which are deleted at its end.
func openServers(t testing.TB) place {
	t.Helper()
	p := place{suffix: strings.ToLower(rand.Text()[:10])}
	mq, err := rabbitmq.Open(rabbitmq.Settings{URL: needed(t, "AMQP_URL"), Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	p.broker = mq
	t.Cleanup(func() { _ = mq.Close(context.Background()) })
	t.Cleanup(func() { p.deleteQueues(t) })
	address, schema := needed(t, "DATABASE_URL"), "test_"+p.suffix
	t.Cleanup(func() { execute(t, address, "DROP SCHEMA IF EXISTS "+schema+" CASCADE") })
	db, err := postgres.Open(t.Context(), postgres.Settings{URL: address, Schema: schema, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.db = db
	return p
}

func needed(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf(`%s is not set: eval "$(scripts/services env)" after scripts/services up`, name)
	}
	return value
}

func execute(t testing.TB, address, statement string) {
	t.Helper()
	c, err := pgx.Connect(context.Background(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	if _, err := c.Exec(context.Background(), statement); err != nil {
		t.Error(err)
	}
}

func (p place) deleteQueues(t testing.TB) {
	t.Helper()
	queues := []string{persistence.RecordQueue(p.record()), persistence.TaskQueue(p.record()), p.shop() + ".status", p.join() + ".status"}
	for _, connector := range []string{p.sms(), p.shop()} {
		for _, flow := range []message.Flow{message.Inbound, message.Outbound, message.EventFlow} {
			queues = append(queues, message.Key(connector, flow))
		}
	}
	for _, queue := range (&httpapi.Application{Webhook: new(httpapi.Webhook)}).Queues() {
		queues = append(queues, applications.QueueName(p.shop(), queue))
	}
	for _, queue := range queues {
		for _, name := range []string{queue, queue + broker.DeadSuffix} {
			if err := p.broker.Delete(context.Background(), name); err != nil {
				t.Error(err)
			}
		}
	}
}
