//go:build services

package xmpp_test

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"switchboard/internal/testutil"
	"switchboard/internal/tlsfiles"
	"switchboard/internal/xmpptest"
	"switchboard/xmpp"
)

// settings are those of an account at the server of the tests.
func settings(t *testing.T, s xmpptest.Server, name string) xmpp.Settings {
	t.Helper()
	jid, err := xmpp.ParseJID(s.Account(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return xmpp.Settings{
		JID: jid, Password: xmpptest.Password, Address: s.Addr,
		TLS:    func() (*tls.Config, error) { return tlsfiles.Files{CA: s.CA}.Client("") },
		Handle: func(_ *xmpp.Element, handled func()) { handled() },
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testutil.Patience)
	t.Cleanup(cancel)
	return ctx
}

// run serves a session until the test ends or stop is called.
func run(t *testing.T, s *xmpp.Session) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = func() error {
		cancel()
		select {
		case err := <-ended:
			ended <- err
			return err
		case <-time.After(testutil.Patience):
			t.Fatal("Run did not end")
		}
		return nil
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

// What one account sends another gets, and the server acknowledges it.
func TestMessageBetweenAccounts(t *testing.T) {
	server := xmpptest.Find(t)
	got := make(chan *xmpp.Element, 10)
	ben := settings(t, server, "ben")
	ben.Handle = func(e *xmpp.Element, handled func()) {
		if e.Name == "message" {
			got <- e
		}
		handled()
	}
	to, err := xmpp.Dial(within(t), ben, nil)
	if err != nil {
		t.Fatal(err)
	}
	run(t, to)
	from, err := xmpp.Dial(within(t), settings(t, server, "anna"), nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, from)
	if !from.Managed() || from.JID().Resource == "" || from.JID().Resource == to.JID().Resource {
		t.Errorf("managed %t, bound to %s and %s", from.Managed(), from.JID(), to.JID())
	}
	acknowledged := make(chan error, 1)
	m := xmpp.New(xmpp.NSClient, "message", xmpp.NewText(xmpp.NSClient, "body", "hello <&> \x00")).Set("to", to.JID().String()).Set("type", "chat")
	if err := from.Send(m, func(err error) { acknowledged <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-acknowledged; err != nil {
		t.Error(err)
	}
	if e := <-got; e.ChildText(xmpp.NSClient, "body") != "hello <&> \uFFFD" || e.From() != from.JID() {
		t.Errorf("got %s", e)
	}
	if _, err := from.IQ(within(t), xmpp.IQ(xmpptest.Domain, "get", xmpp.New(xmpp.NSPing, "ping"))); err != nil {
		t.Errorf("ping: %v", err)
	}
	if err := stop(); err != nil {
		t.Errorf("a clean stop: %v", err)
	}
}

// TLS from the first byte, and a login that is bound to the TLS connection where the
// server offers that.
func TestDirectTLSAndChannelBinding(t *testing.T) {
	server := xmpptest.Find(t)
	for name, version := range map[string]uint16{"1.3": tls.VersionTLS13, "1.2": tls.VersionTLS12} {
		t.Run(name, func(t *testing.T) {
			set := settings(t, server, "anna")
			set.Address, set.DirectTLS = server.TLSAddr, true
			set.TLS = func() (*tls.Config, error) {
				config, err := tlsfiles.Files{CA: server.CA}.Client("")
				config.MaxVersion = version
				return config, err
			}
			s, err := xmpp.Dial(within(t), set, nil)
			if err != nil {
				t.Fatal(err)
			}
			run(t, s)
			t.Logf("logged in by %s", s.Mechanism())
			if want := "SCRAM-SHA-256-PLUS"; version == tls.VersionTLS12 && s.Mechanism() != want {
				t.Errorf("logged in by %s, want %s", s.Mechanism(), want)
			}
		})
	}
}

// The certificate is held against the account's domain, though the address is another.
func TestCertificateOfAnotherServer(t *testing.T) {
	server := xmpptest.Find(t)
	for _, direct := range []bool{false, true} {
		set := settings(t, server, "anna")
		set.JID.Domain, set.DirectTLS = "example.org", direct
		if direct {
			set.Address = server.TLSAddr
		}
		if _, err := xmpp.Dial(within(t), set, nil); err == nil || !strings.Contains(err.Error(), "example.org") {
			t.Errorf("direct %t: %v", direct, err)
		}
	}
	set := settings(t, server, "anna")
	set.TLS = nil // the system's authorities
	if _, err := xmpp.Dial(within(t), set, nil); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("an authority of its own: %v", err)
	}
}
