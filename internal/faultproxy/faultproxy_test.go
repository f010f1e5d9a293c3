package faultproxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"switchboard/internal/testutil"
)

// A proxy carries lines both ways, and does each thing it is told to.
func TestProxy(t *testing.T) {
	t.Parallel()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	p, err := New(server.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	dial := func() (net.Conn, *bufio.Scanner) {
		c, err := net.Dial("tcp", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(testutil.Patience))
		return c, bufio.NewScanner(c)
	}
	c, lines := dial()
	say := func(text string) { _, _ = fmt.Fprintln(c, text) }
	heard := func(text string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != text {
			t.Fatalf("heard %q, %v; want %q", lines.Text(), lines.Err(), text)
		}
	}
	say("one")
	heard("one")
	for name, hold := range map[string]func(bool){"the black hole": p.BlackHole, "held answers": p.HoldAnswers} {
		hold(true)
		came := make(chan struct{})
		go func() { defer close(came); lines.Scan() }()
		say(name)
		select {
		case <-came:
			t.Errorf("%s let through: %q", name, lines.Text())
		case <-time.After(50 * time.Millisecond): // that nothing comes has no event
		}
		hold(false)
		<-came
		if lines.Text() != name {
			t.Errorf("after %s came %q", name, lines.Text())
		}
	}
	p.Refuse(true)
	if lines.Scan() {
		t.Error("a refused connection goes on")
	}
	c, lines = dial()
	if lines.Scan() {
		t.Error("a new connection is not refused")
	}
	p.Refuse(false)
	c, lines = dial()
	const late = 20 * time.Millisecond
	p.Latency(late)
	began := time.Now()
	say("slow")
	heard("slow")
	if took := time.Since(began); took < 2*late {
		t.Errorf("it took %v with %v each way", took, late)
	}
}
