//go:build services

package routers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/dispatcher"
	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/options"
	"switchboard/routers"
	"switchboard/routers/rules"
	"switchboard/store"
	"switchboard/store/memory"
	"switchboard/store/postgres"
	"switchboard/worker"
)

// manyRules are rules of which only the last matches.
func manyRules(n int) string {
	var text strings.Builder
	text.WriteString("rules:\n")
	for i := range n - 1 {
		fmt.Fprintf(&text, "  - {when: 'inbound and from startsWith \"+27\" and word == \"word%d\"', to: %%[1]s_app}\n", i)
	}
	text.WriteString("  - {when: outbound, to: =transport_name}\n")
	return text.String()
}

// BenchmarkThroughRabbitMQ is an outbound message through a whole dispatcher,
// from queue to queue. Compare simple with rules, and forgetting with
// remembering in PostgreSQL.
func BenchmarkThroughRabbitMQ(b *testing.B) {
	simple := func() dispatcher.Router { return routers.NewSimple() }
	for _, c := range []struct {
		name     string
		router   func() dispatcher.Router
		options  string
		remember bool
	}{
		{"simple/forgets", simple, "route_mappings: {%[1]s_sms: %[1]s_app}", false},
		{"rules100/forgets", func() dispatcher.Router { return rules.New() }, manyRules(100), false},
		{"simple/remembers", simple, "route_mappings: {%[1]s_sms: %[1]s_app}", true},
	} {
		b.Run(c.name, func(b *testing.B) { throughput(b, c.router(), c.options, c.remember) })
	}
}

func throughput(b *testing.B, router dispatcher.Router, opts string, remember bool) {
	fleet := "bench_" + message.NewID()[:8]
	mq, err := rabbitmq.Open(rabbitmq.Settings{URL: environment(b, "AMQP_URL"), Name: fleet})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	in := broker.Queue{Name: fleet + "_app.outbound", Keys: []string{fleet + "_app.outbound"}}
	out := broker.Queue{Name: fleet + "_sms.outbound", Keys: []string{fleet + "_sms.outbound"}}
	b.Cleanup(func() {
		cancel()
		for _, q := range []string{in.Name, out.Name, fleet + "_sms.inbound", fleet + "_sms.event", fleet + "_app.inbound", fleet + "_app.event"} {
			_ = mq.Delete(context.Background(), q)
		}
		_ = mq.Close(context.Background())
	})
	if err := errors.Join(mq.Declare(ctx, in), mq.Declare(ctx, out)); err != nil {
		b.Fatal(err)
	}
	preload(b, mq, fleet, b.N)

	settings := dispatcher.DefaultOptions()
	settings.Transports, settings.Exposed = options.Names{fleet + "_sms"}, options.Names{fleet + "_app"}
	settings.RememberOutbound = remember
	doc, err := options.Parse("bench.yaml", fmt.Appendf(nil, opts, fleet), nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := doc.Into(router); err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(router.(interface{ Validate() error }).Validate(), router.(dispatcher.Checker).Check(settings.Names())); err != nil {
		b.Fatal(err)
	}
	env := worker.Dependencies{Name: fleet, Broker: mq, State: stateFor(b, fleet, remember), Logger: slog.New(slog.DiscardHandler)}
	done := make(chan error, 1)
	b.ResetTimer()
	go func() { done <- dispatcher.New(env, settings, router).Run(ctx) }()
	testutil.EventuallyWithin(b, 2*time.Minute, "all have arrived", func() bool {
		info, err := mq.Inspect(ctx, out.Name)
		if err != nil {
			b.Fatal(err)
		}
		return info.Messages >= b.N
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	cancel()
	if err := <-done; err != nil {
		b.Error(err)
	}
}

func preload(b *testing.B, mq *rabbitmq.Broker, fleet string, n int) {
	published := make(chan error, n)
	for range n {
		m := message.New()
		m.From, m.To, m.Content, m.TransportName = "8181", "+27831234567", strings.Repeat("x", 100), fleet+"_sms"
		mq.PublishAsync(b.Context(), broker.Publication{Key: fleet + "_app.outbound", Body: m.Encode()}, func(err error) { published <- err })
	}
	for range n {
		if err := <-published; err != nil {
			b.Fatal(err)
		}
	}
}

func stateFor(b *testing.B, schema string, shared bool) store.State {
	if !shared {
		s := memory.New()
		b.Cleanup(func() { _ = s.Close() })
		return s
	}
	db, err := postgres.Open(b.Context(), postgres.Settings{URL: environment(b, "DATABASE_URL"), Schema: schema})
	if err == nil {
		err = db.Migrate(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = db.Close()
		conn, err := pgx.Connect(context.Background(), environment(b, "DATABASE_URL"))
		if err == nil {
			_, err = conn.Exec(context.Background(), "DROP SCHEMA "+pgx.Identifier{schema}.Sanitize()+" CASCADE")
		}
		if err != nil {
			b.Error(err)
		}
	})
	return db
}

func environment(b *testing.B, name string) string {
	value := os.Getenv(name)
	if value == "" {
		b.Fatalf("%s must name a running server; use `make test`", name)
	}
	return value
}
