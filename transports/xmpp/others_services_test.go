//go:build services

package xmpp

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/message"
	"switchboard/transports/transporttest"
	"switchboard/xmpp"
)

// startFederated starts a server that others find without DNS: its domain is an address
// of this machine, of chance.
func startFederated(t *testing.T) *private {
	t.Helper()
	var b [3]byte
	_, _ = rand.Read(b[:])
	return startPrivate(t, fmt.Sprintf("127.%d.%d.%d", b[0], b[1], 1+b[2]%250))
}

// Somebody at another server is written to and answers. While that server is away they
// are not reached, which is told, and no fault of theirs.
func TestOtherServer(t *testing.T) {
	t.Parallel()
	home, other := startFederated(t), startFederated(t)
	b := &bundle{T: t, server: home.Server, line: transporttest.NewPublisher(), state: remember(t), registry: prometheus.NewRegistry()}
	b.Transport = account(t, b.server, b.state, b.registry)
	b.run()
	p := people.Join(t, other.Server)
	m := b.to(p.JID, "hello over there")
	if _, err := b.Send(within(t), m); err != nil {
		t.Fatal(err)
	}
	if text := p.Message(t).ChildText(xmpp.NSClient, "body"); text != "hello over there" {
		t.Errorf("got %q", text)
	}
	if e := b.line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != message.Delivered {
		t.Errorf("reported %s", e.Encode())
	}
	p.Send(t, chat(b.Username, "m1", "hello back"))
	if m := b.line.Next(t); m.Content != "hello back" || m.From != p.JID {
		t.Errorf("received %s", m.Encode())
	}

	other.do("stop-prosody")
	_, err := b.Send(within(t), b.to(p.JID, "anybody there?"))
	if err == nil { // the server's no came after its acknowledgement
		e := b.line.NextEvent(t)
		extra := e.Extra()
		if code := extra.Text("failure_code"); e.DeliveryStatus != message.Failed || !strings.HasPrefix(code, "remote-server-") {
			t.Errorf("reported %s", e.Encode())
		}
	} else if message.IsPermanent(err) || !strings.Contains(err.Error(), "remote-server-") {
		t.Errorf("a server that is away: %v", err)
	}
	other.do("start-prosody")
	p = people.Login(t, other.Server, p.JID)
	if err := <-b.sendInBackground(b.to(p.JID, "here again")); err != nil {
		t.Fatal(err)
	}
	if text := p.Message(t).ChildText(xmpp.NSClient, "body"); text != "here again" {
		t.Errorf("got %q", text)
	}
}
