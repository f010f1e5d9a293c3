//go:build services

package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// An application in Go, a webhook in Python, a script and RapidSMS share an SMSC and the
// phone in the browser by keyword: each message comes to the right one, each answer back
// where it was asked for, and all of it is in the record.
func TestFourTeamsOnTwoChannels(t *testing.T) {
	t.Parallel()
	s := startServers(t, "rabbitmq", "postgres")
	sms := newSMSPhone(t)
	host, port, _ := net.SplitHostPort(sms.smsc.Addr())
	api, relay, phone := freePort(t), freePort(t), fmt.Sprint(freePort(t))
	programs := []string{
		fmt.Sprintf("API=http://127.0.0.1:%d", api), "TOKEN=0123456789abcdef", "SECRET=whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=",
		fmt.Sprintf("RELAY=http://127.0.0.1:%d/send", relay), "RELAY_PASSWORD=secret",
	}
	env := []string{
		"AMQP_URL=" + s.url("AMQP_URL"), "DATABASE_URL=" + s.url("DATABASE_URL"), "SMPP_HOST=" + host, "SMPP_PORT=" + port, "PHONE_PORT=" + phone,
		"SHOP_TOKEN=0123456789abcdef", "SHOP_SECRET=whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=", fmt.Sprintf("SHOP_API_PORT=%d", api),
		"SHOP_PORT=" + pythonProgram(t, "../examples/http-api/shop.py", programs),
		fmt.Sprintf("RELAY_PORT=%d", relay), "RELAY_PASSWORD=secret",
		"RAPIDSMS_PORT=" + pythonProgram(t, "../configs/use-cases/four-teams/rapidsms.py", programs),
	}
	o := &operator{t, env}
	o.must("migrate")
	startArgs(t, "four-teams", env, "run", "../configs/use-cases/four-teams")
	page := openPhonePage(t, phone)
	const person = "+27831234568"
	for _, c := range []struct{ transport, says, rule, team, hears string }{
		{"sms", "guess", "rules.0", "guess", "between 1 and 100"},
		{"sms", "hours", "rules.1", "shop", "We are open from 8 to 5."},
		{"sms", "tea", "rules.2", "vote", "Your vote: tea"},
		{"sms", "ping", "rules.3", "rapidsms", "pong"},
		{"phone", "50", "rules.0", "guess", "50"},
		{"phone", "order shoes", "rules.1", "shop", "You wrote: order shoes"},
		{"phone", "coffee", "rules.2", "vote", "Your vote: coffee"},
		{"phone", "echo hello", "rules.3", "rapidsms", "hello"},
	} {
		state, heard := "is S (sent)", ""
		if c.transport == "sms" {
			sms.say(c.says)
			state, heard = "is D (delivered)", sms.read()
		} else {
			page.say(person, c.says)
			heard = page.read(person)
		}
		if !strings.Contains(heard, c.hears) {
			t.Errorf("%s: %q is answered %q, not %q", c.transport, c.says, heard, c.hears)
		}
		o.awaitTrace(c.says, "received by transport", "transport "+c.transport+",", "rule "+c.rule, "application "+c.team, "ack", "is R (", state)
	}
	o.awaitAudit(map[string]int{"I R": 8, "O D": 4, "O S": 4})
}

// pythonProgram starts a program that prints the port it serves.
func pythonProgram(t *testing.T, file string, env []string) (port string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "python3", file)
	c.Env, c.Stderr = append(append(os.Environ(), env...), "PORT=0"), os.Stderr
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = c.Process.Kill(), c.Wait() })
	port, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return strings.TrimSpace(port)
}
