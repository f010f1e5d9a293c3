// Package xmpptest is a real XMPP server and people at it, for tests: Prosody, which
// scripts/services brings up, and slixmpp, a client that was not written here.
package xmpptest

import (
	"bufio"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"switchboard/internal/testutil"
	"switchboard/xmpp"
)

// Domain is what servers serve unless they are told otherwise; rooms and components are
// below it.
const Domain = "xmpp.test"

// Server is where the server is.
type Server struct {
	Addr, TLSAddr, ComponentAddr string // host:port
	Secret                       string // of the component sms.xmpp.test
	CA                           string // the certificate to trust, in a PEM file
	Domain                       string
	accounts                     string
}

// Find finds the server in the environment.
func Find(t testing.TB) Server { return FindIn(t, os.Getenv) }

// FindIn finds the server among variables.
func FindIn(t testing.TB, get func(string) string) Server {
	t.Helper()
	need := func(name string) string {
		value := get(name)
		if value == "" {
			t.Fatalf("%s is not set; `make test` sets it", name)
		}
		return value
	}
	return Server{
		need("XMPP_ADDR"), need("XMPP_TLS_ADDR"), need("XMPP_COMPONENT_ADDR"), need("XMPP_SECRET"), need("XMPP_CA"), Domain, need("XMPP_ACCOUNTS"),
	}
}

// Password is every account's.
const Password = "correct horse"

// Account makes an account whose name begins with name; it is gone after the test.
func (s Server) Account(t testing.TB, name string) (jid string) {
	t.Helper()
	var id [5]byte
	_, _ = rand.Read(id[:])
	local := name + hex.EncodeToString(id[:])
	file := filepath.Join(s.accounts, local+".dat")
	if err := os.WriteFile(file, []byte("return { [\"password\"] = \""+Password+"\"; };\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file) })
	return local + "@" + s.Domain
}

// Roster writes an account's roster, in Prosody's form.
func (s Server) Roster(t testing.TB, jid, roster string) {
	t.Helper()
	local, _, _ := strings.Cut(jid, "@")
	dir := filepath.Join(filepath.Dir(s.accounts), "roster")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, local+".dat")
	if err := os.WriteFile(file, []byte(roster), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(file) })
}

//go:embed people.py
var program string

// People is a process with people in it.
type People struct {
	in   io.WriteCloser
	cmd  *exec.Cmd
	read sync.WaitGroup
	mu   sync.Mutex
	all  map[string]*Person
}

// Person is one of them, with an account of their own.
type Person struct {
	JID  string // bare
	Full string // with the resource, once online

	people *People
	who    string // in the process
	events chan event
}

type event struct{ Who, Event, Text string }

// Start starts the process; Close ends it.
func Start() (*People, error) {
	python := "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		python = "python3"
	}
	p := &People{cmd: exec.Command(python, "-c", program), all: map[string]*Person{}}
	p.cmd.Env = append(os.Environ(), "PYTHONWARNINGS=ignore")
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting slixmpp (scripts/services need slixmpp): %w", err)
	}
	p.read.Go(func() { p.listen(out) })
	return p, nil
}

// Close ends the process.
func (p *People) Close() {
	_ = p.in.Close()
	_ = p.cmd.Process.Kill()
	p.read.Wait()
	_ = p.cmd.Wait()
}

func (p *People) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		p.mu.Lock()
		person := p.all[e.Who]
		p.mu.Unlock()
		if person != nil {
			person.events <- e
		}
	}
}

func (p *People) do(t testing.TB, command map[string]any) {
	t.Helper()
	line, err := json.Marshal(command)
	if err == nil {
		_, err = p.in.Write(append(line, '\n'))
	}
	if err != nil {
		t.Fatalf("telling slixmpp: %v", err)
	}
}

// Option changes how somebody logs in.
type Option func(map[string]any)

// Silent is a client that sends no receipts by itself.
func Silent(c map[string]any) { c["acknowledges"] = false }

// Join makes an account and logs somebody in; they leave after the test.
func (p *People) Join(t testing.TB, s Server, options ...Option) *Person {
	t.Helper()
	return p.Login(t, s, s.Account(t, "person"), options...)
}

// LoginAs logs an account in under a full JID, and throws out whoever has it.
func (p *People) LoginAs(t testing.TB, s Server, full string) *Person {
	t.Helper()
	return p.Login(t, s, full)
}

// Logout ends a person's session.
func (p *Person) Logout(t testing.TB) {
	t.Helper()
	p.people.do(t, map[string]any{"do": "logout", "who": p.who})
	ctx, cancel := context.WithTimeout(context.Background(), testutil.Patience)
	defer cancel()
	if _, err := p.await(ctx, "offline", func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
}

// Login logs an account in.
func (p *People) Login(t testing.TB, s Server, jid string, options ...Option) *Person {
	t.Helper()
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(port)
	who := hex.EncodeToString([]byte(jid)) + strconv.FormatInt(time.Now().UnixNano(), 36)
	person := &Person{people: p, who: who, JID: jid, events: make(chan event, 100_000)}
	p.mu.Lock()
	p.all[who] = person
	p.mu.Unlock()
	command := map[string]any{"do": "login", "who": who, "jid": jid, "password": Password, "host": host, "port": n, "ca": s.CA}
	for _, option := range options {
		option(command)
	}
	p.do(t, command)
	t.Cleanup(func() { p.do(t, map[string]any{"do": "logout", "who": who}) })
	ctx, cancel := context.WithTimeout(context.Background(), testutil.Patience)
	defer cancel()
	if person.Full, err = person.await(ctx, "online", func(string) bool { return true }); err != nil {
		t.Fatal(err)
	}
	return person
}

// await is the next event of a kind for which is is true.
func (p *Person) await(ctx context.Context, kind string, is func(text string) bool) (string, error) {
	for {
		select {
		case e := <-p.events:
			if e.Event == kind && is(e.Text) {
				return e.Text, nil
			}
			if e.Event == "failed" {
				return "", fmt.Errorf("%s cannot log in", p.JID)
			}
		case <-ctx.Done():
			return "", fmt.Errorf("%s waited for %s: %w", p.JID, kind, ctx.Err())
		}
	}
}

// Send sends a stanza as it is written.
func (p *Person) Send(t testing.TB, stanza *xmpp.Element) {
	t.Helper()
	p.SendRaw(t, stanza.String())
}

// SendRaw sends text.
func (p *Person) SendRaw(t testing.TB, text string) {
	t.Helper()
	p.people.do(t, map[string]any{"do": "send", "who": p.who, "xml": text})
}

// NextIn is the next stanza that the person gets for which is is true.
func (p *Person) NextIn(ctx context.Context, t testing.TB, is func(*xmpp.Element) bool) (found *xmpp.Element, err error) {
	t.Helper()
	_, err = p.await(ctx, "stanza", func(text string) bool {
		if found, err = xmpp.Parse(text); err != nil {
			t.Fatalf("slixmpp wrote what cannot be read: %v: %s", err, text)
		}
		return is(found)
	})
	if err != nil {
		found = nil
	}
	return found, err
}

// Next is NextIn, which the test waits for.
func (p *Person) Next(t testing.TB, is func(*xmpp.Element) bool) *xmpp.Element {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testutil.Patience)
	defer cancel()
	found, err := p.NextIn(ctx, t, is)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Message is the next message with a body.
func (p *Person) Message(t testing.TB) *xmpp.Element {
	t.Helper()
	return p.Next(t, func(e *xmpp.Element) bool { return e.Name == "message" && e.Child(xmpp.NSClient, "body") != nil })
}
