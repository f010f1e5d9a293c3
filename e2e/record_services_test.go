//go:build services

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
	h := newHandsets(t, connect(t, s.url("AMQP_URL")), "load")
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
	t.Logf("%d bodies wait to be recorded, besides those in hand", waiting.Messages)
	s.run("start-postgres")
	back := time.Now()
	t.Logf("the database was away for %s", back.Sub(stopped).Round(time.Millisecond))
	h.converse(after)

	all := before + burst + n + after
	o.awaitAudit(map[string]int{"I R": all, "O S": all})
	t.Logf("%s after the database came back the record was whole: %d conversations", time.Since(back).Round(time.Millisecond), all)
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

// One of two replicas dies in the middle of a broadcast: the other hands over
// the rest, and nobody gets it twice beyond what the dead one had in hand. It
// keeps the processors busy, so it is not parallel.
func TestBroadcastReplicaKilled(t *testing.T) {
	const many = 100_000
	// inHand is what a replica may have in hand: eight batches of 200.
	const inHand = 8 * 200
	s, o := startRecord(t)
	h := newHandsets(t, connect(t, s.url("AMQP_URL")), "load")
	doomed := start(t, "keep", fmt.Sprintf(recordYAML, "keep"), o.env...)
	start(t, "keep", fmt.Sprintf(recordYAML, "keep"), o.env...)

	list := filepath.Join(t.TempDir(), "people.csv")
	var people strings.Builder
	people.WriteString("address,name\n")
	for i := range many {
		fmt.Fprintf(&people, "+2783%07d,person %d\n", i, i)
	}
	if err := os.WriteFile(list, []byte(people.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	t.Log(strings.TrimSpace(o.must("send", "--transport", "load", "--from-file", list, "--text", "Hi {{name}}")))
	t.Logf("stored in %s", time.Since(began).Round(time.Millisecond))
	h.await(many/5, patience)
	doomed.kill()
	h.await(many, 3*time.Minute)
	t.Logf("handed over in %s", time.Since(began).Round(time.Millisecond))
	o.awaitAudit(map[string]int{"O S": many})
	t.Logf("recorded as sent in %s", time.Since(began).Round(time.Millisecond))
	different, again := h.counts()
	if different != many || again > inHand {
		t.Errorf("%d people got it, %d of them again; want %d and at most %d", different, again, many, inHand)
	}
	t.Logf("%d people got it, %d of them again", different, again)
	a := &auditor{o, fleetDir(t, map[string]string{"join": routeYAML, "keep": fmt.Sprintf(recordYAML, "keep")})}
	a.wants(0, "nothing has been waiting", "--stuck", "1ms")
	eventually(t, "the broadcast is done", func() bool {
		return strings.Contains(o.must("broadcasts", "show", "1"), ", done\n")
	})
}

// A conversation over telnet is in the record, and traced hop by hop.
func TestConversationTraced(t *testing.T) {
	t.Parallel()
	_, o := startRecord(t)
	port := freePort(t)
	start(t, "line", fmt.Sprintf("transport_class: telnet\ntransport_name: line\ntelnet_port: %d\n", port), o.env...)
	start(t, "echo", echoYAML, o.env...)
	start(t, "join", strings.ReplaceAll(routeYAML, "load", "line"), o.env...)
	start(t, "keep", strings.ReplaceAll(fmt.Sprintf(recordYAML, "keep"), "load", "line"), o.env...)
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("hello record\r\n")); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(conn)
	for lines.Scan() && !strings.Contains(lines.Text(), "hello record") {
	}
	var asked struct{ ID, State string }
	eventually(t, "the question is processed", func() bool {
		out := o.must("messages", "--json", "--direction", "I", "--text", "hello record")
		return json.Unmarshal([]byte(out), &asked) == nil && asked.State == "R"
	})
	var trace string
	eventually(t, "the answer is sent", func() bool {
		trace = o.must("trace", asked.ID)
		return strings.Contains(trace, "is S (sent)")
	})
	for _, hop := range []string{
		"received by transport", "dispatcher join, rule route_mappings.line", "sent by application", "rule transport_name",
		"processed", "ack", "is R (processed)", "missing: ",
	} {
		if !strings.Contains(trace, hop) {
			t.Errorf("%q is missing from:\n%s", hop, trace)
		}
	}
	t.Log("\n" + trace)
}
