//go:build services

package xmpp

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"switchboard/internal/testutil"
	"switchboard/internal/xmpptest"
	"switchboard/message"
	"switchboard/options"
	"switchboard/transports"
	"switchboard/transports/transporttest"
	"switchboard/xmpp"
)

// through runs a transport whose connection a proxy carries.
func through(t *testing.T, opts ...func(*Transport)) (*bundle, *xmpptest.Proxy) {
	t.Helper()
	proxy := xmpptest.NewProxy(t, xmpptest.Find(t).Addr)
	return start(t, append([]func(*Transport){func(tr *Transport) { setAddress(tr, proxy.Addr) }}, opts...)...), proxy
}

// sendInBackground sends a message, again as the frame does when it is to be tried
// again.
func (b *bundle) sendInBackground(m *message.Message) <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), testutil.Patience)
		defer cancel()
		_, err := b.Send(ctx, m)
		for {
			after, again := message.RetryDelay(err)
			if !again {
				done <- err
				return
			}
			time.Sleep(after)
			_, err = b.SendAgain(ctx, m)
		}
	}()
	return done
}

// texts are the bodies that a person gets until the last one.
func texts(t *testing.T, p *xmpptest.Person, last string) (all []string) {
	t.Helper()
	for len(all) == 0 || all[len(all)-1] != last {
		all = append(all, p.Message(t).ChildText(xmpp.NSClient, "body"))
	}
	return all
}

// What was written and not acknowledged when the connection broke is sent in the
// resumed session, once, in order; and what people sent meanwhile arrives once.
func TestResume(t *testing.T) {
	const rounds = 3 // each waits longer before it connects
	b, proxy := through(t)
	p := people.Join(t, b.server)
	for round := range rounds {
		proxy.Deafen(true)
		var sends []<-chan error
		for i := range 10 {
			sends = append(sends, b.sendInBackground(b.to(p.JID, fmt.Sprint(round, " out ", i))))
			p.Send(t, chat(b.Username, fmt.Sprint(round, "-", i), fmt.Sprint(round, " in ", i)))
		}
		p.Send(t, xmpp.IQ(xmpptest.Domain, "get", xmpp.New(xmpp.NSPing, "ping")).Set("id", fmt.Sprint("sent", round)))
		p.Next(t, func(e *xmpp.Element) bool { return e.Attr("id") == fmt.Sprint("sent", round) })
		proxy.Cut()
		proxy.Deafen(false)
		for _, done := range sends {
			if err := <-done; err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		for i := range 10 {
			if m := b.line.Next(t); m.Content != fmt.Sprint(round, " in ", i) {
				t.Fatalf("round %d: received %q, want %d", round, m.Content, i)
			}
		}
	}
	last := b.to(p.JID, "last")
	if err := <-b.sendInBackground(last); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, text := range texts(t, p, "last") {
		seen[text]++
	}
	if n := b.metric("switchboard_xmpp_connects_total", "outcome", "resumed"); n != rounds {
		t.Errorf("%v connections were resumed, want %d", n, rounds)
	}
	for text, n := range seen {
		if n != 1 {
			t.Errorf("%q arrived %d times", text, n)
		}
	}
}

// A session that the server no longer knows leaves messages unknown: what follows is
// the operator's choice.
func TestUnknown(t *testing.T) {
	for policy, want := range map[string]string{
		transports.UnknownWait: "no receipt came within", transports.UnknownFail: "unknown whether", transports.UnknownResend: "",
	} {
		t.Run(policy, func(t *testing.T) {
			b, proxy := through(t, func(tr *Transport) {
				tr.UnknownPolicy, tr.UnknownWait, tr.Receipts = policy, options.Duration(2*time.Second), false
			})
			p := people.Join(t, b.server)
			proxy.Deafen(true)
			m := b.to(p.JID, "is it there?")
			done := b.sendInBackground(m)
			p.Message(t) // the server has it; nobody knows here
			// Somebody else takes the account's only session: it cannot be resumed.
			b.forget()
			proxy.Cut()
			proxy.Deafen(false)
			err := <-done
			if want == "" {
				if err != nil {
					t.Error(err)
				}
				if again := p.Message(t); again.Attr("id") != m.ID || again.Child(xmpp.NSStanzaID, "origin-id").Attr("id") != m.ID {
					t.Errorf("sent again as %s", again)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), want) || !message.IsPermanent(err) {
				t.Errorf("%v, want %q", err, want)
			}
			b.Send(within(t), b.to(p.JID, "end"))
			if all := texts(t, p, "end"); len(all) != 1 {
				t.Errorf("the person got %q", all)
			}
		})
	}
}

// A receipt settles what nobody knew.
func TestReceiptAfterUnknown(t *testing.T) {
	b, proxy := through(t, func(tr *Transport) { tr.UnknownWait = options.Duration(20 * time.Second) })
	p := people.Join(t, b.server, xmpptest.Silent)
	proxy.Deafen(true)
	m := b.to(p.JID, "is it there?")
	done := b.sendInBackground(m)
	p.Message(t)
	b.forget()
	proxy.Cut()
	proxy.Deafen(false)
	b.status("connected")
	p.Send(t, bare("chat", received(m.ID)).Set("to", b.Username).Set("id", "r1"))
	if e := b.line.NextEvent(t); e.DeliveryStatus != message.Delivered {
		t.Errorf("reported %s", e.Encode())
	}
	if err := <-done; err != nil {
		t.Errorf("a message that has arrived: %v", err)
	}
}

// Another process with the same address throws this one out: it waits, and does not
// throw the other out in its turn.
func TestConflict(t *testing.T) {
	b := start(t)
	r, err := b.current.Get(within(t))
	if err != nil {
		t.Fatal(err)
	}
	s, _ := r.await(within(t), nil)
	other := people.LoginAs(t, b.server, s.JID().String())
	if s := b.status("replaced"); s.Health != message.Down || !strings.Contains(s.Text, "another process") {
		t.Errorf("told %s", s.Encode())
	}
	other.Send(t, xmpp.IQ(xmpptest.Domain, "get", xmpp.New(xmpp.NSPing, "ping")).Set("id", "still"))
	other.Next(t, func(e *xmpp.Element) bool { return e.Attr("id") == "still" })
}

// What the server has is not sent again when the broker brings it again.
func TestSendAgain(t *testing.T) {
	b := start(t)
	p := people.Join(t, b.server)
	m := b.to(p.JID, "once")
	if _, err := b.Send(within(t), m); err != nil {
		t.Fatal(err)
	}
	if id, err := b.SendAgain(within(t), m); err != nil || id != m.ID {
		t.Errorf("again: %q, %v", id, err)
	}
	fresh := b.to(p.JID, "last")
	if _, err := b.SendAgain(within(t), fresh); err != nil { // it was in flight, and never left
		t.Fatal(err)
	}
	if all := texts(t, p, "last"); len(all) != 2 {
		t.Errorf("the person got %q", all)
	}
}

// What a killed process had written, and the server not acknowledged, comes twice: its
// successor knows nothing of it. Nothing else does.
func TestKilledProcess(t *testing.T) {
	const window = 5
	b, proxy := through(t)
	p := people.Join(t, b.server)
	if _, err := b.Send(within(t), b.to(p.JID, "acknowledged")); err != nil {
		t.Fatal(err)
	}
	p.Message(t)
	proxy.Deafen(true) // and the process hears nothing any more, as one that is dead
	var all []*message.Message
	for i := range window {
		all = append(all, b.to(p.JID, fmt.Sprint("in flight ", i)))
		b.sendInBackground(all[i])
		p.Message(t)
	}
	line := transporttest.NewPublisher()
	successor := account(t, b.server, b.state, nil, func(tr *Transport) { tr.Username = b.Username })
	transporttest.Start(t, successor, line)
	for i, m := range append(all, b.to(p.JID, "last")) {
		if _, err := successor.SendAgain(within(t), m); err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
	if again := texts(t, p, "last"); len(again) != window+1 {
		t.Errorf("the person got %q again", again)
	}
}

// Two workers with one account live side by side: each bind takes a name of chance.
func TestTwoWorkers(t *testing.T) {
	b := start(t)
	line := transporttest.NewPublisher()
	second := account(t, b.server, b.state, nil, func(tr *Transport) { tr.Username = b.Username })
	transporttest.Start(t, second, line)
	(&bundle{T: t, line: line}).status("connected")
	p := people.Join(t, b.server)
	for i, tr := range []*Transport{b.Transport, second} {
		if _, err := tr.Send(within(t), b.to(p.JID, fmt.Sprint("from ", i))); err != nil {
			t.Fatal(err)
		}
		if text := p.Message(t).ChildText(xmpp.NSClient, "body"); text != fmt.Sprint("from ", i) {
			t.Errorf("got %q", text)
		}
	}
}

// A wrong password is said, and not tried again and again.
func TestWrongPassword(t *testing.T) {
	s := xmpptest.Find(t)
	line := transporttest.NewPublisher()
	tr := account(t, s, remember(t), nil, func(tr *Transport) { tr.Password = "hunter2" })
	transporttest.Start(t, tr, line)
	if st := (&bundle{T: t, line: line}).status("refused"); st.Health != message.Down || !strings.Contains(st.Text, "not-authorized") || strings.Contains(st.Text, "hunter2") {
		t.Errorf("told %s", st.Encode())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := tr.Send(ctx, (&bundle{T: t, Transport: tr}).to("anna@xmpp.test", "hello")); err == nil {
		t.Error("a message was taken though nobody is connected")
	}
}

// While the server is away messages wait, and a stop does not.
func TestAway(t *testing.T) {
	b, proxy := through(t)
	p := people.Join(t, b.server)
	proxy.Refuse(true)
	b.status("connection_lost")
	done := b.sendInBackground(b.to(p.JID, "later"))
	proxy.Refuse(false)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if text := p.Message(t).ChildText(xmpp.NSClient, "body"); text != "later" {
		t.Errorf("got %q", text)
	}
	proxy.Refuse(true)
	b.status("connection_lost")
	b.stop()
}

// The server asks what is handled while nothing is: it is answered, and told when it
// is.
func TestBusyHandlers(t *testing.T) {
	b := start(t)
	p := people.Join(t, b.server)
	release := b.line.Hold()
	const many = 50
	for i := range many {
		p.Send(t, chat(b.Username, fmt.Sprint("m", i), fmt.Sprint("text ", i), request()))
	}
	b.line.Asked(t)
	var group sync.WaitGroup
	for i := range 20 { // acknowledgements for us, and pings, pass meanwhile
		group.Go(func() {
			if _, err := b.Send(within(t), b.to(p.JID, fmt.Sprint("out ", i))); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	p.Send(t, xmpp.IQ(b.fullJID(), "get", xmpp.New(xmpp.NSPing, "ping")).Set("id", "ping"))
	p.Next(t, func(e *xmpp.Element) bool { return e.Attr("id") == "ping" && e.Attr("type") == "result" })
	release()
	for i := range many {
		if m := b.line.Next(t); m.Content != fmt.Sprint("text ", i) {
			t.Fatalf("received %q, want %d", m.Content, i)
		}
	}
}

// fullJID is the address of the present session.
func (b *bundle) fullJID() string {
	b.Helper()
	r, err := b.current.Get(within(b.T))
	if err != nil {
		b.Fatal(err)
	}
	s, err := r.await(within(b.T), nil)
	if err != nil {
		b.Fatal(err)
	}
	return s.JID().String()
}

// forget makes the server forget the session: the account asks for its own resource to
// be freed, as a second login with that name does.
func (b *bundle) forget() {
	b.Helper()
	p := people.LoginAs(b.T, b.server, b.fullJID())
	p.Logout(b.T)
}

func (b *bundle) metric(name, label, value string) (sum float64) {
	b.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, pair := range m.GetLabel() {
				if family.GetName() == name && pair.GetName() == label && pair.GetValue() == value {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return sum
}
