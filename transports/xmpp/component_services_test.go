//go:build services

package xmpp

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"switchboard/internal/testutil"
	"switchboard/internal/xmpptest"
	"switchboard/message"
	"switchboard/options"
	"switchboard/transports/transporttest"
	"switchboard/xmpp"
)

const componentDomain = "sms.xmpp.test"

// component runs a transport that serves a domain. Tests of components do not run at
// the same time: the server takes one.
func component(t *testing.T, opts ...func(*Transport)) *bundle {
	t.Helper()
	s := xmpptest.Find(t)
	b := &bundle{T: t, server: s, line: transporttest.NewPublisher(), state: remember(t)}
	b.Transport = provisioned(t, b.state, nil, append([]func(*Transport){func(tr *Transport) {
		tr.Component, tr.Password = componentDomain, options.Secret(s.Secret)
		setAddress(tr, s.ComponentAddr)
	}}, opts...)...)
	b.stop = transporttest.Start(t, b.Transport, b.line)
	b.status("connected")
	return b
}

// Each telephone number is an address, both ways, and what the server has is known by
// a ping.
func TestComponent(t *testing.T) {
	b := component(t)
	p := people.Join(t, b.server)
	number := "+27831234567@" + componentDomain
	p.Send(t, chat(number, "m1", "hello", request()))
	m := b.line.Next(t)
	if m.From != p.JID || m.To != number || m.Content != "hello" {
		t.Errorf("received %s", m.Encode())
	}
	p.Next(t, func(e *xmpp.Element) bool {
		return e.Child(xmpp.NSReceipts, "received").Attr("id") == "m1" && e.Attr("from") == number
	})
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			reply := m.Reply(fmt.Sprint("answer ", i))
			if i%2 == 0 {
				reply.From = "+27831234567" // as SMS has it
			}
			if _, err := b.Send(within(t), reply); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for range 100 {
		if e := p.Message(t); e.Attr("from") != number || !strings.HasPrefix(e.ChildText(xmpp.NSClient, "body"), "answer ") {
			t.Errorf("the person got %s", e)
		}
	}
	for range 100 {
		if e := b.line.NextEvent(t); e.DeliveryStatus != message.Delivered {
			t.Errorf("reported %s", e.Encode())
		}
	}
	odd := m.Reply("from a short code")
	odd.From = "Jane & John"
	if _, err := b.Send(within(t), odd); err != nil {
		t.Fatal(err)
	}
	if e := p.Message(t); xmpp.UnescapeLocal(e.From().Local) != "jane & john" {
		t.Errorf("the person got %s", e)
	}
	if _, err := b.Send(within(t), b.to("nobody@xmpp.test", "anybody?")); !message.IsPermanent(err) {
		t.Errorf("somebody who does not exist: %v", err)
	}
}

// Who subscribes to a number sees it, and sees it go and come back.
func TestComponentPresence(t *testing.T) {
	b := component(t)
	p := people.Join(t, b.server)
	number := "+27831234567@" + componentDomain
	presence := func(kind string) {
		t.Helper()
		p.Next(t, func(e *xmpp.Element) bool {
			return e.Name == "presence" && e.From().Bare().String() == number && e.Attr("type") == kind
		})
	}
	p.Send(t, xmpp.New(xmpp.NSClient, "presence").Set("type", "subscribe").Set("to", number))
	presence("subscribed")
	presence("")
	b.stop()
	presence("unavailable")
	transporttest.Start(t, b.Transport, b.line)
	b.status("connected")
	presence("")
	p.Send(t, xmpp.New(xmpp.NSClient, "presence").Set("type", "unsubscribe").Set("to", number))
	r, err := b.current.Get(within(t))
	if err != nil {
		t.Fatal(err)
	}
	testutil.Eventually(t, "the subscriber is forgotten", func() bool {
		n := 0
		r.presence.eachSubscriber(within(t), func(string, string) { n++ })
		return n == 0
	})
}

// The domain is a gateway, each number a phone.
func TestComponentAbout(t *testing.T) {
	b := component(t)
	p := people.Join(t, b.server)
	for address, want := range map[string]string{componentDomain: "gateway/sms", "+27831234567@" + componentDomain: "client/sms"} {
		p.Send(t, xmpp.IQ(address, "get", xmpp.New(xmpp.NSDiscoInfo, "query")).Set("id", address))
		e := p.Next(t, func(e *xmpp.Element) bool { return e.Attr("id") == address })
		identity := e.Child(xmpp.NSDiscoInfo, "query").Child(xmpp.NSDiscoInfo, "identity")
		if got := identity.Attr("category") + "/" + identity.Attr("type"); got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
}

func TestWrongSecret(t *testing.T) {
	s := xmpptest.Find(t)
	line := transporttest.NewPublisher()
	tr := provisioned(t, remember(t), nil, func(tr *Transport) {
		tr.Component, tr.Password = componentDomain, "hunter2"
		setAddress(tr, s.ComponentAddr)
	})
	transporttest.Start(t, tr, line)
	if st := (&bundle{T: t, line: line}).status("refused"); !strings.Contains(st.Text, "not-authorized") {
		t.Errorf("told %s", st.Encode())
	}
}
