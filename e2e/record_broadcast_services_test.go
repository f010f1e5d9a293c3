//go:build services

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// One of two replicas dies in the middle of a broadcast: the other hands over
// the rest, and nobody gets it twice beyond what the dead one had in flight. It
// keeps the processors busy, so it is not parallel.
func TestBroadcastReplicaKilled(t *testing.T) {
	const many = 100_000
	// inFlight is what a replica may have in flight: eight batches of 200.
	const inFlight = 8 * 200
	s, o := startRecord(t)
	h := newPeople(t, connect(t, s.url("AMQP_URL")), "load", true)
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
	h.await(many, 8*time.Minute) // the killed replica's leases, on a busy machine
	t.Logf("handed over in %s", time.Since(began).Round(time.Millisecond))
	o.awaitAudit(map[string]int{"O S": many})
	t.Logf("recorded as sent in %s", time.Since(began).Round(time.Millisecond))
	different, again := h.counts()
	if different != many || again > inFlight {
		t.Errorf("%d people got it, %d of them again; want %d and at most %d", different, again, many, inFlight)
	}
	t.Logf("%d people got it, %d of them again", different, again)
	a := &auditor{o, fleetDir(t, map[string]string{"join": routeYAML, "keep": fmt.Sprintf(recordYAML, "keep")})}
	a.wants(0, "nothing has been waiting", "--stuck", "1ms")
	eventually(t, "the broadcast is done", func() bool {
		return strings.Contains(o.must("broadcasts", "show", "1"), ", done\n")
	})
}

// Somebody who says STOP to a dispatcher gets no broadcast any more, though
// broadcasts pass no dispatcher: none that is under way, and no new one.
func TestStopEndsBroadcasts(t *testing.T) {
	t.Parallel()
	_, o := startRecord(t)
	port := freePort(t)
	start(t, "line", fmt.Sprintf("transport_class: telnet\ntransport_name: line\ntelnet_port: %d\n", port), o.env...)
	start(t, "echo", echoYAML, o.env...)
	start(t, "join", strings.ReplaceAll(routeYAML, "load", "line")+"middleware: [{stop: opt_out}]\n", o.env...)
	start(t, "keep", strings.ReplaceAll(fmt.Sprintf(recordYAML, "keep"), "load", "line"), o.env...)
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	says := func(text string) (address string) {
		t.Helper()
		if _, err := conn.Write([]byte(text + "\r\n")); err != nil {
			t.Fatal(err)
		}
		var said struct{ Address, State string }
		eventually(t, text+" is processed", func() bool {
			out := o.must("messages", "--json", "--direction", "I", "--text", text)
			return json.Unmarshal([]byte(out), &said) == nil && said.State == "R"
		})
		return said.Address
	}
	person := says("hello")
	o.must("send", "--transport", "line", "--to", person, "--text", "too late", "--schedule", "5s")
	says("STOP")
	eventually(t, "the broadcast is done", func() bool { return strings.Contains(o.must("broadcasts", "show", "1"), ", done\n") })
	if out := o.must("messages", "--json", "--broadcast", "1"); !strings.Contains(out, `"state":"E"`) || !strings.Contains(out, `"opted out"`) {
		t.Errorf("the scheduled message is recorded as %s", out)
	}
	if out, err := o.run("send", "--transport", "line", "--to", person, "--text", "another"); err == nil || !strings.Contains(err.Error(), "1 opted out") {
		t.Errorf("a broadcast to somebody who said STOP: %s, %v", out, err)
	}
	says("START")
	o.must("send", "--transport", "line", "--to", person, "--text", "again", "--wait")
}
