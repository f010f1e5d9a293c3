package rules

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
)

var names = dispatcher.Names{Transports: []string{"smpp", "xmpp", "spare"}, Exposed: []string{"app", "jokes", "log"}}

func load(t testing.TB, text string) (*Router, error) {
	t.Helper()
	doc, err := options.Parse("w.yaml", []byte(text), nil)
	if err != nil {
		return nil, err
	}
	r := New()
	if err := doc.Into(r); err != nil {
		return nil, err
	}
	if err := doc.Rest(); err != nil {
		return nil, err
	}
	if err := doc.Locate(r.Validate()); err != nil {
		return nil, err
	}
	if err := doc.Locate(r.Check(names)); err != nil {
		return nil, err
	}
	return r, worker.Provision(t.Context(), r, worker.Env{Name: "join", Logger: slog.New(slog.DiscardHandler)})
}

func mustLoad(t testing.TB, text string) *Router {
	t.Helper()
	r, err := load(t, text)
	if err != nil {
		t.Fatalf("loading rules: %v", err)
	}
	return r
}

// in is an inbound message on smpp, changed by edit.
func in(content string, edit ...func(*message.Message)) dispatcher.Arrival {
	m := message.New()
	m.From, m.To, m.Content, m.TransportName, m.TransportType = "+27831234567", "12345", content, "smpp", "sms"
	for _, e := range edit {
		e(m)
	}
	return dispatcher.Arrival{Flow: message.Inbound, Connector: "smpp", Message: m}
}

func out(transport string, edit ...func(*message.Message)) dispatcher.Arrival {
	a := in("hi", edit...)
	a.Flow, a.Connector, a.Message.TransportName = message.Outbound, "app", transport
	a.Message.From, a.Message.To = a.Message.To, a.Message.From
	return a
}

func ack() dispatcher.Arrival {
	e := message.NewAck(in("hi").Message, "1")
	return dispatcher.Arrival{Flow: message.EventFlow, Connector: "smpp", Event: e}
}

func went(targets []dispatcher.Target) string {
	var list []string
	for _, t := range targets {
		name := t.Connector
		if t.Flow != "" {
			name += "." + string(t.Flow)
		}
		list = append(list, name)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func route(t testing.TB, r *Router, a dispatcher.Arrival) []dispatcher.Target {
	t.Helper()
	targets, err := r.Route(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	return targets
}

const rulesOfAll = `
timezone: Africa/Johannesburg
rules:
  - name: spam
    when: inbound and content contains "lottery"
    discard: spam
  - when: inbound and connector == "xmpp" and session == "close"
    reply: '="Bye, " + from'
    end_session: true
  - when: inbound
    to: log
    continue: true
  - name: joke
    when: inbound and word == "joke" and country(from) == "ZA"
    to: jokes
  - when: outbound and to startsWith "+27"
    first_healthy: [smpp, spare]
  - when: outbound
    to: =transport_name
  - when: event
    to: app
default: {to: app}
`

func TestRoutes(t *testing.T) {
	r := mustLoad(t, rulesOfAll)
	for name, c := range map[string]struct {
		arrival   dispatcher.Arrival
		want, why string
	}{
		"first match":     {in("Joke please"), "jokes log", "rules.3"},
		"another country": {in("joke", func(m *message.Message) { m.From = "+447911123456" }), "log", ""},
		"continue alone":  {in("hi"), "log", "rules.2"},
		"failover":        {out("xmpp"), "smpp", "rules.4"},
		"by expression":   {out("xmpp", func(m *message.Message) { m.From = "+4479" }), "xmpp", "rules.5"},
		"event":           {ack(), "app", "rules.6"},
	} {
		t.Run(name, func(t *testing.T) {
			targets := route(t, r, c.arrival)
			if got := went(targets); got != c.want {
				t.Fatalf("went to %q, want %q", got, c.want)
			}
			if last := targets[len(targets)-1]; c.why != "" && last.Rule != c.why {
				t.Errorf("because of %s, want %s", last.Rule, c.why)
			}
		})
	}
}

func TestDiscards(t *testing.T) {
	_, err := mustLoad(t, rulesOfAll).Route(t.Context(), in("win the lottery"))
	if reason, ok := message.DiscardReason(err); !ok || reason != "spam" {
		t.Errorf("got %v", err)
	}
}

func TestReplies(t *testing.T) {
	r := mustLoad(t, rulesOfAll)
	a := in("", func(m *message.Message) { m.SessionEvent = message.SessionClose })
	a.Connector = "xmpp"
	targets := route(t, r, a)
	if got := went(targets); got != "xmpp.outbound" {
		t.Fatalf("went to %s", got)
	}
	m := targets[0].Envelope.Message
	if m.Content != "Bye, +27831234567" || m.To != a.Message.From || m.SessionEvent != message.SessionClose || m.InReplyTo != a.Message.ID {
		t.Errorf("replied %+v", m)
	}
	again := route(t, r, a)[0].Envelope.Message
	if again.ID != m.ID {
		t.Error("a second handling makes another message_id, so it would be sent twice")
	}
}

func TestChanges(t *testing.T) {
	r := mustLoad(t, `
rules:
  - when: inbound
    translate:
      to_addr: {"12345": "+2712345"}
    set: {provider: mtn}
    continue: true
  - when: provider == "mtn" and to == "+2712345" and word == "hi"
    set:
      content: '=upper(content) + "!"'
      transport_name: app
      group: ==x
    endpoint: billing
    to: [app, log]
`)
	a := in("hi there")
	targets := route(t, r, a)
	if got := went(targets); got != "app log" {
		t.Fatalf("went to %s", got)
	}
	if targets[0].Envelope == targets[1].Envelope {
		t.Error("two targets share one envelope")
	}
	for _, target := range targets {
		m := target.Envelope.Message
		if m.Content != "HI THERE!" || m.TransportName != "app" || m.Endpoint() != "billing" || m.To != "+2712345" || m.Group != "=x" {
			t.Errorf("sent %+v", m)
		}
	}
	if a.Message.To != "12345" || a.Message.Content != "hi there" || a.Message.Endpoint() != "default" {
		t.Errorf("the arrival itself was changed: %+v", a.Message)
	}
}

// Each target keeps the message as it was when its rule sent it.
func TestChangesComeAfterEarlierTargets(t *testing.T) {
	r := mustLoad(t, `
rules:
  - {set: {content: one}, to: log, continue: true}
  - {set: {content: two}, to: app}
`)
	var contents []string
	for _, target := range route(t, r, in("zero")) {
		contents = append(contents, target.Connector+" "+target.Envelope.Message.Content)
	}
	if got := strings.Join(contents, ", "); got != "log one, app two" {
		t.Errorf("sent %s", got)
	}
}

// A rule that fails fails its message, says which it is, and harms no other.
func TestRuntimeErrors(t *testing.T) {
	r := mustLoad(t, `
rules:
  - name: adults
    when: inbound and int(content) >= 18
    to: app
  - when: inbound and word == "x"
    to: log
  - when: outbound and reply
    reply: no
  - when: outbound
    to: '=lower(content)'
  - when: event and event_type == "ack"
    to: [app, log]
  - when: event
    to: smpp
default: {to: log}
`)
	if got := went(route(t, r, in("20"))); got != "app" {
		t.Errorf("20 went to %s", got)
	}
	if got := went(route(t, r, in("7"))); got != "log" {
		t.Errorf("7 went to %s", got)
	}
	nack := ack()
	nack.Event = message.NewNack(in("hi").Message, "no")
	for name, c := range map[string]struct {
		arrival dispatcher.Arrival
		err     string
	}{
		"an expression":     {in("many"), `rules.0 "adults": when: `},
		"null":              {in(""), `rules.0 "adults": when: `},
		"no such target":    {out("smpp"), `rules.3: to: =lower(content) gives "hi", which is none of the dispatcher's connectors`},
		"a reply outwards":  {out("smpp", func(m *message.Message) { m.InReplyTo = "1" }), "only inbound messages can be replied to"},
		"event for several": {ack(), "an event has one"},
		"event outwards":    {nack, "transports take no events"},
	} {
		t.Run(name, func(t *testing.T) {
			targets, err := r.Route(t.Context(), c.arrival)
			if err == nil || !message.IsPermanent(err) || !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v, %v\nwant a permanent error with %s", targets, err, c.err)
			}
		})
	}
}

func TestNothingMatches(t *testing.T) {
	r := mustLoad(t, `rules: [{when: inbound and word == "a", to: app}]`)
	for _, a := range []dispatcher.Arrival{in("b"), out("smpp"), ack()} {
		if targets, err := r.Route(t.Context(), a); err == nil || !message.IsPermanent(err) {
			t.Errorf("%s: got %v, %v", a.Flow, targets, err)
		}
	}
	astray := mustLoad(t, `default: {to: app}`)
	if targets, err := astray.Route(t.Context(), out("smpp")); err == nil || !strings.Contains(err.Error(), "applications take no outbound messages") {
		t.Errorf("got %v, %v", targets, err)
	}
}

func TestRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, err string }{
		"nothing":             {"", "rules: is missing"},
		"an unknown name":     {"rules:\n  - to: app\n    when: inbound and wrd == \"a\"", `w.yaml:3: rules.0.when: unknown name wrd at character 13; did you mean "word"?`},
		"a type":              {`rules: [{when: inbound and word, to: app}]`, "rules.0.when: "},
		"no condition":        {`rules: [{when: word, to: app}]`, "expected bool, but got string"},
		"syntax":              {`rules: [{when: inbound and, to: app}]`, "rules.0.when: unexpected token"},
		"a pattern":           {`rules: [{when: from matches "(", to: app}]`, "rules.0.when: "},
		"a computed pattern":  {`rules: [{when: from matches content, to: app}]`, "must be written out"},
		"a loop":              {`rules: [{when: "all(1..1000000, true)", to: app}]`, "rules.0.when: "},
		"a range":             {`rules: [{when: 5 in 1..1000000000, to: app}]`, "ranges are not allowed"},
		"a variable":          {`rules: [{when: "let x = content + content; x == content", to: app}]`, "variables are not allowed"},
		"repetition":          {`rules: [{when: 'repeat(content, 1000000) == "a"', to: app}]`, "unknown name repeat"},
		"size":                {`rules: [{when: ` + strings.Repeat("inbound or ", 400) + `inbound, to: app}]`, "exceeds"},
		"an unknown target":   {`rules: [{to: ap}]`, `rules.0.to.ap: "ap" is none of the dispatcher's connectors; did you mean "app"?`},
		"an unknown spare":    {`rules: [{first_healthy: [smpp, spar]}]`, `did you mean "spare"?`},
		"an unknown balance":  {`rules: [{balance: {smp: 1}}]`, `did you mean "smpp"?`},
		"an unknown health":   {`rules: [{when: up("smp"), to: app}]`, `asks for the health of "smp"`},
		"a computed health":   {`rules: [{when: up(connector), to: app}]`, "must be written out"},
		"no weight":           {`rules: [{balance: {smpp: 0}}]`, "all weights are 0"},
		"two ways":            {`rules: [{to: app, first_healthy: [smpp]}]`, "more than one of"},
		"no action":           {`rules: [{when: inbound}]`, "does nothing"},
		"a change alone":      {`rules: [{set: {content: a}}]`, "leads nowhere"},
		"a discard and more":  {`rules: [{discard: spam, to: app}]`, "discards the message, and says what to do with it"},
		"a field":             {`rules: [{set: {from: a}, to: app}]`, "from is no field that can be set"},
		"a translated field":  {`rules: [{translate: {content: {a: b}}, to: app}]`, "cannot be translated"},
		"an unknown key":      {`rules: [{too: app}]`, `unknown key "too" in rules.0; did you mean "to"?`},
		"a share":             {`rules: [{when: share(120), to: app}]`, "between 0 and 100"},
		"a schedule":          {`rules: [{when: 'during("monday")', to: app}]`, `"monday" is no day`},
		"a zone":              {`rules: [{when: 'during("mon", "Mars")', to: app}]`, `"Mars" is no time zone`},
		"the zone":            {"timezone: Mars\nrules: [{to: app}]", `timezone: "Mars" is no time zone`},
		"below all":           {"rules:\n- to: app\n- {when: inbound, to: log}", "w.yaml:3: rules.1: can never match"},
		"the same again":      {`rules: [{when: inbound, to: app}, {when: "inbound ", to: log}]`, "rules.1: can never match"},
		"a default's when":    {`default: {when: inbound, to: app}`, "it has no name, when or continue"},
		"sticky alone":        {`rules: [{sticky: true, to: app}]`, "sticky without balance"},
		"an ending alone":     {`rules: [{end_session: true, to: app}]`, "end_session without reply"},
		"an expression as to": {`rules: [{to: "=nam"}]`, "unknown name nam"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.text)
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v\nwant an error with %s", err, c.err)
			}
		})
	}
}

// Of an event whose application is known, rules that speak of events may change
// the transport_name, or discard it; where it goes is settled.
func TestReturn(t *testing.T) {
	r := mustLoad(t, `
rules:
  - {set: {transport_name: nobody}, endpoint: x, to: app, when: content == ""}
  - {when: event and event_type == "nack", discard: enough}
  - {when: flow == "event", set: {transport_name: '=connector + "_muxed"'}, to: log}
`)
	target, err := r.Return(t.Context(), ack(), "jokes")
	if err != nil || target.Connector != "jokes" || target.Envelope.TransportName() != "smpp_muxed" || target.Envelope.Event.Endpoint() != "default" {
		t.Errorf("got %+v, %v", target, err)
	}
	nack := ack()
	nack.Event = message.NewNack(in("hi").Message, "no")
	if _, err := r.Return(t.Context(), nack, "jokes"); err == nil || message.IsPermanent(err) {
		t.Errorf("got %v, want it dropped", err)
	}
	plain := mustLoad(t, `rules: [{set: {transport_name: nobody}, to: app}]`)
	if target, err := plain.Return(t.Context(), ack(), "jokes"); err != nil || target.Envelope != nil {
		t.Errorf("a rule that does not speak of events changed one: %+v, %v", target, err)
	}
}
