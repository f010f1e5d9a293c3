//go:build services

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/message"
)

// A fleet under load is clean; messages that were purged from a queue are
// found, however long ago, and those that wait are not taken for them.
func TestAuditFindsWhatWasPurged(t *testing.T) {
	t.Parallel()
	const gone, waits = 5, 3
	s, o := startRecord(t)
	two := func(yaml string) string {
		return strings.ReplaceAll(yaml, "transport_names: [load]", "transport_names: [load, quiet]")
	}
	files := map[string]string{"echo": echoYAML, "join": two(routeYAML), "keep": two(fmt.Sprintf(recordYAML, "keep"))}
	a := &auditor{o, fleetDir(t, files)}
	b := connect(t, s.url("AMQP_URL"))
	h := newPeople(t, b, "load", true)
	for name, yaml := range files {
		start(t, name, yaml, o.env...)
	}
	exact := []string{"--stuck", "1s", "--management-url", s.manage()}

	h.converse(500)
	a.wants(0, "nothing has been waiting", exact...)
	audits := make(chan string, 1)
	go func() {
		audits <- a.often(5, append(exact, "--stuck", "5s"), []string{"--stuck", "5s", "--again", "1s"})
	}()
	for passed, done := 0, false; !done; {
		n, slowest := h.load(time.Second)
		passed += n
		select {
		case unclean := <-audits:
			done = true
			t.Logf("10 audits while %d conversations passed, the last hundred in %s", passed, slowest)
			if unclean != "" {
				t.Errorf("under load: %s", unclean)
			}
		default:
		}
	}

	quiet := broker.Queue{Name: "quiet.outbound", Keys: []string{"quiet.outbound"}}
	if err := b.Declare(t.Context(), quiet); err != nil {
		t.Fatal(err)
	}
	first := sendTo(t, b, "quiet", gone)
	eventually(t, "what waits is stuck", func() bool { said, code := a.code(exact...); return code == 3 && strings.Contains(said, first) })
	// As RabbitMQ's own tools do: `clear` would tell the record what it deletes.
	if n, err := b.Purge(t.Context(), quiet.Name); err != nil || n != gone {
		t.Fatalf("purged %d of %d: %v", n, gone, err)
	}
	sendTo(t, b, "quiet", waits)
	missing := fmt.Sprintf("%d messages are missing", gone)
	// RabbitMQ's management is some seconds behind.
	found := func() bool { said, code := a.code(exact...); return code == 1 && strings.Contains(said, missing) }
	eventually(t, "the management's numbers show them", found)
	a.wants(1, "missing: outbound message "+first+" on quiet, state P", "--stuck", "1s", "--again", "1s")

	// When the transport runs again, only the management counts what is in flight.
	later := newPeople(t, b, "quiet", true)
	later.await(waits, patience)
	eventually(t, "what waited is sent", func() bool {
		said, _ := a.code("--stuck", "1s", "--again", "1s")
		return strings.Contains(said, "5 messages are stuck")
	})
	a.wants(3, "5 messages are stuck", "--stuck", "1s", "--again", "1s")
	eventually(t, "the management's numbers still show them", found)
	a.wants(4, "RabbitMQ's management", "--stuck", "1s", "--management-url", "http://127.0.0.1:1")
}

// sendTo publishes messages to a transport, as a dispatcher does, and returns
// the ID of the first.
func sendTo(t *testing.T, b broker.Publisher, transport string, n int) (first string) {
	t.Helper()
	for i := range n {
		m := message.New()
		m.To, m.From, m.TransportName, m.Content = fmt.Sprintf("+2783%07d", i), "12345", transport, "hello"
		if err := b.Publish(t.Context(), broker.Publication{Key: transport + ".outbound", Body: m.Encode()}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = m.ID
		}
	}
	return first
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
		"ack", "is R (replied)", "missing: ",
	} {
		if !strings.Contains(trace, hop) {
			t.Errorf("%q is missing from:\n%s", hop, trace)
		}
	}
	t.Log("\n" + trace)
}
