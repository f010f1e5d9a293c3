package routers

import (
	"strings"
	"testing"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/worker"
)

func TestSimple(t *testing.T) {
	r := mustLoad(t, NewSimple(), names, worker.Env{}, `
route_mappings:
  smpp: app
  xmpp: [app, other]
transport_mappings:
  old: smpp
`)
	checkAll(t, r, []routed{
		{name: "inbound to one", arrival: userMessage(message.Inbound, "smpp", "smpp", "hi"), want: "app"},
		{name: "inbound to several", arrival: userMessage(message.Inbound, "xmpp", "xmpp", "hi"), want: "app other"},
		{name: "inbound by the message's transport", arrival: userMessage(message.Inbound, "smpp", "xmpp", "hi"), want: "app other"},
		{name: "inbound by the connector", arrival: userMessage(message.Inbound, "smpp", "far", "hi"), want: "app"},
		{name: "inbound unmapped", arrival: userMessage(message.Inbound, "far", "far", "hi"), err: "route_mappings has no far"},
		{name: "event of one application", arrival: event("smpp", "smpp"), want: "app"},
		{name: "event of several applications", arrival: event("xmpp", "xmpp"), err: "it can be any of app, other"},
		{name: "outbound", arrival: userMessage(message.Outbound, "app", "xmpp", "hi"), want: "xmpp"},
		{name: "outbound mapped", arrival: userMessage(message.Outbound, "app", "old", "hi"), want: "smpp"},
		{name: "outbound unknown", arrival: userMessage(message.Outbound, "app", "smmp", "hi"), err: `"smmp" is none of transport_names; did you mean "smpp"?`},
		{name: "outbound without a transport", arrival: userMessage(message.Outbound, "app", "", "hi"), err: "it names no transport"},
	})
}

func TestSimpleBehindAnotherDispatcher(t *testing.T) {
	r := mustLoad(t, NewSimple(), names, worker.Env{}, "route_mappings: {far_away: app}")
	checkAll(t, r, []routed{
		{name: "inbound", arrival: userMessage(message.Inbound, "smpp", "far_away", "hi"), want: "app"},
		{name: "event", arrival: event("smpp", "far_away"), want: "app"},
	})
}

func TestSimpleRefuses(t *testing.T) {
	checkRefused(t, NewSimple, []refused{
		{"nothing", "", "route_mappings: is missing"},
		{"an empty list", "route_mappings: {smpp: []}", "w.yaml:1: route_mappings.smpp: leads nowhere"},
		{"a name twice", "route_mappings: {smpp: [app, app]}", "app is there twice"},
		{"an unknown application", "route_mappings:\n  smpp: ap", `w.yaml:2: route_mappings.smpp: "ap" is none of exposed_names; did you mean "app"?`},
		{"a misspelt transport", "route_mappings:\n  smmp: app", `w.yaml:2: route_mappings.smmp: "smmp" is none of transport_names; did you mean "smpp"?`},
		{"an unknown mapped transport", "route_mappings: {smpp: app}\ntransport_mappings: {a: b}", `transport_mappings.a: "b" is none of transport_names`},
		{"an unknown option", "route_mapings: {smpp: app}", `did you mean "route_mappings"?`},
	})
}

// Behind another dispatcher a message keeps the transport_name of its transport:
// route_mappings may name that, or the connector it comes by.
func TestSimpleTakesEitherName(t *testing.T) {
	behind := dispatcher.Names{Transports: []string{"smpp"}, Exposed: []string{"app", "other"}}
	for text, want := range map[string]string{
		"route_mappings: {smpp: app}":                              "app",
		"route_mappings: {smpp_ke: other}":                         "other",
		"route_mappings: {smpp: app, smpp_ke: other}":              "other",
		"route_mappings: {smpp: app, smpp_za: other}":              "app",
		"route_mappings: {smpp_ke: other, smpp_za: app, far: app}": "other",
	} {
		r := mustLoad(t, NewSimple(), behind, worker.Env{}, text)
		routed{name: text, arrival: userMessage(message.Inbound, "smpp", "smpp_ke", "hi"), want: want}.check(t, r)
	}
	r := mustLoad(t, NewSimple(), behind, worker.Env{}, "route_mappings: {smpp: app}\ntransport_mappings: {smpp_ke: smpp}")
	routed{name: "outbound", arrival: userMessage(message.Outbound, "app", "smpp_ke", "hi"), want: "smpp"}.check(t, r)
	r = mustLoad(t, NewSimple(), behind, worker.Env{}, "route_mappings: {smpp: app, smp: app}")
	if err := r.Lint(behind); err == nil || !strings.Contains(err.Error(), `did you mean "smpp"?`) {
		t.Errorf("a key that may be a slip: %v", err)
	}
}
