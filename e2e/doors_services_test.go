//go:build services

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// doorFleet is a transport that reports deliveries, behind the doors of old programs.
var doorFleet = map[string]string{
	"out":  "transport_class: devnull\ntransport_name: out\ndelivery_reports: true\n",
	"join": "router_class: simple\ntransport_names: [out]\nexposed_names: [kannel, twilio]\nroute_mappings: {out: kannel}\n",
	"kannel": `application_class: kannel
transport_name: kannel
web_host: 127.0.0.1
web_port: %d
allow_private: true
users: {tester: {password: "${TESTER_PASSWORD}", from: "13013", send_via: out}}
`,
	"twilio": `application_class: twilio
transport_name: twilio
web_host: 127.0.0.1
web_port: %d
allow_private: true
account_sid: AC0123456789
auth_token: ${TWILIO_TOKEN}
send_via: out
`,
}

// Kannel's documented request, sent by curl, and Twilio's own client library each send a
// message, and get their receipts.
func TestOldClientsSendUnchanged(t *testing.T) {
	dir := t.TempDir()
	kannel, twilio := freePort(t), freePort(t)
	for name, yaml := range doorFleet {
		if strings.Contains(yaml, "%d") {
			yaml = fmt.Sprintf(yaml, map[string]int{"kannel": kannel, "twilio": twilio}[name])
		}
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := startServers(t, "rabbitmq", "postgres")
	env := []string{"AMQP_URL=" + s.url("AMQP_URL"), "DATABASE_URL=" + s.url("DATABASE_URL"), "TESTER_PASSWORD=foobar", "TWILIO_TOKEN=secret"}
	(&operator{t, env}).must("migrate")
	startArgs(t, "fleet", env, "run", dir)
	t.Run("kannel", func(t *testing.T) { kannelClient(t, kannel) })
	t.Run("twilio", func(t *testing.T) { twilioClient(t, twilio) })
}

func kannelClient(t *testing.T, port int) {
	reports := make(chan string, 10)
	var busy sync.Once
	program := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.FormValue("type") == "1" { // what fails is told again
			busy.Do(func() { w.WriteHeader(http.StatusServiceUnavailable) })
		}
		reports <- q.URL.Query().Encode()
	}))
	defer program.Close()
	curl := exec.Command("curl", "-sS", "-G", fmt.Sprintf("http://127.0.0.1:%d/cgi-bin/sendsms", port),
		"-d", "username=tester&password=foobar&to=0123456&text=Hello+world&dlr-mask=31",
		"--data-urlencode", "dlr-url="+program.URL+"/dlr?type=%d&to=%p")
	out, err := curl.CombinedOutput()
	if err != nil || string(out) != "0: Accepted for delivery" {
		t.Fatalf("curl got %q, %v", out, err)
	}
	for _, want := range []string{"to=0123456&type=8", "to=0123456&type=1", "to=0123456&type=1"} {
		select {
		case got := <-reports:
			if got != want {
				t.Errorf("dlr-url was called with %s, not %s", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("no call with %s", want)
		}
	}
}

func twilioClient(t *testing.T, port int) {
	dir := installPeers(t, "twilio")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := exec.CommandContext(ctx, "node", "send.js", fmt.Sprintf("http://127.0.0.1:%d", port))
	client.Dir = dir
	var complaints strings.Builder
	client.Stderr = &complaints
	out, err := client.Output()
	if err != nil {
		t.Fatalf("the client ended with %v:\n%s%s", err, out, complaints.String())
	}
	type said struct {
		SID, Status, Body string
		Signed            bool
		Error             any
	}
	seen := map[string]bool{}
	var sid string
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var s said
		if err := decoder.Decode(&s); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if sid == "" {
			sid = s.SID
		}
		if s.Error == nil && s.SID != sid {
			t.Errorf("a message is %q, not %q", s.SID, sid)
		}
		seen[fmt.Sprint(s.Status, s.Signed, s.Body, s.Error)] = true
	}
	for _, want := range []said{
		{Status: "queued"},
		{Status: "sent", Signed: true},
		{Status: "delivered", Signed: true},
		{Body: "This is the ship that made the Kessel Run in fourteen parsecs?"},
		{Error: 21602},
	} {
		if !seen[fmt.Sprint(want.Status, want.Signed, want.Body, want.Error)] {
			t.Errorf("%+v is not among what the client said:\n%s", want, out)
		}
	}
}
