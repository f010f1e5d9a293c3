package telnet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/transports/transporttest"
)

// open makes a transport on a free port of the loopback interface.
func open(opts ...func(*Transport)) *Transport {
	t := New()
	t.TwistedEndpoint = "tcp:0:interface=127.0.0.1"
	t.ToAddr = "9292"
	for _, option := range opts {
		option(t)
	}
	return t
}

// start runs a transport until the test ends.
func start(t *testing.T, opts ...func(*Transport)) (*Transport, *transporttest.Publisher) {
	t.Helper()
	tr, line := open(opts...), transporttest.NewPublisher()
	transporttest.Start(t, tr, line)
	return tr, line
}

// person is somebody at a terminal.
type person struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func dial(t testing.TB, tr *Transport) *person {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), transporttest.Patience)
	defer cancel()
	addr, err := tr.Addr(ctx)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(transporttest.Patience))
	return &person{t, conn, bufio.NewReader(conn)}
}

func (p *person) addr() string { return p.conn.LocalAddr().String() }

func (p *person) types(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *person) reads() string {
	p.t.Helper()
	text, err := p.in.ReadString('\n')
	if err != nil {
		p.t.Fatalf("reading what the person got: %v (so far %q)", err, text)
	}
	return text
}

// isHungUpOn checks that nothing more comes.
func (p *person) isHungUpOn() {
	p.t.Helper()
	if rest, err := io.ReadAll(p.in); err != nil || len(rest) > 0 {
		p.t.Fatalf("got %q and %v, want the end of the connection", rest, err)
	}
}

func is(t *testing.T, m *message.Message, event message.SessionEvent, content string) {
	t.Helper()
	if m.SessionEvent != event || m.Content != content {
		t.Fatalf("got %s %q, want %s %q", m.SessionEvent, m.Content, event, content)
	}
}

func TestASessionIsAConnection(t *testing.T) {
	tr, line := start(t)
	p := dial(t, tr)
	first := line.Next(t)
	is(t, first, message.SessionNew, "")
	if first.From != p.addr() || first.To != "9292" || first.TransportType != "telnet" {
		t.Errorf("from %s to %s by %s, want from %s to 9292 by telnet", first.From, first.To, first.TransportType, p.addr())
	}
	if !strings.Contains(string(first.Encode()), `"content": null`) && !strings.Contains(string(first.Encode()), `"content":null`) {
		t.Errorf("the content of a new session is not null: %s", first.Encode())
	}
	p.types("hello vumi\r\n")
	is(t, line.Next(t), message.SessionResume, "hello vumi")
	p.types(" /QUIT \r\nnobody reads this\r\n")
	is(t, line.Next(t), message.SessionClose, "")
	p.isHungUpOn()
}

func TestHangingUpClosesTheSession(t *testing.T) {
	tr, line := start(t)
	p := dial(t, tr)
	addr := p.addr()
	line.Next(t)
	p.types("half a line")
	_ = p.conn.Close()
	is(t, line.Next(t), message.SessionClose, "")
	isUnknown(t, tr, addr)
}

// isUnknown checks the reason that the application reads in its nack.
func isUnknown(t *testing.T, tr *Transport, addr string) {
	t.Helper()
	m := message.New()
	m.To, m.Content = addr, "are you there?"
	_, err := tr.Send(t.Context(), m)
	if !message.IsPermanent(err) || err.Error() != "Unknown address." {
		t.Fatalf("got %v, want the permanent error \"Unknown address.\"", err)
	}
}

func TestAReplyIsLinesEndedByCRLF(t *testing.T) {
	tr, line := start(t)
	p := dial(t, tr)
	first := line.Next(t)
	for content, want := range map[string]string{
		"hello":           "hello\r\n",
		"":                "\r\n",
		"one\ntwo\r\n":    "one\r\ntwo\r\n",
		"one\rtwo":        "one\r\ntwo\r\n",
		"naïve ☃ سلام":    "naïve ☃ سلام\r\n",
		"no UTF-8 \xff\n": "no UTF-8 \uFFFD\r\n",
	} {
		if _, err := tr.Send(t.Context(), first.Reply(content)); err != nil {
			t.Fatal(err)
		}
		got := ""
		for range strings.Count(want, "\n") {
			got += p.reads()
		}
		if got != want {
			t.Errorf("sending %q wrote %q, want %q", content, got, want)
		}
	}
}

func TestTheApplicationMayHangUp(t *testing.T) {
	tr, line := start(t)
	p := dial(t, tr)
	first := line.Next(t)
	if _, err := tr.Send(t.Context(), first.Reply("bye", message.EndSession)); err != nil {
		t.Fatal(err)
	}
	if got := p.reads(); got != "bye\r\n" {
		t.Errorf("got %q", got)
	}
	p.isHungUpOn()
	is(t, line.Next(t), message.SessionClose, "")
	isUnknown(t, tr, p.addr())
}

func TestSeveralPeopleAreKeptApart(t *testing.T) {
	tr, line := start(t)
	people := map[string]*person{}
	for range 5 {
		p := dial(t, tr)
		people[p.addr()] = p
	}
	for range people {
		first := line.Next(t)
		if _, err := tr.Send(t.Context(), first.Reply("you are "+first.From)); err != nil {
			t.Fatal(err)
		}
	}
	for addr, p := range people {
		if got := p.reads(); got != "you are "+addr+"\r\n" {
			t.Errorf("%s got %q", addr, got)
		}
	}
}

func hasIPv6() bool {
	probe, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		_ = probe.Close()
	}
	return err == nil
}

func TestIPv6AddressesAreInBrackets(t *testing.T) {
	addr := (&net.TCPAddr{IP: net.IPv6loopback, Port: 7}).String()
	if hasIPv6() { // not every container does
		tr, line := start(t, func(tr *Transport) { tr.TwistedEndpoint = `tcp:0:interface=\:\:1` })
		dial(t, tr)
		addr = line.Next(t).From
	}
	if !strings.HasPrefix(addr, "[::1]:") {
		t.Errorf("got %s", addr)
	}
}

func TestALineIsReadWhenTheBrokerHasTheOneBefore(t *testing.T) {
	tr, line := start(t)
	p := dial(t, tr)
	line.Next(t)
	line.Asked(t)
	release := line.Hold()
	p.types("one\ntwo\n")
	if got := line.Asked(t).Content; got != "one" {
		t.Fatalf("got %q", got)
	}
	release()
	is(t, line.Next(t), message.SessionResume, "one")
	is(t, line.Next(t), message.SessionResume, "two")
}

func TestAPersonIsToldWhatWasNotSent(t *testing.T) {
	tr, line := start(t)
	p := dial(t, tr)
	line.Next(t)
	line.Refuse(errors.New("the broker said no"))
	p.types("hello\n")
	if got := p.reads(); got != notSentText+"\r\n" {
		t.Errorf("got %q", got)
	}
	line.Refuse(nil)
	p.types(strings.Repeat("x", maxLine+1) + "\nshort\n")
	if got := p.reads(); !strings.Contains(got, "too long") {
		t.Errorf("got %q", got)
	}
	is(t, line.Next(t), message.SessionResume, "short")
}

func TestTooManyPeopleAreTurnedAway(t *testing.T) {
	tr, line := start(t, func(tr *Transport) { tr.MaxConnections = 1 })
	one := dial(t, tr)
	line.Next(t)
	two := dial(t, tr)
	if got := two.reads(); got != tooManyText+"\r\n" {
		t.Errorf("got %q", got)
	}
	two.isHungUpOn()
	one.types("/quit\n")
	is(t, line.Next(t), message.SessionClose, "")
	one.isHungUpOn()
	dial(t, tr)
	is(t, line.Next(t), message.SessionNew, "")
}

func TestStoppingClosesEverySession(t *testing.T) {
	tr, line := open(), transporttest.NewPublisher()
	stop := transporttest.Start(t, tr, line)
	p := dial(t, tr)
	line.Next(t)
	stop()
	is(t, line.Next(t), message.SessionClose, "")
	p.isHungUpOn()
}

// stuck is a client that reads nothing.
func stuck(t *testing.T) *client {
	server, idle := net.Pipe()
	t.Cleanup(func() { _ = idle.Close() })
	return &client{addr: "stuck", conn: server}
}

func TestAClientThatReadsNothingIsHungUpOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, began := stuck(t), time.Now()
		if err := c.write(t.Context(), []byte("hello")); !message.IsPermanent(err) {
			t.Errorf("got %v, want a permanent error: the connection is gone", err)
		}
		if waited := time.Since(began); waited != writeTimeout {
			t.Errorf("waited %s, want %s", waited, writeTimeout)
		}
		if _, err := c.conn.Write(nil); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the connection is still there: %v", err)
		}
	})
}

func TestStoppingDoesNotWaitForAClientThatReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, wrote := stuck(t), make(chan error, 1)
		go func() { wrote <- c.write(ctx, []byte("hello")) }()
		synctest.Wait()
		cancel()
		if err := <-wrote; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the context's end, so that the message returns to its queue", err)
		}
	})
}

// People of an addressed transport say who they are, and to whom they speak.
func TestAddressed(t *testing.T) {
	addressed := func(tr *Transport) { tr.addressed = true }
	tr, line := start(t, addressed)
	p := dial(t, tr)
	for _, turn := range []struct{ reads, types string }{
		{askToText, "\r\n*120#\r\n"},
		{askFromText, " thandi \r\n"},
		{"[Sending all messages to: *120# and from: thandi]", "hello\r\n"},
	} {
		if got := p.reads(); got != turn.reads+"\r\n" {
			t.Errorf("got %q, want %q", got, turn.reads)
		}
		p.types(turn.types)
	}
	first := line.Next(t)
	is(t, first, message.SessionNew, "")
	if first.From != "thandi" || first.To != "*120#" {
		t.Errorf("got %s", first.Encode())
	}
	is(t, line.Next(t), message.SessionResume, "hello")
	if _, err := tr.Send(t.Context(), first.Reply("hi")); err != nil || p.reads() != "hi\r\n" {
		t.Error(err)
	}
	other := dial(t, tr)
	other.reads()
	other.types("1\r\nthandi\r\n")
	other.reads()
	if got := other.reads(); got != takenText+"\r\n" {
		t.Errorf("got %q", got)
	}
	p.types("/quit\r\n")
	is(t, line.Next(t), message.SessionClose, "")
	p.isHungUpOn()
	isUnknown(t, tr, "thandi")
}

func TestAPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	tr := open(func(tr *Transport) { tr.TwistedEndpoint = "tcp:" + port + ":interface=127.0.0.1" })
	err = tr.Run(t.Context(), transporttest.NewPublisher())
	if !message.IsPermanent(err) || !strings.Contains(err.Error(), taken.Addr().String()) || !strings.Contains(err.Error(), "telnet_port") {
		t.Errorf("got %v, want a permanent error with the address and what to do", err)
	}
}

func TestOptions(t *testing.T) {
	for text, want := range map[string]string{
		"telnet_port: 9010":                              "127.0.0.1:9010",
		"telnet_port: 9010\ntelnet_host: 0.0.0.0":        "0.0.0.0:9010",
		"twisted_endpoint: tcp:9010":                     ":9010",
		"twisted_endpoint: tcp:port=9010":                ":9010",
		"twisted_endpoint: tcp:9010:interface=127.0.0.1": "127.0.0.1:9010",
		`twisted_endpoint: 'tcp6:9010:interface=\:\:1'`:  "[::1]:9010",
		"twisted_endpoint: tcp:9010:backlog=5":           ":9010",
		"":                                               "telnet_port: either telnet_port or twisted_endpoint",
		"telnet_port: 70000":                             "telnet_port: must be a port number",
		"telnet_port: 1\ntwisted_endpoint: tcp:2":        "telnet_port: either",
		"twisted_endpoint: ssl:9010":                     "twisted_endpoint: is \"ssl:9010\"",
		"twisted_endpoint: tcp:many":                     "twisted_endpoint: has \"many\"",
		"twisted_endpoint: tcp:9010:colour=red":          "twisted_endpoint: has \"colour=red\"",
		"telnet_port: 9010\nmax_connections: 0":          "max_connections: must be at least 1",
		"telnet_port: 9010\nto_addr: ''":                 "to_addr: must not be empty",
		"telnet_prot: 9010":                              `did you mean "telnet_port"?`,
	} {
		t.Run(text, func(t *testing.T) {
			if got := configured(text); !strings.Contains(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// configured is the address a file listens on, or what is wrong with it.
func configured(text string) string {
	tr := New()
	doc, err := options.Parse("telnet.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err == nil {
		err = errors.Join(doc.Into(tr), doc.Rest())
	}
	if err == nil {
		err = doc.Locate(tr.Validate())
	}
	address, _ := tr.listenAddress()
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(address)
}
