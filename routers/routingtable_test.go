package routers

import (
	"testing"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/worker"
)

func at(a dispatcher.Arrival, endpoint string) dispatcher.Arrival {
	setEndpoint(&a, endpoint)
	return a
}

func TestRoutingTable(t *testing.T) {
	r := mustLoad(t, NewRoutingTable(), names, worker.Env{}, `
routing_table:
  smpp:
    default: [app, default]
    premium: [app, billing]
  xmpp:
    default: [app, default]
  app:
    default: [smpp, default]
    billing: [smpp, premium]
  other:
    default: [smpp, default]
`)
	for _, c := range []struct {
		routed
		endpoint string
	}{
		{routed{name: "inbound", arrival: userMessage(message.Inbound, "smpp", "x", "hi"), want: "app"}, "default"},
		{routed{name: "inbound at an endpoint", arrival: at(userMessage(message.Inbound, "smpp", "x", "hi"), "premium"), want: "app"}, "billing"},
		{routed{name: "outbound", arrival: userMessage(message.Outbound, "other", "x", "hi"), want: "smpp"}, "default"},
		{routed{name: "outbound at an endpoint", arrival: at(userMessage(message.Outbound, "app", "x", "hi"), "billing"), want: "smpp"}, "premium"},
		{routed{name: "no such endpoint", arrival: at(userMessage(message.Inbound, "xmpp", "x", "hi"), "premium"), err: "no endpoint premium under xmpp"}, ""},
		{routed{name: "no such connector", arrival: userMessage(message.Inbound, "far", "x", "hi"), err: "no endpoint default under far"}, ""},
		{routed{name: "event of one sender", arrival: at(event("smpp", "x"), "premium"), want: "app"}, "billing"},
		{routed{name: "event of no sender", arrival: event("xmpp", "x"), want: "app"}, "default"},
		{routed{name: "event of several senders", arrival: event("smpp", "x"), want: "app"}, "default"},
	} {
		t.Run(c.name, func(t *testing.T) {
			targets := c.check(t, r)
			if targets == nil {
				return
			}
			sent := targets[0].Envelope
			if sent == nil {
				sent = &c.arrival
			}
			if got := endpointOf(sent); got != c.endpoint {
				t.Errorf("came to endpoint %s, want %s", got, c.endpoint)
			}
		})
	}
}

func TestRoutingTableRefuses(t *testing.T) {
	checkRefused(t, NewRoutingTable, []refused{
		{"nothing", "", "routing_table: is missing"},
		{"no pair", "routing_table:\n  smpp:\n    default: [app]", "w.yaml:3: routing_table.smpp.default: must be [connector, endpoint]"},
		{"an unknown connector", "routing_table: {smmp: {default: [app, default]}}", `"smmp" is none of the dispatcher's connectors; did you mean "smpp"?`},
		{"transport to transport", "routing_table: {smpp: {default: [xmpp, default]}}", `"xmpp" is none of exposed_names`},
		{"application to application", "routing_table: {app: {default: [other, default]}}", `"other" is none of transport_names`},
	})
}
