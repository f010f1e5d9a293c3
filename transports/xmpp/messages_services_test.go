//go:build services

package xmpp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"switchboard/internal/xmpptest"
	"switchboard/message"
	"switchboard/options"
	"switchboard/transports/transporttest"
	"switchboard/xmpp"
)

func received(id string) *xmpp.Element {
	return xmpp.New(xmpp.NSReceipts, "received").Set("id", id)
}

func bare(name string, more ...*xmpp.Element) *xmpp.Element {
	return xmpp.New(xmpp.NSClient, "message", more...).Set("type", name)
}

// A message has bare addresses, as Vumi has them, and the rest in its metadata.
func TestInbound(t *testing.T) {
	b := start(t)
	p := people.Join(t, b.server)
	p.Send(t, chat(b.Username, "m1", "hello", xmpp.NewText(xmpp.NSClient, "thread", "t1"), xmpp.New(xmpp.NSCorrect, "replace").Set("id", "m0")))
	m := b.line.Next(t)
	_, resource, _ := strings.Cut(p.Full, "/")
	for key, want := range map[string]string{
		"xmpp_id": "m1", "xmpp_resource": resource, "xmpp_type": "chat", "xmpp_thread": "t1", "xmpp_replaces": "m0",
	} {
		if got := m.TransportMetadata.Text(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if m.From != p.JID || m.To != b.Username || m.Content != "hello" || m.TransportType != "xmpp" || m.Group != "" {
		t.Errorf("received %s", m.Encode())
	}
	if _, err := b.Send(within(t), m.Reply("hi")); err != nil {
		t.Fatal(err)
	}
	answer := p.Message(t)
	if answer.ChildText(xmpp.NSClient, "body") != "hi" || answer.ChildText(xmpp.NSClient, "thread") != "t1" || answer.Attr("type") != "chat" {
		t.Errorf("the person got %s", answer)
	}
}

// Of all that is no message of a person nothing becomes one: only what is sent last is
// received.
func TestWhatIsNoMessage(t *testing.T) {
	b := start(t)
	p := people.Join(t, b.server)
	to := b.Username
	forged := func(wrapper string) *xmpp.Element {
		inner := chat(to, "f", "forged").Set("from", "boss@xmpp.test/x")
		return chat(to, "c", "outer", xmpp.New(xmpp.NSCarbons, wrapper, xmpp.New(xmpp.NSForward, "forwarded", inner)))
	}
	for _, e := range []*xmpp.Element{
		chat(to, "e1", "bounced text", xmpp.New(xmpp.NSClient, "error", xmpp.New(xmpp.NSStanzas, "item-not-found")).Set("type", "cancel")).Set("type", "error"),
		chat(to, "h1", "news").Set("type", "headline"),
		bare("chat", xmpp.New(xmpp.NSChatState, "composing"), xmpp.New(xmpp.NSHints, "no-store")).Set("to", to),
		bare("chat", received("unknown")).Set("to", to).Set("id", "r1"),
		bare("chat", xmpp.New("urn:xmpp:chat-markers:0", "displayed").Set("id", "unknown")).Set("to", to),
		bare("normal", xmpp.NewText(xmpp.NSClient, "subject", "only a subject")).Set("to", to),
		forged("sent"), forged("received"),
		chat(to, "x1", "👍", xmpp.New(xmpp.NSReactions, "reactions").Set("id", "m1")),
		chat(to, "x2", "this message was retracted", xmpp.New("urn:xmpp:message-retract:1", "retract").Set("id", "m1")),
		chat(to, "g1", "not in a room").Set("type", "groupchat"),
	} {
		p.Send(t, e)
	}
	p.Send(t, chat(to, "m1", "the last").Set("type", ""))
	if m := b.line.Next(t); m.Content != "the last" {
		t.Errorf("received %q", m.Content)
	}
}

// A person who encrypts is told once that nobody can read it.
func TestEncrypted(t *testing.T) {
	b := start(t)
	p := people.Join(t, b.server)
	for i := range 2 {
		p.Send(t, chat(b.Username, fmt.Sprint("o", i), "I sent you an OMEMO encrypted message.", xmpp.New(xmpp.NSOMEMO, "encrypted")))
	}
	p.Send(t, chat(b.Username, "m1", "in clear"))
	if m := b.line.Next(t); m.Content != "in clear" {
		t.Errorf("received %q", m.Content)
	}
	b.Send(within(t), b.to(p.JID, "answer"))
	if text := p.Message(t).ChildText(xmpp.NSClient, "body"); text != encryptedText {
		t.Errorf("the person was told %q", text)
	}
	if text := p.Message(t).ChildText(xmpp.NSClient, "body"); text != "answer" {
		t.Errorf("the person was told a second time: %q", text)
	}
}

// slixmpp's own receipt becomes a delivery report, of one outcome one event.
func TestReceipt(t *testing.T) {
	b := start(t)
	p := people.Join(t, b.server)
	m := b.to(p.JID, "did it arrive?")
	id, err := b.Send(within(t), m)
	if err != nil || id != m.ID {
		t.Fatalf("sent as %q: %v", id, err)
	}
	e := b.line.NextEvent(t)
	if e.Type != message.DeliveryReport || e.DeliveryStatus != message.Delivered || e.MessageID != m.ID || e.RoutingMetadata.Raw("switchboard_path") != `["app"]` {
		t.Errorf("reported %s", e.Encode())
	}
}

// A receipt counts only from whom the message went to, the first one, and also after
// an error.
func TestReceiptsAndErrorsInEveryOrder(t *testing.T) {
	const (
		receipt = "receipt"
		failure = "failure"
		forgery = "forgery"
	)
	for _, c := range []struct{ come, reported []string }{
		{[]string{receipt, receipt, failure}, []string{"delivered"}},
		{[]string{failure, failure, receipt, receipt}, []string{"failed", "delivered"}},
		{[]string{receipt, failure, receipt}, []string{"delivered"}},
		{[]string{forgery, failure}, []string{"failed"}},
		{[]string{forgery}, nil},
	} {
		t.Run(strings.Join(c.come, ","), func(t *testing.T) {
			b := start(t)
			p, forger := people.Join(t, b.server, xmpptest.Silent), people.Join(t, b.server)
			m := b.to(p.JID, "hello")
			if _, err := b.Send(within(t), m); err != nil {
				t.Fatal(err)
			}
			bot := p.Message(t).Attr("from") // servers ignore errors for bare JIDs
			for i, what := range c.come {
				switch what {
				case receipt:
					p.Send(t, bare("chat", received(m.ID)).Set("to", b.Username).Set("id", fmt.Sprint("r", i)))
				case failure:
					p.Send(t, bare("error", xmpp.New(xmpp.NSClient, "error", xmpp.New(xmpp.NSStanzas, "gone")).Set("type", "cancel")).Set("to", bot).Set("id", m.ID))
				case forgery:
					forger.Send(t, bare("chat", received(m.ID)).Set("to", b.Username).Set("id", fmt.Sprint("r", i)))
					forger.Send(t, chat(b.Username, "end", "end"))
					b.line.Next(t)
				}
			}
			p.Send(t, chat(b.Username, "end", "end")) // after all of them, in the same lane
			b.line.Next(t)
			for _, want := range c.reported {
				if e := b.line.NextEvent(t); string(e.DeliveryStatus) != want || e.MessageID != m.ID {
					t.Errorf("reported %s, want %s", e.Encode(), want)
				} else if extra := e.Extra(); want == "failed" && extra.Text("failure_code") != "gone" {
					t.Errorf("no reason in %s", e.Encode())
				}
			}
			b.noEvent()
		})
	}
}

// noEvent fails when an event was reported.
func (b *bundle) noEvent() {
	b.Helper()
	if e, there := b.line.PeekEvent(); there {
		b.Errorf("reported %s", e.Encode())
	}
}

// Somebody who does not exist is a nack with the server's reason, and no message comes
// back though the bounce carries the text.
func TestBounce(t *testing.T) {
	b := start(t)
	for _, to := range []string{"nobody@xmpp.test", "nobody@nowhere.xmpp.test"} {
		_, err := b.Send(within(t), b.to(to, "is anybody there?"))
		if err == nil || !message.IsPermanent(err) && !strings.Contains(err.Error(), "remote-server") {
			t.Errorf("%s: %v", to, err)
		}
	}
	p := people.Join(t, b.server)
	p.Send(t, chat(b.Username, "m1", "hello"))
	if m := b.line.Next(t); m.Content != "hello" {
		t.Errorf("received %q", m.Content)
	}
}

// What cannot be sent is refused with its reason, before a server sees it.
func TestRefused(t *testing.T) {
	b := start(t)
	for name, c := range map[string]struct {
		change func(*message.Message)
		want   string
	}{
		"no address": {func(m *message.Message) { m.To = "@" }, "is no JID"},
		"a room":     {func(m *message.Message) { m.To, m.Group = "", "room@rooms.xmpp.test" }, "not in the room"},
		"large":      {func(m *message.Message) { m.Content = strings.Repeat("<", 30_000) }, "max_stanza_bytes"},
		"empty":      {func(m *message.Message) { m.Content = "" }, "no content"},
	} {
		m := b.to("anna@xmpp.test", "hello")
		c.change(m)
		if _, err := b.Send(within(t), m); !message.IsPermanent(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// Every character arrives, or what stands for it: none closes the stream.
func TestEveryCharacter(t *testing.T) {
	b := start(t)
	p := people.Join(t, b.server)
	for first := rune(0); first <= 0x2ffff; first += 0x1000 {
		var text, want strings.Builder
		for r := first; r < first+0x1000; r++ {
			if r >= 0xd800 && r < 0xe000 {
				continue
			}
			text.WriteRune(r)
			switch {
			case r == '\r':
				want.WriteRune('\n') // slixmpp's, which writes it as it is
			case r < ' ' && r != '\t' && r != '\n' || r == 0xfffe || r == 0xffff:
				want.WriteRune(0xfffd)
			default:
				want.WriteRune(r)
			}
		}
		if text.Len() == 0 {
			continue
		}
		m := b.to(p.JID, text.String())
		if _, err := b.Send(within(t), m); err != nil {
			t.Fatalf("from %U: %v", first, err)
		}
		if got := p.Message(t).ChildText(xmpp.NSClient, "body"); got != want.String() {
			t.Errorf("from %U the person got %.100q", first, got)
		}
	}
	b.Send(within(t), b.to(p.JID, "\xff\xfe after no UTF-8"))
	if got := p.Message(t).ChildText(xmpp.NSClient, "body"); got != "\uFFFD\uFFFD after no UTF-8" {
		t.Errorf("the person got %q", got)
	}
}

// A link alone is shown as what it leads to; a text with one is a text.
func TestLink(t *testing.T) {
	b := start(t)
	p := people.Join(t, b.server)
	for text, want := range map[string]string{"https://example.org/a.png": "https://example.org/a.png", "see https://example.org/a.png": ""} {
		if _, err := b.Send(within(t), b.to(p.JID, text)); err != nil {
			t.Fatal(err)
		}
		if got := p.Message(t).Child(xmpp.NSOOB, "x").ChildText(xmpp.NSOOB, "url"); got != want {
			t.Errorf("%s: the link is %q", text, got)
		}
	}
	p.Send(t, chat(b.Username, "m1", "https://example.org/b.png", xmpp.New(xmpp.NSOOB, "x", xmpp.NewText(xmpp.NSOOB, "url", "https://example.org/b.png"))))
	if m := b.line.Next(t); m.TransportMetadata.Text("xmpp_url") != "https://example.org/b.png" {
		t.Errorf("received %s", m.Encode())
	}
}

// What only repeats another message for older clients is taken out.
func TestFallback(t *testing.T) {
	b := start(t)
	p := people.Join(t, b.server)
	part := xmpp.New(xmpp.NSFallback, "body").Set("start", "0").Set("end", "9")
	p.Send(t, chat(b.Username, "m1", "> what ?\nyes ☃", xmpp.New(xmpp.NSFallback, "fallback", part).Set("for", "urn:xmpp:reply:0")))
	if m := b.line.Next(t); m.Content != "yes ☃" {
		t.Errorf("received %q", m.Content)
	}
	part.Set("end", "900")
	p.Send(t, chat(b.Username, "m2", "short", xmpp.New(xmpp.NSFallback, "fallback", part).Set("for", "urn:xmpp:reply:0")))
	if m := b.line.Next(t); m.Content != "short" {
		t.Errorf("received %q", m.Content)
	}
}

// A message that waited at the server is from when it was written, and not dropped
// unless it is to be.
func TestDelayed(t *testing.T) {
	b := start(t)
	p := people.Join(t, b.server)
	b.stop()
	p.Send(t, chat(b.Username, "m1", "while you were away"))
	p.Send(t, xmpp.IQ(xmpptest.Domain, "get", xmpp.New(xmpp.NSPing, "ping")).Set("id", "sent"))
	p.Next(t, func(e *xmpp.Element) bool { return e.Attr("id") == "sent" })
	before := time.Now()
	transporttest.Start(t, b.Transport, b.line)
	m := b.line.Next(t)
	if m.Content != "while you were away" || m.TransportMetadata.Text("xmpp_delayed") == "" || m.Timestamp.After(before) {
		t.Errorf("received %s", m.Encode())
	}
	stamp := func(ago time.Duration) *xmpp.Element {
		return xmpp.New(xmpp.NSDelay, "delay").Set("stamp", time.Now().Add(-ago).UTC().Format(time.RFC3339))
	}
	p.Send(t, chat(b.Username, "m2", "old", stamp(time.Minute), stamp(2*time.Hour), stamp(-time.Hour)))
	if m := b.line.Next(t); time.Since(m.Timestamp) < 119*time.Minute || time.Since(m.Timestamp) > 121*time.Minute {
		t.Errorf("the oldest stamp was not kept: %s", m.Timestamp)
	}
	p.Send(t, chat(b.Username, "m2", "old", stamp(2*time.Hour))) // again, with another stamp
	p.Send(t, chat(b.Username, "m3", "new"))
	if m := b.line.Next(t); m.Content != "new" {
		t.Errorf("received a copy: %s", m.Encode())
	}
}

func TestMaxAge(t *testing.T) {
	b := start(t, func(tr *Transport) { tr.MaxAge = options.Duration(time.Hour) })
	p := people.Join(t, b.server)
	p.Send(t, chat(b.Username, "m1", "old", xmpp.New(xmpp.NSDelay, "delay").Set("stamp", "2020-01-01T00:00:00Z")))
	p.Send(t, chat(b.Username, "m2", "new"))
	if m := b.line.Next(t); m.Content != "new" {
		t.Errorf("received %q", m.Content)
	}
}

// A robot that answers ours with the same words does not go on for ever.
func TestLoop(t *testing.T) {
	b := start(t, func(tr *Transport) { tr.MaxEqualReplies = 3 })
	p := people.Join(t, b.server)
	for i := range 5 {
		p.Send(t, chat(b.Username, fmt.Sprint("m", i), "I am a robot"))
		_, err := b.Send(within(t), b.line.Next(t).Reply("so am I"))
		if broken := message.IsPermanent(err); broken != (i >= 3) {
			t.Errorf("reply %d: %v", i+1, err)
		}
	}
	b.status("loop")
	if _, err := b.Send(within(t), b.to(p.JID, "so am I")); err != nil {
		t.Errorf("what is no reply: %v", err)
	}
}

// The broker does not take a message: the person is told to try again.
func TestNotTaken(t *testing.T) {
	b := start(t)
	p := people.Join(t, b.server)
	b.line.Refuse(errors.New("too large"))
	p.Send(t, chat(b.Username, "m1", "hello", request()))
	e := p.Next(t, func(e *xmpp.Element) bool { return e.Name == "message" })
	if found := xmpp.ErrorOf(e); e.Attr("type") != "error" || e.Attr("id") != "m1" || found.Type != "wait" {
		t.Errorf("the person got %s", e)
	}
}
