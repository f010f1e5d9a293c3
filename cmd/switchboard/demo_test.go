package main

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"switchboard/internal/testutil"
)

// freePort is a port that nobody listens on at this moment.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// A newcomer plays from the phone in the browser, without telnet; a second demo
// says which ports are in use and how to choose others, and nothing else.
func TestDemo(t *testing.T) {
	phone, telnet := freePort(t), freePort(t)
	ports := []string{"PHONE_PORT=" + phone, "TELNET_PORT=" + telnet, "SWITCHBOARD_HTTP=127.0.0.1:0"}
	banner := startDemo(t, ports)
	for _, want := range []string{"http://localhost:" + phone, `type "50"`, "telnet localhost " + telnet} {
		if !strings.Contains(banner, want) {
			t.Errorf("the demo does not say %q:\n%s", want, banner)
		}
	}
	page := "http://localhost:" + phone
	if text := get(t, page+"/"); !strings.Contains(text, "Guess the number: type 50.") {
		t.Errorf("the page gives no hint of what to type")
	}
	answers := listenTo(t, page+"/events")
	say(t, page, "50")
	answers.await(t, "50 is")
	say(t, page, "echo hello")
	answers.await(t, "echo hello")

	const ann, ben = "+12025550101", "+12025550102"
	for _, turn := range []struct{ from, to, says, hears string }{
		{ann, "8081", "hello", "Guess the word"},
		{ann, "8082", "ttt", "You are X."},
		{ben, "8082", "ttt", "Your turn, X"}, // which Ann hears
		{ann, "8082", "5", "Your turn, O"},
		{ben, "8082", "1", "Your turn, X"},
		{ann, "8083", "rps rock", "You chose rock."},
		{ben, "8083", "rps paper", "They chose paper. You lose."},
		{ann, "8084", "health", "How old are you?"},
		{ann, "8084", "40", "How many hours"},
	} {
		sayTo(t, page, turn.from, turn.to, turn.says)
		answers.await(t, turn.hears)
	}

	second := program(t, ports, "demo")
	if !strings.Contains(second, ":"+phone+" (phone)") || !strings.Contains(second, "PHONE_PORT=") || !strings.Contains(second, "TELNET_PORT=") {
		t.Errorf("the second demo says\n%s", second)
	}
	if strings.Contains(second, "is running") {
		t.Errorf("the second demo says that it runs:\n%s", second)
	}
}

// startDemo starts a demo that ends with the test, and returns what it printed
// when it was there.
func startDemo(t *testing.T, env []string) (banner string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "demo")
	cmd.Env = append(append(os.Environ(), asProgram+"=1"), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait()
		if strings.Contains(complaints.String(), "WARN") {
			t.Errorf("the demo complains of what nobody did:\n%s", complaints.String())
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		banner += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "Ctrl-C") {
			return banner
		}
	}
	t.Fatalf("the demo ended:\n%s", banner)
	return ""
}

func get(t *testing.T, address string) string {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, text := testutil.Do(t, http.DefaultClient, q)
	return text
}

func say(t *testing.T, page, content string) {
	t.Helper()
	sayTo(t, page, "+12025550101", "8080", content)
}

func sayTo(t *testing.T, page, from, to, content string) {
	t.Helper()
	response, err := http.PostForm(page+"/messages", url.Values{"from": {from}, "to": {to}, "content": {content}})
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode >= http.StatusBadRequest {
		t.Fatalf("saying %q: %s", content, response.Status)
	}
}

// stream is the page's stream of events.
type stream struct{ *bufio.Scanner }

func listenTo(t *testing.T, address string) stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return stream{bufio.NewScanner(response.Body)}
}

// await waits for a message out that contains text.
func (s stream) await(t *testing.T, text string) {
	t.Helper()
	for s.Scan() {
		if line := s.Text(); strings.Contains(line, "outbound") && strings.Contains(line, text) {
			return
		}
	}
	t.Fatalf("no answer with %q", text)
}
