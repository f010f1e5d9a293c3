package keyword_test

import (
	"fmt"
	"strings"
	"testing"

	"switchboard/applications/applicationtest"
	"switchboard/applications/keyword"
)

const file = `
keywords:
  hours, open: From 9 to 5.
  stop it: {reply: "{word}, then. {rest}", end: true}
  stop: No more.
  {}call: {send: {to: "{rest}", from: "99", endpoint: out, text: "call {from}"}}
otherwise: "{keywords}?"
`

func TestTalks(t *testing.T) {
	app := keyword.New()
	if err := applicationtest.Configure(app, strings.Replace(file, "{}", "", 1)); err != nil {
		t.Fatal(err)
	}
	w := applicationtest.Start(t, app)
	w.Talk("+27831234567",
		"hours", "From 9 to 5.",
		" OPEN! today", "From 9 to 5.",
		"stop", "No more.",
		"Stop it  now please", "stop it, then. now please",
		"stopping", "hours, stop it, stop, call?",
		"", "hours, stop it, stop, call?")
	call := w.Receive(applicationtest.From("+27831234567", "call +2782"))
	if len(call) != 1 || call[0].To != "+2782" || call[0].From != "99" || call[0].Endpoint() != "out" || call[0].Content != "call +27831234567" || call[0].InReplyTo != "" {
		t.Errorf("it sent %v", applicationtest.Texts(call))
	}
}

func TestBadFiles(t *testing.T) {
	for yaml, want := range map[string]string{
		"":                                   "keywords: is missing",
		"keywords: {a: b, A: c}":             `a is a keyword of "a" too`,
		"keywords: {a: '{frm}'}":             `nothing is called {frm} here; did you mean "from"?`,
		"keywords: {a: 'x {from'}":           "a { has no }",
		"keywords: {a: {repply: x}}":         `unknown key "repply" in keywords.a; did you mean "reply"?`,
		"keywords: {a: {end: true}}":         "does nothing",
		"keywords: {a: {send: {text: x}}}":   "to is missing",
		"keywords: {a: b}\notherwise: '{x}'": "otherwise.reply: nothing is called {x}",
	} {
		if err := applicationtest.Configure(keyword.New(), yaml); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gave %v, not %s", yaml, err, want)
		}
	}
	app := keyword.New()
	if err := applicationtest.Configure(app, "keywords: {a: b}"); err != nil || !strings.Contains(fmt.Sprint(app.Lint()), "otherwise") {
		t.Errorf("got %v, %v", err, app.Lint())
	}
}
