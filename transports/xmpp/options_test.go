package xmpp

import (
	"strings"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/options"
)

// load decodes YAML over a transport's defaults, as the fleet does.
func load(t *testing.T, text string) (*Transport, []string, error) {
	t.Helper()
	doc, err := options.Parse("xmpp.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	tr := New()
	if err := doc.Into(tr); err != nil {
		return nil, nil, err
	}
	if err := doc.Rest(); err != nil {
		return nil, nil, err
	}
	return tr, doc.Warnings(), doc.Locate(tr.Validate())
}

func TestVumiOptions(t *testing.T) {
	tr, warnings, err := load(t, `
transport_name: xmpp_transport
host: chat.example.org
port: 5223
username: Bot@Example.org
password: secret
status: away
status_message: back soon
ping_interval: 61
presence_interval: 62
debug: true
`)
	if err != nil {
		t.Fatal(err)
	}
	set := tr.settings()
	if set.JID.String() != "bot@example.org" || set.Password != "secret" || set.Address != "chat.example.org:5223" || set.Secret != "" ||
		set.PingInterval != 61*time.Second || tr.PresenceInterval.Std() != 62*time.Second || tr.Status != "away" || tr.StatusMessage != "back soon" {
		t.Errorf("%+v", set)
	}
	if len(warnings) != 2 || !strings.Contains(strings.Join(warnings, "\n"), "debug is ignored") {
		t.Errorf("warnings: %q", warnings) // the other is the password in clear
	}
}

func TestWrongOptions(t *testing.T) {
	const account = "username: bot@example.org\npassword: x\n"
	for text, want := range map[string]string{
		"password: x":                                                             "username: must be given",
		"username: example.org\npassword: x":                                      `username: is "example.org"`,
		"username: bot@example.org":                                               "password: must be given",
		account + "component: sms.example.org":                                    "two ways in",
		"component: a@sms.example.org\npassword: x":                               "write a domain",
		"component: sms.example.org\npassword: x":                                 "host: must be given",
		"component: sms.example.org\npassword: x\nhost: localhost\ntls: starttls": "components have not",
		"component: sms.example.org\npassword: x\nhost: localhost\nrooms: [help@rooms.example.org]": "rooms: are for accounts",
		account + "port: 5222":            "stands without host",
		account + "status: busy":          "write away, chat, dnd, xa",
		account + "tls: maybe":            "write starttls, direct, none",
		account + "window: 0":             "between 1 and",
		account + "rooms: [nowhere]":      `"nowhere" is no room`,
		account + "unknown_policy: shrug": "write wait, resend, fail",
		account + "max_stanza_bytes: 100": "max_stanza_bytes: must be between",
		account + "ping_interval: 0":      "ping_interval: must be above 0",
		account + "room: x@y":             `did you mean "rooms"`,
	} {
		if _, _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// A component's secret and messages are in clear on their way to another machine.
func TestLint(t *testing.T) {
	for host, warns := range map[string]bool{"127.0.0.1": false, "localhost": false, "::1": false, "10.0.0.7": true, "chat.example.org": true} {
		tr, _, err := load(t, "component: sms.example.org\npassword: x\nhost: '"+host+"'")
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Lint(); (err != nil) != warns {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestLoopsForgetAfterAMinute(t *testing.T) {
	l := newLoops(2)
	m := message.New()
	m.To, m.Content, m.InReplyTo = "a@b", "hello", "q"
	for i := range 3 {
		if err := l.check(m); (err != nil) != (i == 2) {
			t.Errorf("reply %d: %v", i+1, err)
		}
	}
	for _, r := range l.list.Values() {
		r.since = r.since.Add(-2 * time.Minute)
	}
	if err := l.check(m); err != nil {
		t.Error(err)
	}
}
