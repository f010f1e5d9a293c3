//go:build services

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
)

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
