//go:build services

package httpapi_test

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"switchboard/message"
)

const examples = "../../examples/http-api/"

// The examples of documentation work: a person talks to them.
func TestExamples(t *testing.T) {
	for _, example := range [][]string{{"python3", "shop.py"}, {"node", "shop.js"}} {
		t.Run(example[1], func(t *testing.T) {
			// The webhook's address is in the application's file, and the application's in the
			// program's environment: the port is chosen before.
			port := freePort(t)
			b := newBundle(t, strings.Replace(plain, "web_host: 127.0.0.1", "web_host: 127.0.0.1\nweb_port: "+port, 1))
			hook := program(t, example[0], examples+example[1], "API=http://127.0.0.1:"+port)
			b.stop()
			b.start(strings.ReplaceAll(strings.Replace(plain, "web_host: 127.0.0.1", "web_host: 127.0.0.1\nweb_port: "+port, 1), "HOOK", hook))
			b.says("hours")
			if m := next(b, b.sent); m.Content != "We are open from 8 to 5." || m.To != person {
				t.Errorf("it answered %s", m.Encode())
			}
			b.says("hello")
			m := next(b, b.sent)
			if m.Content != "You wrote: hello" || m.To != person {
				t.Errorf("it answered %s", m.Encode())
			}
			b.reports(message.NewAck(m, "1"))
			b.awaitState(state{})
		})
	}
	t.Run("send.sh", func(t *testing.T) {
		b := newBundle(t, plain)
		c := exec.CommandContext(t.Context(), examples+"send.sh")
		c.Env = append(os.Environ(), "API="+b.url, "TOKEN="+token, "TO="+person)
		out, err := c.CombinedOutput()
		if m := next(b, b.sent); err != nil || !strings.Contains(string(out), m.ID) || m.Content != "Your order is on its way." {
			t.Errorf("it printed %s, %v, and sent %s", out, err, m.Encode())
		}
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// program starts an example, and returns the address that it listens at.
func program(t *testing.T, args ...string) (url string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), args[0], args[1])
	c.Env = append(os.Environ(), args[2], "TOKEN="+token, "SECRET="+secret, "PORT=0")
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatalf("starting %s: %v", args[0], err)
	}
	t.Cleanup(func() { _, _ = c.Process.Kill(), c.Wait() })
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", args[1], err)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(port)
}
