//go:build services

package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	recordYAML = "worker_class: persistence\nworker_name: %s\ntransport_names: [load]\nexposed_names: [echo]\n"
	echoYAML   = "application_class: echo\ntransport_name: echo\n"
	routeYAML  = "router_class: simple\ntransport_names: [load]\nexposed_names: [echo]\nroute_mappings: {load: echo}\nworker_name: join\n"
)

// startRecord brings up servers of the test's own and migrates the database.
func startRecord(t *testing.T) (*servers, *operator) {
	t.Helper()
	s := startServers(t, "rabbitmq", "postgres")
	o := &operator{t, []string{"AMQP_URL=" + s.url("AMQP_URL"), "DATABASE_URL=" + s.url("DATABASE_URL")}}
	o.must("migrate")
	return s, o
}

// PostgreSQL goes away in the middle of traffic, for as long as OUTAGE says:
// nobody's message is delayed, and when it is back all of it is in the record.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	const before, burst, after = 1000, 5000, 500
	s, o := startRecord(t)
	memory := []string{o.env[0], "DATABASE_URL=memory:"}
	h := newPeople(t, connect(t, s.url("AMQP_URL")), "load", true)
	start(t, "echo", echoYAML, memory...)
	start(t, "join", routeYAML, memory...)
	for range 2 {
		start(t, "keep", fmt.Sprintf(recordYAML, "keep"), o.env...)
	}
	t.Logf("with the database, %d messages were answered in %s", before, h.converse(before))

	stopped := time.Now()
	s.run("stop-postgres")
	t.Logf("with the database away, %d messages were answered in %s", burst, h.converse(burst))
	n, slowest := h.load(time.Until(stopped.Add(outage(t))))
	t.Logf("then %d more, a hundred at a time, the slowest hundred in %s", n, slowest)
	waiting, err := h.broker.Inspect(t.Context(), "persistence.keep")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bodies wait to be recorded, besides those in flight", waiting.Messages)
	s.run("start-postgres")
	back := time.Now()
	t.Logf("the database was away for %s", back.Sub(stopped).Round(time.Millisecond))
	h.converse(after)

	all := before + burst + n + after
	o.awaitAudit(map[string]int{"I R": all, "O S": all})
	t.Logf("%s after the database came back the record was complete: %d conversations", time.Since(back).Round(time.Millisecond), all)
	a := &auditor{o, fleetDir(t, map[string]string{"echo": echoYAML, "join": routeYAML, "keep": fmt.Sprintf(recordYAML, "keep")})}
	a.wants(0, "nothing has been waiting", "--stuck", "1ms")
	if _, again := h.counts(); again > 0 {
		t.Errorf("%d messages came twice", again)
	}
}

// outage is how long a test's database stays away: OUTAGE (such as 1m), or no
// longer than a burst of messages takes.
func outage(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("OUTAGE")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("OUTAGE: %v", err)
	}
	return d
}

// The replicas of the worker are killed again and again while conversations
// are recorded: all of them are recorded, once.
func TestRecorderKilled(t *testing.T) {
	t.Parallel()
	const kills, between = 12, 400
	s, o := startRecord(t)
	memory := []string{o.env[0], "DATABASE_URL=memory:"}
	h := newPeople(t, connect(t, s.url("AMQP_URL")), "load", true)
	start(t, "echo", echoYAML, memory...)
	start(t, "join", routeYAML, memory...)
	keep := func() *process { return start(t, "keep", fmt.Sprintf(recordYAML, "keep"), o.env...) }
	replicas := []*process{keep(), keep()}
	for i := range kills {
		h.converse(between)
		replicas[i%2].kill() // with what is in flight
		replicas[i%2] = keep()
	}
	all := kills * between
	o.awaitAudit(map[string]int{"I R": all, "O S": all})
	if n := strings.Count(o.must("messages", "--json", "--limit", "0"), "\n"); n != 2*all {
		t.Errorf("%d messages are recorded, want %d", n, 2*all)
	}
	once(t, s.url("DATABASE_URL"), map[string]int{
		"SELECT count(*) FROM message": 2 * all, "SELECT count(DISTINCT id) FROM message": 2 * all,
		"SELECT count(*) FROM transmission":             2 * all,
		"SELECT count(*) FROM event WHERE type = 'ack'": all,
		"SELECT count(*) FROM event":                    all, // no receipts: the replies say as much
		"SELECT count(DISTINCT message_id) FROM event":  all,
		"SELECT count(*) FROM early":                    0,
	})
	for _, p := range replicas {
		if log := p.logged(); strings.Contains(log, "dead-letter") {
			t.Errorf("something was dead-lettered:\n%s", log)
		}
	}
}

// once counts rows in the database.
func once(t *testing.T, url string, counts map[string]int) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	for query, want := range counts {
		var got int
		if err := c.QueryRow(t.Context(), query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", query, got, err, want)
		}
	}
}
