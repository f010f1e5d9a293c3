//go:build services

package xmpp

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/xmpptest"
	"switchboard/message"
	"switchboard/transports"
	"switchboard/transports/transporttest"
	"switchboard/xmpp"
)

// at is a transport at a server of the test's own, through a proxy.
func at(t *testing.T, s xmpptest.Server, opts ...func(*Transport)) (*bundle, *xmpptest.Proxy) {
	t.Helper()
	proxy := xmpptest.NewProxy(t, s.Addr)
	b := &bundle{T: t, server: s, line: transporttest.NewPublisher(), state: remember(t), registry: prometheus.NewRegistry()}
	b.Transport = account(t, s, b.state, b.registry, append([]func(*Transport){func(tr *Transport) { setAddress(tr, proxy.Addr) }}, opts...)...)
	b.run()
	return b, proxy
}

// A server that forgets a session after a second, and takes stanzas of 20,000 bytes.
func TestServerLimits(t *testing.T) {
	t.Parallel()
	s := startPrivate(t, xmpptest.Domain, "smacks_hibernation_time = 1; c2s_stanza_size_limit = 20000").Server

	// The session is forgotten while we are away, and not resumed. The server still says
	// what it had (XEP-0198 §5): that is sent, once, whatever the policy.
	for _, policy := range []string{transports.UnknownFail, transports.UnknownResend} {
		t.Run("forgotten session, "+policy, func(t *testing.T) {
			b, proxy := at(t, s, func(tr *Transport) { tr.UnknownPolicy, tr.Receipts = policy, false })
			p, other := people.Join(t, s), people.LoginAs(t, s, b.Username+"/other")
			full := b.fullJID()
			proxy.Deafen(true)
			done := b.sendInBackground(b.to(p.JID, "is it there?"))
			p.Message(t)
			proxy.Refuse(true)
			other.Next(t, func(e *xmpp.Element) bool {
				return e.Name == "presence" && e.Attr("from") == full && e.Attr("type") == "unavailable"
			})
			proxy.Deafen(false)
			proxy.Refuse(false)
			if err := <-done; err != nil {
				t.Error(err)
			}
			if n := b.metric("switchboard_xmpp_connects_total", "outcome", "resumed"); n != 0 {
				t.Errorf("%v connections were resumed", n)
			}
			if err := <-b.sendInBackground(b.to(p.JID, "end")); err != nil {
				t.Error(err)
			}
			if all := texts(t, p, "end"); len(all) != 1 {
				t.Errorf("the person got %q", all)
			}
		})
	}

	// The server ends the stream over a stanza that is too large for it: that one is
	// refused with the reason, once, and the next is sent.
	for _, policy := range []string{transports.UnknownWait, transports.UnknownFail, transports.UnknownResend} {
		t.Run("stanza too large, "+policy, func(t *testing.T) {
			b, _ := at(t, s, func(tr *Transport) { tr.UnknownPolicy, tr.Receipts = policy, false })
			p := people.Join(t, s)
			err := <-b.sendInBackground(b.to(p.JID, strings.Repeat("too long ", 3000)))
			if err == nil || !message.IsPermanent(err) || !strings.Contains(err.Error(), "policy-violation") || !strings.Contains(err.Error(), "max_stanza_bytes") {
				t.Errorf("got %v", err)
			}
			if err := <-b.sendInBackground(b.to(p.JID, "short")); err != nil {
				t.Error(err)
			}
			if all := texts(t, p, "short"); len(all) != 1 {
				t.Errorf("the person got %d messages", len(all))
			}
			if n := b.metric("switchboard_xmpp_connects_total", "outcome", "bound"); n != 2 {
				t.Errorf("%v sessions were begun, want 2", n)
			}
		})
	}
}

// The server copies to us what another client of our account sends and gets (XEP-0280):
// none of it is a message to us.
func TestCarbons(t *testing.T) {
	b := start(t)
	r, err := b.current.Get(within(t))
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.await(within(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.IQ(within(t), xmpp.IQ("", "set", xmpp.New(xmpp.NSCarbons, "enable"))); err != nil {
		t.Fatal(err)
	}
	other, p := people.LoginAs(t, b.server, b.Username+"/other"), people.Join(t, b.server)
	other.Send(t, chat(p.JID, "c1", "from the other client"))
	p.Message(t)
	p.Send(t, chat(other.Full, "c2", "to the other client"))
	other.Message(t)
	p.Send(t, chat(s.JID().String(), "m1", "to us"))
	if m := b.line.Next(t); m.Content != "to us" {
		t.Errorf("received %s", m.Encode())
	}
	if n := b.metric("switchboard_xmpp_stanzas_total", "kind", "echo"); n != 2 {
		t.Errorf("%v copies came, want 2", n)
	}
}
