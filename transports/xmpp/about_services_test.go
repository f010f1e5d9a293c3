//go:build services

package xmpp

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchboard/internal/testutil"
	"switchboard/xmpp"
)

// iq asks the bot something, and returns the answer.
func (b *bundle) iq(p interface {
	Send(testing.TB, *xmpp.Element)
	Next(testing.TB, func(*xmpp.Element) bool) *xmpp.Element
}, to, kind string, payload *xmpp.Element,
) *xmpp.Element {
	b.Helper()
	id := fmt.Sprintf("iq-%s-%s", payload.Space, payload.Attr("node"))
	p.Send(b, xmpp.IQ(to, kind, payload).Set("id", id))
	return p.Next(b, func(e *xmpp.Element) bool { return e.Name == "iq" && e.Attr("id") == id })
}

// The bot says what it is, to whom it may concern, and nothing about what it is not.
func TestAbout(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bot.png")
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, picture.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	b := start(t, func(tr *Transport) {
		tr.Nick, tr.AvatarFile, tr.Status, tr.StatusMessage = "The Bot", file, "dnd", "busy & happy"
	})
	p := people.Join(t, b.server)
	p.Send(t, xmpp.New(xmpp.NSClient, "presence").Set("type", "subscribe").Set("to", b.Username))
	seen := p.Next(t, func(e *xmpp.Element) bool {
		return e.Name == "presence" && e.Attr("type") == "" && e.From().Bare().String() == b.Username
	})
	caps := seen.Child(xmpp.NSCaps, "c")
	if seen.ChildText(xmpp.NSClient, "show") != "dnd" || seen.ChildText(xmpp.NSClient, "status") != "busy & happy" ||
		len(seen.Child(xmpp.NSVCardHash, "x").ChildText(xmpp.NSVCardHash, "photo")) != 40 {
		t.Errorf("the person sees %s", seen)
	}
	full := b.fullJID()
	info := b.iq(p, full, "get", xmpp.New(xmpp.NSDiscoInfo, "query").Set("node", caps.Attr("node")+"#"+caps.Attr("ver")))
	identity := info.Child(xmpp.NSDiscoInfo, "query").Child(xmpp.NSDiscoInfo, "identity")
	if identity.Attr("category") != "client" || identity.Attr("type") != "bot" || identity.Attr("name") != "The Bot" {
		t.Errorf("it is %s", info)
	}
	if e := b.iq(p, full, "get", xmpp.New(xmpp.NSDiscoInfo, "query").Set("node", "other")); xmpp.ErrorOf(e).Condition != "item-not-found" {
		t.Errorf("an unknown node: %s", e)
	}
	if e := b.iq(p, full, "get", xmpp.New(xmpp.NSVersion, "query")); e.Child(xmpp.NSVersion, "query").ChildText(xmpp.NSVersion, "name") != "Switchboard" {
		t.Errorf("version: %s", e)
	}
	if e := b.iq(p, full, "set", xmpp.New("urn:unknown", "query")); xmpp.ErrorOf(e).Condition != "service-unavailable" {
		t.Errorf("what it does not know: %s", e)
	}
	push := xmpp.New(xmpp.NSRoster, "query", xmpp.New(xmpp.NSRoster, "item").Set("jid", p.JID).Set("subscription", "both"))
	if e := b.iq(p, full, "set", push); e.Attr("type") != "error" {
		t.Errorf("a forged roster push: %s", e)
	}
	card := b.iq(p, b.Username, "get", xmpp.New(xmpp.NSVCard, "vCard")).Child(xmpp.NSVCard, "vCard")
	if card.ChildText(xmpp.NSVCard, "FN") != "The Bot" ||
		strings.Join(strings.Fields(card.Child(xmpp.NSVCard, "PHOTO").ChildText(xmpp.NSVCard, "BINVAL")), "") != base64.StdEncoding.EncodeToString(picture.Bytes()) {
		t.Errorf("its card: %s", card)
	}
}

// Who wants to see the bot does, and is asked in return once, not for ever.
func TestSubscription(t *testing.T) {
	b := start(t)
	p := people.Join(t, b.server)
	presence := func(kind string) {
		t.Helper()
		p.Next(t, func(e *xmpp.Element) bool {
			return e.Name == "presence" && e.From().Bare().String() == b.Username && e.Attr("type") == kind
		})
	}
	p.Send(t, xmpp.New(xmpp.NSClient, "presence").Set("type", "subscribe").Set("to", b.Username))
	presence("subscribed")
	presence("subscribe")
	r, err := b.current.Get(within(t))
	if err != nil {
		t.Fatal(err)
	}
	j, _ := xmpp.ParseJID(p.JID)
	testutil.Eventually(t, "both see each other", func() bool {
		r.presence.mu.Lock()
		defer r.presence.mu.Unlock()
		return r.presence.roster[j].subscription == "both"
	})
	p.Send(t, xmpp.New(xmpp.NSClient, "presence").Set("type", "unsubscribe").Set("to", b.Username))
	testutil.Eventually(t, "nobody sees anybody", func() bool {
		r.presence.mu.Lock()
		defer r.presence.mu.Unlock()
		c := r.presence.roster[j]
		return c.subscription == "none" || c.subscription == ""
	})
}

// A roster of ten thousand people is read, and none of them is written to.
func TestLargeRoster(t *testing.T) {
	b := start(t)
	b.stop()
	var roster strings.Builder
	roster.WriteString("return {\n")
	for i := range 10_000 {
		fmt.Fprintf(&roster, "[\"person%d@nowhere.test\"] = { subscription = \"to\"; groups = {}; };\n", i)
	}
	roster.WriteString("[false] = { version = 1; };\n};\n")
	b.server.Roster(t, b.Username, roster.String())
	b.run()
	r, err := b.current.Get(within(t))
	if err != nil {
		t.Fatal(err)
	}
	r.presence.mu.Lock()
	defer r.presence.mu.Unlock()
	if n := len(r.presence.roster); n != 10_000 {
		t.Errorf("%d people in the roster", n)
	}
}
