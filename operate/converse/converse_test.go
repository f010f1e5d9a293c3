package converse_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"switchboard/applications"
	"switchboard/fleet"
	"switchboard/internal/webclient"
	"switchboard/message"
	"switchboard/operate/converse"
	"switchboard/options"
)

// mime does a little of everything that a conversation can see.
type mime struct {
	env applications.Env
}

func (a *mime) Provision(_ context.Context, env applications.Env) error {
	a.env = env
	return nil
}

func (a *mime) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	switch m.Content {
	case "fail":
		return nil, errors.New("no more")
	case "time":
		return []*message.Message{m.Reply(a.env.Now().Format(time.TimeOnly)), m.Reply(string(m.SessionEvent))}, nil
	case "bye":
		return []*message.Message{m.Reply("bye", message.EndSession)}, nil
	case "web":
		answer, err := webclient.New(webclient.Settings{Transport: a.env.HTTP}).Do(ctx, "GET", "http://example.org/x", nil, nil)
		return []*message.Message{m.Reply(string(answer.Body))}, err
	case "tell":
		other := m.Reply("psst")
		other.To = "+2"
		return []*message.Message{other}, nil
	}
	return nil, nil
}

func had(t *testing.T, yaml string) (converse.Report, error) {
	t.Helper()
	classes := fleet.Classes{Applications: map[string]fleet.Class[applications.Application]{
		"mime": {New: func() applications.Application { return &mime{} }},
	}}
	path := filepath.Join(t.TempDir(), "app.yaml")
	if err := os.WriteFile(path, []byte("application_class: mime\ntransport_name: app\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	defs, err := classes.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := options.Parse("x_test.yaml", []byte(yaml), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	var c converse.Conversation
	if err := errors.Join(doc.Into(&c), doc.Rest()); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		return converse.Report{}, err
	}
	return c.Run(t.Context(), classes, defs)
}

func TestConversation(t *testing.T) {
	report, err := had(t, `
session: true
at: 2026-11-27T16:50:00+02:00
http: {http://example.org/x: answer}
talk:
  - {says: time, expects: ["14:50:00", new]}
  - {waits: 1h}
  - {says: time, expects: ["15:50:00", resume], contains: 15, ends: false}
  - {says: bye, ends: true}
  - {says: time, expects: ["15:50:00", new]}
  - {hangs_up: true}
  - {says: time, expects: ["15:50:00", new]}
  - {says: web, expects: answer}
  - {says: tell, expects: [], others: {"+2": psst}}
  - {says: fail, fails: no more}
`)
	if err != nil || len(report.Problems) != 0 {
		t.Errorf("got %+v, %v\n%s", report.Problems, err, strings.Join(report.Talk, "\n"))
	}
	if !slices.Contains(report.Talk, "+12025550101 hears: bye (the session ends)") {
		t.Errorf("it went\n%s", strings.Join(report.Talk, "\n"))
	}
}

// Each expectation can fail.
func TestProblems(t *testing.T) {
	for turn, want := range map[string]string{
		"says: bye\n    expects: hello":            "expects hello bye",
		"says: bye\n    contains: [b, el]":         "contains el bye",
		"says: bye\n    ends: false":               "ends false true",
		"says: bye\n    fails: no":                 "fails no ",
		"says: fail":                               "fails  no more",
		"says: web":                                "fails  asking example.org: the conversation has no answer",
		"says: tell\n    others: {\"+2\": louder}": "others.+2 louder psst",
		"says: bye\n    others: {\"+2\": psst}":    "others.+2 psst ",
	} {
		report, err := had(t, "talk:\n  - "+turn+"\n")
		if err != nil || len(report.Problems) != 1 {
			t.Errorf("%s: got %+v, %v", turn, report, err)
			continue
		}
		p := report.Problems[0]
		if got := p.What + " " + p.Want + " " + p.Got; !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", turn, got, want)
		}
	}
}

func TestBadConversations(t *testing.T) {
	for yaml, want := range map[string]string{
		"talk: []":                                  "talk: must be a list of 1",
		"talk: [{}]":                                "talk.0: must have one of",
		"talk: [{says: x, waits: 1s}]":              "talk.0: must have one of",
		"talk: [{waits: 1s, expects: x}]":           "talk.0: has something to expect of waits",
		"talk: [{waits: -1s}]":                      "talk.0: waits must not be negative",
		"application: aap\ntalk: [{says: x}]":       `did you mean "app"?`,
		"application: elsewhere\ntalk: [{says: x}]": `names no application: "elsewhere"`,
	} {
		if _, err := had(t, yaml); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", yaml, err, want)
		}
	}
}
