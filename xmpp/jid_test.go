package xmpp

import (
	"strings"
	"testing"
)

func TestParseJID(t *testing.T) {
	for text, want := range map[string]string{
		"Anna@Example.ORG/Home":        "anna@example.org/Home",
		"example.org":                  "example.org",
		"ANNA@bücher.example.":         "anna@bücher.example",
		"a@xn--bcher-kva.example":      "a@bücher.example",
		"a@b/c/d@e":                    "a@b/c/d@e",
		"+27831234567@sms.example.org": "+27831234567@sms.example.org",
		"a@[::1]":                      "a@[::1]",
		"@example.org":                 "",
		"a@":                           "",
		"a b@example.org":              "",
		"a@b@c":                        "",
		"a@exa mple.org":               "",
		"a@b/":                         "",
		"":                             "",
		"a&b@example.org":              "",
		strings.Repeat("a", 1024) + "@example.org": "",
	} {
		j, err := ParseJID(text)
		if (err == nil) != (want != "") || err == nil && j.String() != want {
			t.Errorf("%.60q is %q, %v, want %q", text, j, err, want)
		}
	}
}

// XEP-0106 §5's own examples, and that every text comes back.
func TestEscapeLocal(t *testing.T) {
	for text, want := range map[string]string{
		"space cadet": `space\20cadet`, `call me "ishmael"`: `call\20me\20\22ishmael\22`, "at&t guy": `at\26t\20guy`,
		"d'artagnan": `d\27artagnan`, "/.fanboy": `\2f.fanboy`, "::foo::": `\3a\3afoo\3a\3a`, "<foo>": `\3cfoo\3e`, "user@host": `user\40host`,
		`c:\net`: `c\3a\net`, `c:\\net`: `c\3a\\net`, `c:\cool stuff`: `c\3a\cool\20stuff`, `c:\5commas`: `c\3a\5c5commas`,
	} {
		if got := EscapeLocal(text); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
		if back := UnescapeLocal(EscapeLocal(text)); back != text {
			t.Errorf("%s came back as %s", text, back)
		}
	}
}

func FuzzJID(f *testing.F) {
	for _, text := range []string{"Anna@Example.org/Home", `a\20b@c`, "ſ@ß.example/\u00a0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		j, err := ParseJID(text)
		if err != nil {
			return
		}
		again, err := ParseJID(j.String())
		if err != nil || again != j {
			t.Errorf("%q is %q, and that is %q, %v", text, j, again, err)
		}
	})
}

func FuzzEscapeLocal(f *testing.F) {
	f.Add(`c:\5commas \\20`)
	f.Fuzz(func(t *testing.T, text string) {
		escaped := EscapeLocal(text)
		if strings.ContainsAny(escaped, forbidden+" ") || UnescapeLocal(escaped) != text {
			t.Errorf("%q is %q and comes back as %q", text, escaped, UnescapeLocal(escaped))
		}
	})
}

// What is read and written again says the same; nothing panics.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"<message to='a@b' xml:lang='en'><body>x &amp; y</body><x xmlns='jabber:x:oob'><url>u</url></x></message>",
		"<iq/>", "<a:b xmlns:a='c'/>", "<message>\r\n</message>", "<!DOCTYPE a>", "<m a='\"'/>",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Parse(text)
		if err != nil {
			return
		}
		written := e.String()
		again, err := Parse(written)
		if err == nil && again.String() != written { // names as 0 are read behind a prefix only
			t.Errorf("%q is written as %q, which is %v, %v", text, written, again, err)
		}
	})
}

// A sender is who they are, also where their resource cannot be prepared.
func TestSenders(t *testing.T) {
	for from, want := range map[string]JID{
		"Anna@example.org/phone":                    {"anna", "example.org", "phone"},
		"Room@example.org/👩\u200d💻":                 {"room", "example.org", "👩\u200d💻"},
		"anna@chat_server.lan/x":                    {},
		"a@b/\u200d" + strings.Repeat("x", maxPart): {},
		"": {},
	} {
		if got := New(NSClient, "message").Set("from", from).From(); got != want {
			t.Errorf("%.50q is %.50q, want %q", from, got, want)
		}
	}
}
