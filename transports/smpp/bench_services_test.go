//go:build services

package smpp

import (
	"context"
	"fmt"
	"os"
	"testing"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/message"
	"switchboard/smpp/simulator"
	"switchboard/store"
	"switchboard/store/postgres"
)

// BenchmarkServices is a message from RabbitMQ to the SMSC and its ack back,
// with what must be remembered in memory and in PostgreSQL.
func BenchmarkServices(b *testing.B) {
	for _, kind := range []string{"memory", "postgres"} {
		for _, window := range []int{10, 100} {
			b.Run(fmt.Sprintf("state=%s/window=%d", kind, window), func(b *testing.B) {
				benchmarkServices(b, keep(b, kind), window)
			})
		}
	}
}

// BenchmarkServicesReceipts is BenchmarkReceiveReceipts with the state in PostgreSQL.
func BenchmarkServicesReceipts(b *testing.B) { benchmarkReceiveReceipts(b, keep(b, "postgres")) }

func keep(b *testing.B, kind string) store.State {
	b.Helper()
	if kind == "memory" {
		return remember(b)
	}
	db, err := postgres.Open(b.Context(), postgres.Settings{URL: need(b, "DATABASE_URL"), Logger: logger(b)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	return db
}

func need(b *testing.B, name string) string {
	b.Helper()
	value := os.Getenv(name)
	if value == "" {
		b.Fatalf("%s is not set; make test sets it", name)
	}
	return value
}

func benchmarkServices(b *testing.B, state store.State, window int) {
	v := simulate(b, simulator.Settings{Keep: -1, Behaviour: simulator.Behaviour{Receipts: noReceipts()}})
	r, err := rabbitmq.Open(rabbitmq.Settings{URL: need(b, "AMQP_URL"), Name: "bench", Logger: logger(b)})
	if err != nil {
		b.Fatal(err)
	}
	name := "smpp-bench-" + message.NewID()
	tr := connected(b, v.Addr(), state, nil, func(o *Transport) { o.Window, o.TransportName = window, name })
	key := message.Key(name, message.Outbound)
	if err := r.Declare(b.Context(), broker.Queue{Name: key, Keys: []string{key}}); err != nil {
		b.Fatal(err)
	}
	defer func() { remove(b, name) }()
	fill(b, r, key, b.N)
	b.ResetTimer()
	f := employAt(b, tr, state, r)
	defer f.stop()
	for range b.N {
		f.next()
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

// remove leaves no queue behind. The fleet's broker is closed by then.
func remove(b *testing.B, name string) {
	b.Helper()
	r, err := rabbitmq.Open(rabbitmq.Settings{URL: need(b, "AMQP_URL"), Name: "bench", Logger: logger(b)})
	if err != nil {
		b.Fatal(err)
	}
	for _, flow := range []message.Flow{message.Inbound, message.Outbound, message.EventFlow} {
		if err := r.Delete(b.Context(), message.Key(name, flow)); err != nil {
			b.Error(err)
		}
	}
	_ = r.Close(context.Background())
}

func fill(b *testing.B, to broker.Broker, key string, n int) {
	b.Helper()
	outcomes := make(chan error, n)
	for i := range n {
		m := outgoing("hello, this is a message of usual length for a short message")
		m.To = fmt.Sprintf("2783%07d", i)
		to.PublishAsync(context.Background(), broker.Publication{Key: key, Body: m.Encode()}, func(err error) { outcomes <- err })
	}
	for range n {
		if err := <-outcomes; err != nil {
			b.Fatal(err)
		}
	}
}
