package cli

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"switchboard/internal/testutil"
)

// A running fleet reloads at SIGHUP, and tells so on /status.
func TestRunReloadsAtHangup(t *testing.T) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // so that none ends the test itself
	defer signal.Stop(hangups)
	dir := routingFleet(t, "one", "", "")
	if err := os.Remove(filepath.Join(dir, "line.yaml")); err != nil { // it would need a port
		t.Fatal(err)
	}
	address := freeAddress(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		root := Root("test", routingClasses())
		root.SetArgs([]string{"run", dir, "--amqp-url", "memory:", "--database-url", "memory:", "--http", address, "--watch=false", "--log-level", "error"})
		done <- root.ExecuteContext(ctx)
	}()
	awaitText(t, "http://"+address+"/readyz", "ready\n")
	path := filepath.Join(dir, "join.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "line: one", "line: two", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	awaitText(t, "http://"+address+"/status", "reloads: 1; the last: reloaded join")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// awaitText asks until the answer has the text.
func awaitText(t *testing.T, url, want string) {
	t.Helper()
	testutil.Eventually(t, url+" says "+want, func() bool {
		answer, err := http.Get(url)
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return strings.Contains(string(text), want) && !strings.Contains(string(text), "not "+want)
	})
}
