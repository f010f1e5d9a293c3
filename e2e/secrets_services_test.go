//go:build services

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"switchboard/broker"
	"switchboard/internal/testutil"
	"switchboard/message"
)

// secretFleet has a secret in every place that takes one. What it connects to refuses.
var secretFleet = map[string]string{
	"carrier": "transport_class: smpp\ntransport_name: carrier\nhost: 127.0.0.1\nport: 1\nsystem_id: us\npassword: ${SMPP}\nmax_attempts: 1\n",
	"bot": `transport_class: http
transport_name: bot
provider: telegram
poll: true
max_attempts: 1
options: {bot_name: helper_bot, api_url: "http://127.0.0.1:1"}
secrets: {bot_token: "${BOT}"}
`,
	"partner": `transport_class: http
transport_name: partner
provider: generic_json
max_attempts: 1
web_port: %d
public_url: https://sms.example.org/partner
options: {send_url: "http://127.0.0.1:1/send"}
secrets: {token: "${PARTNER}"}
`,
	"chat": "transport_class: xmpp\ntransport_name: chat\nusername: us@example.org\npassword: ${XMPP}\nhost: 127.0.0.1\nport: 1\n",
	"api": `application_class: http_api
transport_name: api
web_host: 127.0.0.1
web_port: %d
allow_private: true
tokens: {shop: {token: "${TOKEN}"}}
webhook: {url: "http://127.0.0.1:1/hook", secret: "${WEBHOOK}", headers: {Authorization: "${HEADER}"}}
`,
	"kannel": `application_class: kannel
transport_name: kannel
web_host: 127.0.0.1
web_port: %d
allow_private: true
users: {tester: {password: "${TESTER}", from: "13013", send_via: carrier}}
`,
	"mail": `application_class: forward
transport_name: mail
email: {server: "127.0.0.1:1", username: us, password: "${MAIL}", from: us@example.org, to: [them@example.org], allow_plain: true}
`,
	"join": `router_class: simple
transport_names: [carrier, bot, partner, chat]
exposed_names: [api, kannel, mail]
route_mappings: {carrier: [api, kannel, mail], bot: api, partner: api, chat: mail}
`,
	"keep": "worker_class: persistence\ntransport_names: [carrier, bot, partner, chat]\nexposed_names: [api, kannel, mail]\n",
}

// No secret of a fleet under way is in anything that people see: logs at their finest,
// errors, what the operators' port and every command say, the process list, RabbitMQ's list of
// connections, dead letters, the record, a dump of all goroutines.
func TestNoSecretIsShown(t *testing.T) {
	t.Parallel()
	s := startServers(t, "rabbitmq", "postgres")
	// SMPP 3.4 §5.2.2: a password has eight characters at most.
	secrets := map[string]string{"SMPP": "sEcR3t-1"}
	for i, name := range []string{"BOT", "PARTNER", "XMPP", "TOKEN", "WEBHOOK", "HEADER", "TESTER", "MAIL"} {
		secrets[name] = fmt.Sprintf("sEcR3t-marked-%d-and-long-enough", i+2)
	}
	env := []string{"AMQP_URL=" + s.url("AMQP_URL"), "DATABASE_URL=" + s.url("DATABASE_URL")}
	for name, secret := range secrets {
		env = append(env, name+"="+secret)
	}
	for _, name := range []string{"AMQP_URL", "DATABASE_URL"} {
		secrets[name] = password(t, s.url(name))
	}
	seen := &seen{T: t, secrets: secrets}
	o := &operator{t, env}
	o.must("migrate")
	ports := map[string]int{"partner": freePort(t), "api": freePort(t), "kannel": freePort(t)}
	files := map[string]string{}
	for name, yaml := range secretFleet {
		if ports[name] > 0 {
			yaml = fmt.Sprintf(yaml, ports[name])
		}
		files[name] = yaml
	}
	dir := fleetDir(t, files)
	fleet := launch(t, "fleet", append(env, "LOG_LEVEL=debug"), "run", dir, "--pprof")
	b := connect(t, s.url("AMQP_URL"))
	for _, transport := range []string{"bot", "partner", "carrier", "chat"} {
		key := transport + ".outbound"
		if err := b.Declare(t.Context(), broker.Queue{Name: key, Keys: []string{key}}); err != nil {
			t.Fatal(err)
		}
		sendTo(t, b, transport, 2)
	}
	for transport, kind := range map[string]string{"carrier": "sms", "chat": "xmpp"} { // for the webhook, and for the mail
		key := message.Key(transport, message.Inbound)
		if err := b.Declare(t.Context(), broker.Queue{Name: key, Keys: []string{key}}); err != nil {
			t.Fatal(err)
		}
		m := message.New()
		m.From, m.To, m.TransportName, m.TransportType, m.Content = "+27831234567", "8080", transport, kind, "hello"
		if err := b.Publish(t.Context(), broker.Publication{Key: key, Body: m.Encode()}); err != nil {
			t.Fatal(err)
		}
	}
	seen.ask(ports)
	eventually(t, "the failures are dead letters", func() bool {
		out, _ := o.run("failures", "list", "--json", dir)
		return strings.Contains(out, "bot.outbound") && strings.Contains(out, "partner.outbound")
	})
	eventually(t, "the links are tried", func() bool {
		log := fleet.logged()
		return strings.Contains(log, "127.0.0.1:1") && strings.Contains(log, "carrier")
	})
	eventually(t, "the webhook and the mail failed", func() bool {
		var webhook, mail bool
		for line := range strings.Lines(fleet.logged()) {
			failed := strings.Contains(line, "connection refused")
			webhook = webhook || failed && strings.Contains(line, "the webhook failed")
			mail = mail || failed && strings.Contains(line, "mail.inbound")
		}
		return webhook && mail
	})

	for _, path := range []string{"/status", "/metrics", "/readyz", "/healthz", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/vars", "/"} {
		_, text := fleet.get(path)
		seen.look(path, text)
	}
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", fleet.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	seen.look("the process list", string(cmdline))
	seen.look("RabbitMQ's connections", s.run("rabbitmqctl", "list_connections", "name", "user", "client_properties"))
	for _, args := range [][]string{
		{"check", dir},
		{"graph", dir},
		{"graph", "--format", "mermaid", dir},
		{"status", dir},
		{"status", "--json", dir},
		{"classes", "--json"},
		{"route", dir, "--transport", "carrier"},
		{"diff", dir, dir},
		{"failures", "list", dir},
		{"failures", "list", "--json", dir},
		{"messages"},
		{"messages", "--json"},
		{"audit", "--json", dir},
		{"http", "show", "telegram"},
		{"help", "run"},
		{"run", "--help"},
		{"chaos", "--help"},
		{"health", fleet.http},
		{"migrate", "--database-url", "postgres://us:" + secrets["MAIL"] + "@127.0.0.1:1/none"},
		{"status", "--amqp-url", "amqp://us:" + secrets["MAIL"] + "@127.0.0.1:1/", dir},
	} {
		seen.command(o, args...)
	}
	for _, queue := range []string{"bot.outbound", "partner.outbound"} {
		for _, form := range []string{"--json=false", "--json"} {
			text := o.must("failures", "show", "--reason", "exhausted", form, queue)
			if !strings.Contains(text, "hello") || !strings.Contains(text, "127.0.0.1:1") {
				t.Errorf("the dead letters of %s have no bodies, or no headers: %s", queue, text)
			}
			seen.look("the dead letters of "+queue, text)
		}
	}
	seen.look("the record", dump(t, s.url("DATABASE_URL")))
	_ = fleet.cmd.Process.Signal(syscall.SIGQUIT)
	<-fleet.done
	if !strings.Contains(fleet.logged(), "goroutine ") {
		t.Error("SIGQUIT dumped no goroutines")
	}
	seen.look("the log", fleet.logged())
}

func password(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := u.User.Password()
	if len(secret) < 8 {
		t.Fatalf("the password of %s is short, or none", u.Redacted())
	}
	return secret
}

// seen is what people see.
type seen struct {
	*testing.T
	secrets map[string]string
}

func (s *seen) look(what, text string) {
	s.Helper()
	if text == "" {
		s.Errorf("%s is empty: nothing was looked at", what)
	}
	for name, secret := range s.secrets {
		if at := strings.Index(text, secret); at >= 0 {
			s.Errorf("%s shows the secret %s: …%s…", what, name, text[max(0, at-200):min(len(text), at+len(secret)+20)])
		}
	}
}

// ask asks the doors with wrong secrets, and with right ones for what cannot be.
func (s *seen) ask(ports map[string]int) {
	s.Helper()
	for name, port := range ports {
		eventually(s.T, name+" listens", func() bool {
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				_ = c.Close()
			}
			return err == nil
		})
	}
	for _, address := range []string{
		fmt.Sprintf("http://127.0.0.1:%d/cgi-bin/sendsms?username=tester&password=wrong&to=1&text=a", ports["kannel"]),
		fmt.Sprintf("http://127.0.0.1:%d/cgi-bin/sendsms?username=tester&password=%s&text=a", ports["kannel"], s.secrets["TESTER"]),
		fmt.Sprintf("http://127.0.0.1:%d/cgi-bin/sendsms?username=tester&password=%s&to=%%2B1&text=a", ports["kannel"], s.secrets["TESTER"]),
		fmt.Sprintf("http://127.0.0.1:%d/v1/channels", ports["api"]),
		fmt.Sprintf("http://127.0.0.1:%d/partner?token=%s", ports["partner"], s.secrets["PARTNER"]),
	} {
		q, err := http.NewRequestWithContext(s.Context(), http.MethodGet, address, nil)
		if err != nil {
			s.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+s.secrets["TOKEN"])
		answer, text := testutil.Do(s.T, http.DefaultClient, q)
		s.look("the answer of "+q.URL.Path, answer.Status+text)
	}
}

func (s *seen) command(o *operator, args ...string) {
	s.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), o.env...)
	said, _ := cmd.CombinedOutput() // some are to fail
	s.look("switchboard "+args[0], string(said))
}

// dump is all that the database holds, as text.
func dump(t *testing.T, address string) string {
	t.Helper()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	var text strings.Builder
	rows, err := c.Query(t.Context(), "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		rows, err := c.Query(t.Context(), "SELECT t::text FROM "+pgx.Identifier{table}.Sanitize()+" t")
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(strings.Join(lines, "\n"))
	}
	return text.String()
}
