package cli

import (
	"context"
	"io"
	"log/slog"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"switchboard/fleet"
	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/transports"
	"switchboard/transports/http"
	"switchboard/transports/transporttest"
	"switchboard/worker"
)

func runHTTP(t *testing.T, args ...string) (string, error) {
	t.Helper()
	classes := fleet.Classes{Transports: map[string]fleet.Class[transports.Transport]{"http": {New: func() transports.Transport { return http.New() }}}}
	root := &cobra.Command{SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(httpCommand(classes))
	var out output
	root.SetArgs(append([]string{"http"}, args...))
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// refusing is a Twilio that knows a person who sent STOP.
func refusing(t *testing.T) string {
	server := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, q *nethttp.Request) {
		text, _ := io.ReadAll(q.Body)
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(string(text), "stopped") {
			w.WriteHeader(nethttp.StatusBadRequest)
			_, _ = io.WriteString(w, `{"code":21610,"message":"unsubscribed, says tok3n-of-account"}`)
			return
		}
		w.WriteHeader(nethttp.StatusCreated)
		_, _ = io.WriteString(w, `{"sid":"SM1"}`)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestHTTPTry(t *testing.T) {
	file := filepath.Join(t.TempDir(), "twilio.yaml")
	text := "transport_class: http\ntransport_name: tw\nprovider: twilio\noptions: {account_sid: AC1, api_url: \"" + refusing(t) + "\"}\nsecrets: {auth_token: tok3n-of-account}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := runHTTP(t, "try", file, "--to", "+27831234567", "--from", "+27820001001", "--text", "hello")
	if err != nil || !strings.Contains(out, "> POST ") || !strings.Contains(out, "< 201 Created") || !strings.Contains(out, "sent, the provider's id is SM1") {
		t.Errorf("%v\n%s", err, out)
	}
	refused, err := runHTTP(t, "try", file, "--to", "+27831234567", "--text", "stopped")
	if err == nil || !strings.Contains(refused, "blocked: 21610: The person has sent STOP.") {
		t.Errorf("%v\n%s", err, refused)
	}
	if strings.Contains(out+refused, "tok3n") || strings.Contains(out+refused, "QUMxO") {
		t.Errorf("a secret is shown:\n%s\n%s", out, refused)
	}
	if _, err := runHTTP(t, "try", file); exitCode(err) != exitMisused {
		t.Errorf("without --to: %v", err)
	}
}

func TestHTTPShow(t *testing.T) {
	out, err := runHTTP(t, "show", "generic_json")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := runHTTP(t, "show", file); err != nil || again != out {
		t.Errorf("what is shown does not load: %v", err)
	}
	if _, err := runHTTP(t, "show", "twlio"); err == nil || !strings.Contains(err.Error(), `did you mean "twilio"`) {
		t.Errorf("got %v", err)
	}
	for _, list := range []string{"presets", "functions"} {
		if out, err := runHTTP(t, list); err != nil || strings.Count(out, "\n") < 15 {
			t.Errorf("%s: %v\n%s", list, err, out)
		}
	}
}

// A trace ends with what was asked of the provider and what it answered.
func TestTraceShowsTheChannelLog(t *testing.T) {
	s := newSender(t)
	db := s.open()
	channel := http.New()
	channel.TransportName, channel.Provider = "tw", "twilio"
	channel.Options = map[string]string{"account_sid": "AC1", "api_url": refusing(t)}
	channel.Secrets = map[string]options.Secret{"auth_token": "tok3n-of-account"}
	if err := channel.Provision(t.Context(), worker.Env{Name: "tw", State: db, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Registerer: prometheus.NewRegistry()}); err != nil {
		t.Fatal(err)
	}
	stop := transporttest.Start(t, channel, transporttest.NewPublisher())
	m := message.New()
	m.To, m.From, m.Content, m.TransportName = "+27831234567", "1001", "stopped", "tw"
	ctx, cancel := context.WithTimeout(t.Context(), testutil.Patience)
	defer cancel()
	if _, err := channel.Send(ctx, m); err == nil {
		t.Fatal("it was sent")
	}
	stop()
	if rejected, err := db.Record(t.Context(), []store.Envelope{{Direction: store.Outbound, Backend: "tw", Message: m}}); err != nil || len(rejected) > 0 {
		t.Fatal(rejected, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	out := s.must("trace", m.ID)
	for _, want := range []string{"tw asked the provider", "> POST http://", "< 400 Bad Request", "understood as blocked: 21610"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	if strings.Contains(out, "tok3n") {
		t.Errorf("a secret is shown:\n%s", out)
	}
	if out := s.must("trace", m.ID, "--json"); !strings.Contains(out, `"channel_log"`) || !strings.Contains(out, `"Steps"`) && !strings.Contains(out, `"steps"`) {
		t.Errorf("as JSON: %s", out)
	}
}
