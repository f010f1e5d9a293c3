package explain_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"switchboard/applications"
	"switchboard/dispatcher"
	"switchboard/fleet"
	"switchboard/message"
	"switchboard/middleware"
	"switchboard/operate/explain"
	"switchboard/routers"
	"switchboard/routers/rules"
	"switchboard/transports"
	"switchboard/worker"
)

// idle is a transport and an application that does nothing.
type idle struct{}

func (idle) Run(context.Context, transports.Publisher) error        { return nil }
func (idle) Send(context.Context, *message.Message) (string, error) { return "", nil }

func (idle) Receive(context.Context, *message.Message) ([]*message.Message, error) { return nil, nil }

func classes() fleet.Classes {
	return fleet.Classes{
		Routers: map[string]fleet.Class[dispatcher.Router]{
			"simple":          {New: func() dispatcher.Router { return routers.NewSimple() }},
			"content_keyword": {New: func() dispatcher.Router { return routers.NewContentKeyword() }},
			"load_balancing":  {New: func() dispatcher.Router { return routers.NewLoadBalancing() }},
			"rules":           {New: func() dispatcher.Router { return rules.New() }},
			"user_grouping":   {New: func() dispatcher.Router { return routers.NewUserGrouping() }},
		},
		Transports: map[string]fleet.Class[transports.Transport]{"line": {New: func() transports.Transport { return &idle{} }}},
		Applications: map[string]fleet.Class[applications.Application]{
			"answer": {New: func() applications.Application { return &idle{} }},
		},
		Middleware: map[string]fleet.Class[worker.Middleware]{
			"provider": {New: func() worker.Middleware { return middleware.NewStaticProvider() }},
		},
	}
}

// chained is a fleet of two dispatchers, one behind the other: the first joins
// two transports, the second chooses by keyword.
var chained = map[string]string{
	"za.yaml": "transport_class: line\ntransport_name: smpp_za\n",
	"ke.yaml": "transport_class: line\ntransport_name: smpp_ke\n",
	"pool.yaml": `router_class: load_balancing
transport_names: [smpp_za, smpp_ke]
exposed_names: [sms]
middleware:
  - network: provider
network: {provider: mtn}
`,
	"words.yaml": `router_class: content_keyword
transport_names: [sms]
exposed_names: [joiner, helpdesk]
rules:
  - {app: joiner, keyword: join, to_addr: "12345"}
fallback_application: helpdesk
transport_mappings: {"12345": sms}
`,
	"joiner.yaml": "application_class: answer\ntransport_name: joiner\n",
}

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t *testing.T, dir string) *explain.Fleet {
	t.Helper()
	defs, err := classes().Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := explain.New(t.Context(), classes(), defs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func text(t *testing.T, f *explain.Fleet, dir string, q explain.Question) string {
	t.Helper()
	answer, err := f.Ask(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(answer.Text(), dir+"/", "")
}

func TestTheWayThroughTwoDispatchers(t *testing.T) {
	dir := write(t, chained)
	got := text(t, open(t, dir), dir, explain.Question{Transport: "smpp_za", From: "+27831234567", To: "12345", Content: "JOIN x"})
	want := `A message from a person on smpp_za
→ dispatcher pool (load_balancing), pool.yaml, from smpp_za.inbound
  rewrites provider null → "mtn"
  by exposed_names (pool.yaml:3)
  rewrites helper_metadata.load_balancer.transport_names = ["smpp_za"]
  rewrites transport_name "smpp_za" → "sms"
  → dispatcher words (content_keyword), words.yaml, from sms.inbound
    by rules.0 (words.yaml:5)
    → application joiner (answer), joiner.yaml, from joiner.inbound

A reply from joiner
→ dispatcher words (content_keyword), words.yaml, from joiner.outbound
  by transport_mappings.12345 (words.yaml:7)
  → dispatcher pool (load_balancing), pool.yaml, from sms.outbound
    by reply_affinity
    rewrites helper_metadata.load_balancer.transport_names ["smpp_za"] → []
    rewrites transport_name "sms" → "smpp_za"
    → transport za (line), za.yaml, from smpp_za.outbound

An event from smpp_za about what it sent
→ dispatcher pool (load_balancing), pool.yaml, from smpp_za.event
  by the return path the message carries
  rewrites transport_name "smpp_za" → "sms"
  → dispatcher words (content_keyword), words.yaml, from sms.event
    by the return path the message carries
    → application joiner (answer), joiner.yaml, from joiner.event
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWhatNobodyTakesAndWhatHasNoWay(t *testing.T) {
	dir := write(t, chained)
	f := open(t, dir)
	if got := text(t, f, dir, explain.Question{Transport: "smpp_za", Content: "what?"}); !strings.Contains(got, "→ helpdesk.inbound, which nobody of these files takes from") {
		t.Errorf("%s", got)
	}
	got := text(t, f, dir, explain.Question{Application: "joiner", From: "999", To: "+27831234567"})
	if !strings.Contains(got, "DEAD-LETTERS IT") || !strings.Contains(got, `transport_mappings has no transport for its from_addr "999"`) {
		t.Errorf("%s", got)
	}
	answer, err := f.Ask(t.Context(), explain.Question{Application: "joiner", From: "999", To: "+27831234567"})
	if err != nil || !errors.Is(answer.Stuck(), explain.ErrStuck) {
		t.Errorf("%v, %v", err, answer.Stuck())
	}
}

func TestEventsOfWhatAnApplicationSent(t *testing.T) {
	dir := write(t, chained)
	f := open(t, dir)
	if err := f.Down("smpp_ke"); err != nil {
		t.Fatal(err)
	}
	got := text(t, f, dir, explain.Question{Flow: message.EventFlow, Transport: "smpp_za", Application: "joiner", From: "12345", To: "+27831234567"})
	if !strings.Contains(got, "→ application joiner (answer), joiner.yaml, from joiner.event") {
		t.Errorf("%s", got)
	}
}

func TestQuestionsThatCannotBeAsked(t *testing.T) {
	f := open(t, write(t, chained))
	for want, q := range map[string]explain.Question{
		"transport: is missing; write one of smpp_ke, smpp_za":                                {},
		`transport: nobody here takes anything from "smpp_zw"; did you mean "smpp_za"?`:       {Transport: "smpp_zw"},
		`application: nobody here takes messages out from "x"; write one of joiner, helpdesk`: {Application: "x"},
		"flow: is \"sideways\"; write inbound, outbound or event":                             {Flow: "sideways"},
		"session: is \"half\"; write new, resume or close, or leave it out":                   {Transport: "smpp_za", Session: "half"},
		"application: is missing; an outbound message comes from an application":              {Flow: message.Outbound},
	} {
		if _, err := f.Ask(t.Context(), q); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", q, err, want)
		}
	}
}

func TestTheTimeCanBeChosen(t *testing.T) {
	dir := write(t, map[string]string{"night.yaml": `router_class: rules
transport_names: [sms]
exposed_names: [desk, machine]
rules:
  - {when: 'inbound and during("mon-fri 08:00-17:00", "Africa/Johannesburg")', to: desk}
  - {when: inbound, to: machine}
`})
	f := open(t, dir)
	for at, want := range map[string]string{
		"2026-11-23T09:00:00+02:00": "desk", "2026-11-23T07:59:59Z": "desk", "2026-11-23T17:30:00+02:00": "machine", "2026-11-22T09:00:00+02:00": "machine",
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		f.At(when)
		if got := text(t, f, dir, explain.Question{}); !strings.Contains(got, "→ "+want+".inbound") {
			t.Errorf("%s: %s", at, got)
		}
	}
}
