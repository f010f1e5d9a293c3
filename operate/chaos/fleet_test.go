package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"switchboard/internal/faultproxy"
	"switchboard/operate"
)

// A server that no proxy can stand before is a misuse, found before anything is connected to; what
// was opened until then is closed.
func TestServersWithoutAProxy(t *testing.T) {
	t.Parallel()
	const amqp, postgres = "amqp://127.0.0.1:1/", "postgres://127.0.0.1:1/"
	for _, c := range [][2]string{
		{amqp, "sqlite:x"},
		{amqp, "host=127.0.0.1"},
		{"amqps://127.0.0.1:1/", postgres},
		{"amqps://127.0.0.1/", postgres},
		{"amqp://127.0.0.1:no/", postgres},
	} {
		r := &run{Settings: Settings{AMQPURL: c[0], DatabaseURL: c[1], Dir: t.TempDir()}, processes: map[string]*process{}}
		err := r.open(t.Context())
		if wrong := (operate.Misuse{}); !errors.As(err, &wrong) || r.broker != nil || r.db != nil {
			t.Errorf("%q: %v", c, err)
		}
		var opened []*faultproxy.Proxy
		for _, p := range r.processes {
			for _, link := range p.links {
				opened = append(opened, link)
			}
		}
		if c[0] == amqp && len(opened) != 1 {
			t.Errorf("%q: %d proxies were opened", c, len(opened))
		}
		if err := r.close(); err != nil {
			t.Errorf("%q: %v", c, err)
		}
		for _, link := range opened {
			if conn, err := net.Dial("tcp", link.Addr); err == nil {
				_ = conn.Close()
				t.Errorf("%q: a proxy is open", c)
			}
		}
	}
}

// A good reload is one that happened: the metric of success is 1 before, too.
func TestReloadIsAwaited(t *testing.T) {
	t.Parallel()
	for reads, want := range map[bool]bool{true: true, false: false} {
		file := filepath.Join(t.TempDir(), "a.yaml")
		var answers atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			answers.Add(1)
			at := 1.796e9
			if text, _ := os.ReadFile(file); reads && len(text) > 0 && answers.Load() > 3 {
				at++
			}
			_, _ = fmt.Fprintf(w, "switchboard_config_last_reload_successful 1\nswitchboard_config_last_reload_success_timestamp_seconds %v\n", at)
		}))
		defer server.Close()
		p := &process{member: member{name: "a"}, file: file, at: server.URL}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.reload(ctx, "a: 1\n"); (err == nil) != want {
			t.Errorf("where the file is read: %v; got %v", reads, err)
		}
	}
}
