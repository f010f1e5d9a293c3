//go:build services

package xmpp

import (
	"fmt"
	"testing"
	"time"

	"switchboard/internal/testutil"
	"switchboard/internal/xmpptest"
	"switchboard/message"
	"switchboard/xmpp"
)

// enter has somebody enter a room, which makes it, and waits until they are in it.
func enter(t *testing.T, p *xmpptest.Person, room, nick string) {
	t.Helper()
	p.Send(t, xmpp.New(xmpp.NSClient, "presence", xmpp.New(xmpp.NSMUC, "x")).Set("to", room+"/"+nick))
	p.Next(t, func(e *xmpp.Element) bool {
		return e.Name == "presence" && e.Attr("from") == room+"/"+nick && e.Attr("type") == ""
	})
	// A new room is the owner's until it is accepted as it is.
	form := xmpp.New(xmpp.NSForms, "x").Set("type", "submit")
	p.Send(t, xmpp.IQ(room, "set", xmpp.New(xmpp.NSMUCOwner, "query", form)).Set("id", "config"))
	p.Next(t, func(e *xmpp.Element) bool { return e.Name == "iq" && e.Attr("id") == "config" })
}

func said(room, id, text string) *xmpp.Element { return chat(room, id, text).Set("type", "groupchat") }

// inRoom is a bot in a room with somebody who is called anna and has said something.
func inRoom(t *testing.T, before ...string) (b *bundle, p *xmpptest.Person, room string) {
	t.Helper()
	s := xmpptest.Find(t)
	p = people.Join(t, s)
	room = "room" + message.NewID()[:10] + "@rooms.xmpp.test"
	enter(t, p, room, "anna")
	for _, text := range before {
		p.Send(t, said(room, text, text))
		p.Next(t, func(e *xmpp.Element) bool { return e.Attr("id") == text })
	}
	b = start(t, func(tr *Transport) { tr.Rooms, tr.Nick, tr.selfPing = []string{room}, "anna", time.Second }) // a name that is taken
	b.status("joined")
	return b, p, room
}

// What is said in a room is a group's, what was said before is not said again, and what
// we say is sent when the room shows it.
func TestRoom(t *testing.T) {
	b, p, room := inRoom(t, "said before")
	p.Send(t, said(room, "m1", "hello bot"))
	m := b.line.Next(t)
	if m.Content != "hello bot" || m.Group != room || m.To != b.Username || m.From != room+"/anna" && m.From != p.JID {
		t.Errorf("received %s", m.Encode())
	}
	if _, err := b.Send(within(t), m.Reply("hello all", message.ToGroup)); err != nil {
		t.Fatal(err)
	}
	got := p.Next(t, func(e *xmpp.Element) bool { return e.ChildText(xmpp.NSClient, "body") == "hello all" })
	if got.Attr("type") != "groupchat" || got.Attr("from") != room+"/anna_" {
		t.Errorf("the room shows %s", got)
	}
	p.Send(t, chat(room+"/anna_", "m2", "between us"))
	private := b.line.Next(t)
	if private.Content != "between us" || private.From != room+"/anna" || private.Group != "" {
		t.Errorf("received %s", private.Encode())
	}
	if _, err := b.Send(within(t), private.Reply("yes")); err != nil {
		t.Fatal(err)
	}
	p.Next(t, func(e *xmpp.Element) bool {
		return e.ChildText(xmpp.NSClient, "body") == "yes" && e.Attr("type") == "chat" && e.Attr("from") == room+"/anna_"
	})
	p.Send(t, said(room, "m3", "the end")) // our own words did not come back as messages
	if m := b.line.Next(t); m.Content != "the end" {
		t.Errorf("received %q", m.Content)
	}
}

// A room that is destroyed is entered again: it is made anew, for others as well.
func TestRoomDestroyed(t *testing.T) {
	b, p, room := inRoom(t)
	p.Send(t, said(room, "m1", "first"))
	b.line.Next(t)
	destroy := xmpp.New(xmpp.NSMUCOwner, "query", xmpp.New(xmpp.NSMUCOwner, "destroy"))
	p.Send(t, xmpp.IQ(room, "set", destroy).Set("id", "destroy"))
	if s := b.status("left"); s.Health != message.Degraded || s.Component != room {
		t.Errorf("told %s", s.Encode())
	}
	b.status("joined")
	p.Next(t, func(e *xmpp.Element) bool { return e.Name == "iq" && e.Attr("id") == "destroy" })
	testutil.Eventually(t, "others can enter", func() bool {
		p.Send(t, xmpp.New(xmpp.NSClient, "presence", xmpp.New(xmpp.NSMUC, "x")).Set("to", room+"/anna"))
		return p.Next(t, func(e *xmpp.Element) bool { return e.Name == "presence" && e.Attr("from") == room+"/anna" }).Attr("type") == ""
	})
	p.Send(t, said(room, "m2", "here again"))
	if m := b.line.Next(t); m.Content != "here again" {
		t.Errorf("received %q", m.Content)
	}
}

// A kick is told with its word, and the room is entered again, with what was said
// meanwhile.
func TestKicked(t *testing.T) {
	b, p, room := inRoom(t)
	p.Send(t, said(room, "m1", "first"))
	b.line.Next(t)
	item := xmpp.New("http://jabber.org/protocol/muc#admin", "item").Set("nick", "anna_").Set("role", "none")
	p.Send(t, xmpp.IQ(room, "set", xmpp.New("http://jabber.org/protocol/muc#admin", "query", item)).Set("id", "kick"))
	if s := b.status("kicked"); s.Health != message.Degraded || s.Component != room {
		t.Errorf("told %s", s.Encode())
	}
	for i := range 3 {
		p.Send(t, said(room, fmt.Sprint("w", i), fmt.Sprint("meanwhile ", i)))
	}
	b.status("joined")
	p.Send(t, said(room, "m2", "last"))
	for i := range 3 {
		if m := b.line.Next(t); m.Content != fmt.Sprint("meanwhile ", i) {
			t.Errorf("received %q, want %d", m.Content, i)
		}
	}
	if m := b.line.Next(t); m.Content != "last" {
		t.Errorf("received %q", m.Content)
	}
}

// Who falls out of a room and is not told finds out by a ping to themselves (XEP-0410):
// of a room that knows them no more, and of one that is gone.
func TestFellOut(t *testing.T) {
	for name, query := range map[string]*xmpp.Element{
		"kicked": xmpp.New("http://jabber.org/protocol/muc#admin", "query",
			xmpp.New("http://jabber.org/protocol/muc#admin", "item").Set("nick", "anna_").Set("role", "none")),
		"destroyed": xmpp.New(xmpp.NSMUCOwner, "query", xmpp.New(xmpp.NSMUCOwner, "destroy")),
	} {
		t.Run(name, func(t *testing.T) {
			b, p, room := inRoom(t)
			p.Send(t, said(room, "m1", "first"))
			b.line.Next(t)
			other := people.LoginAs(t, b.server, b.Username+"/other")
			block := func(action string) {
				other.Send(t, xmpp.IQ("", "set", xmpp.New(nsBlocking, action, xmpp.New(nsBlocking, "item").Set("jid", room))).Set("id", action))
				other.Next(t, func(e *xmpp.Element) bool {
					return e.Name == "iq" && e.Attr("id") == action && e.Attr("type") == "result"
				})
			}
			block("block") // the server keeps the room's words from us
			p.Send(t, xmpp.IQ(room, "set", query).Set("id", "out"))
			p.Next(t, func(e *xmpp.Element) bool {
				return e.Name == "iq" && e.Attr("id") == "out" && e.Attr("type") == "result"
			})
			block("unblock")
			if s := b.status("vanished"); s.Health != message.Degraded || s.Component != room {
				t.Errorf("told %s", s.Encode())
			}
			b.status("joined")
		})
	}
}

const nsBlocking = "urn:xmpp:blocking"
