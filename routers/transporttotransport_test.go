package routers

import (
	"testing"

	"switchboard/message"
	"switchboard/worker"
)

func TestTransportToTransport(t *testing.T) {
	r := mustLoad(t, NewTransportToTransport(), names, worker.Env{}, `
route_mappings:
  smpp: xmpp
  xmpp: [smpp, xmpp]
`)
	checkAll(t, r, []routed{
		{name: "to one", arrival: userMessage(message.Inbound, "smpp", "smpp", "hi"), want: "xmpp.outbound"},
		{name: "to several", arrival: userMessage(message.Inbound, "xmpp", "xmpp", "hi"), want: "smpp.outbound xmpp.outbound"},
		{name: "unmapped", arrival: userMessage(message.Inbound, "far", "far", "hi"), err: "route_mappings has no far"},
		{name: "outbound", arrival: userMessage(message.Outbound, "app", "smpp", "hi"), err: "applications cannot send"},
	})
	_, err := r.Route(t.Context(), event("smpp", "smpp"))
	if reason, let := message.DiscardReason(err); !let || reason == "" {
		t.Errorf("an event was not dropped on purpose: %v", err)
	}
}

func TestTransportToTransportRefuses(t *testing.T) {
	checkRefused(t, NewTransportToTransport, []refused{
		{"nothing", "", "route_mappings: is missing"},
		{"an application", "route_mappings: {smpp: app}", `"app" is none of transport_names`},
		{"a misspelt transport", "route_mappings: {smmp: xmpp}", `did you mean "smpp"?`},
	})
}
