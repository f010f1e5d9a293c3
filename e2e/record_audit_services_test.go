//go:build services

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"switchboard/broker"
	"switchboard/message"
)

// manage switches RabbitMQ's management on and returns its address.
func (s *servers) manage() string {
	s.t.Helper()
	plugins, port := filepath.Join(s.dir, "rabbitmq", "enabled_plugins"), freePort(s.t)
	if err := os.WriteFile(plugins, []byte("[rabbitmq_management].\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.run("rabbitmqctl", "eval", fmt.Sprintf(
		`ok = application:set_env(rabbitmq_management, tcp_config, [{port,%d},{ip,"127.0.0.1"}], [{persistent,true}]), {ok,_,_} = rabbit_plugins:ensure(%q).`,
		port, plugins))
	address := fmt.Sprintf("http://127.0.0.1:%d", port)
	eventually(s.t, "RabbitMQ's management answers", func() bool {
		answer, err := http.Get(address)
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return true
	})
	return address
}

// auditor is an operator who audits a fleet's files.
type auditor struct {
	*operator
	dir string
}

// code runs an audit and returns what it says, and its exit code.
func (a *auditor) code(args ...string) (said string, code int) {
	a.t.Helper()
	out, err := a.run(append(append([]string{"audit"}, args...), a.dir)...)
	var ended *exec.ExitError
	switch {
	case err == nil:
		return out, 0
	case errors.As(err, &ended):
		return out + err.Error(), ended.ExitCode()
	}
	return err.Error(), -1
}

// often audits n times in each way, and returns the first that is not clean.
func (a *auditor) often(n int, ways ...[]string) (unclean string) {
	for range n {
		for _, args := range ways {
			if said, code := a.code(args...); code != 0 {
				return fmt.Sprintf("audit %v: exit code %d\n%s", args, code, said)
			}
		}
	}
	return ""
}

func (a *auditor) wants(code int, text string, args ...string) {
	a.t.Helper()
	said, got := a.code(args...)
	if got != code || !strings.Contains(said, text) {
		a.t.Errorf("audit %v: exit code %d, want %d and %q\n%s", args, got, code, text, said)
	}
}

// fleetDir writes a fleet's files for the auditor to read.
func fleetDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, yaml := range files {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

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
	h := newHandsets(t, b, "load")
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
	o.must("clear", "--yes", quiet.Name)
	sendTo(t, b, "quiet", waits)
	missing := fmt.Sprintf("%d messages are missing", gone)
	// RabbitMQ's management is some seconds behind.
	found := func() bool { said, code := a.code(exact...); return code == 1 && strings.Contains(said, missing) }
	eventually(t, "the management's numbers show them", found)
	a.wants(1, "missing: outbound message "+first+" on quiet, state P", "--stuck", "1s", "--again", "1s")

	// When the transport runs again, only the management knows what it has in hand.
	later := newHandsets(t, b, "quiet")
	later.await(waits, patience)
	eventually(t, "what waited is sent", func() bool {
		said, _ := a.code("--stuck", "1s", "--again", "1s")
		return strings.Contains(said, "5 messages are stuck")
	})
	a.wants(3, "5 messages are stuck", "--stuck", "1s", "--again", "1s")
	eventually(t, "the management's numbers still show them", found)
	a.wants(2, "RabbitMQ's management", "--stuck", "1s", "--management-url", "http://127.0.0.1:1")
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

// The replicas of the worker are killed again and again while conversations
// are recorded: all of them are recorded, once.
func TestRecorderKilled(t *testing.T) {
	t.Parallel()
	const kills, between = 12, 400
	s, o := startRecord(t)
	memory := []string{o.env[0], "DATABASE_URL=memory:"}
	h := newHandsets(t, connect(t, s.url("AMQP_URL")), "load")
	start(t, "echo", echoYAML, memory...)
	start(t, "join", routeYAML, memory...)
	keep := func() *process { return start(t, "keep", fmt.Sprintf(recordYAML, "keep"), o.env...) }
	replicas := []*process{keep(), keep()}
	for i := range kills {
		h.converse(between)
		replicas[i%2].kill() // with what it has in hand
		replicas[i%2] = keep()
	}
	all := kills * between
	o.awaitAudit(map[string]int{"I R": all, "O S": all})
	if n := strings.Count(o.must("messages", "--json", "--limit", "0"), "\n"); n != 2*all {
		t.Errorf("%d messages are recorded, want %d", n, 2*all)
	}
	once(t, s.url("DATABASE_URL"), map[string]int{
		"SELECT count(*) FROM message": 2 * all, "SELECT count(DISTINCT id) FROM message": 2 * all,
		"SELECT count(*) FROM transmission":                                              2 * all,
		"SELECT count(*) FROM event WHERE type = 'ack'":                                  all,
		"SELECT count(*) FROM event WHERE type = 'processed'":                            all,
		"SELECT count(*) FROM event":                                                     2 * all,
		"SELECT count(DISTINCT message_id) FROM event WHERE type IN ('ack','processed')": 2 * all,
		"SELECT count(*) FROM early":                                                     0,
	})
	for _, p := range replicas {
		if log := p.logged(); strings.Contains(log, "set aside") {
			t.Errorf("something was set aside:\n%s", log)
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
