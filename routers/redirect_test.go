package routers

import (
	"testing"

	"switchboard/message"
	"switchboard/worker"
)

func TestRedirect(t *testing.T) {
	r := mustLoad(t, NewRedirect(), names, worker.Env{}, `
redirect_inbound: {smpp: app}
redirect_outbound: {app: smpp, other: xmpp}
`)
	checkAll(t, r, []routed{
		{name: "inbound", arrival: userMessage(message.Inbound, "smpp", "smpp", "hi"), want: "app"},
		{name: "inbound unmapped", arrival: userMessage(message.Inbound, "xmpp", "xmpp", "hi"), err: "redirect_inbound has no xmpp"},
		{name: "event", arrival: event("smpp", "smpp"), want: "app"},
		{name: "outbound by transport_name", arrival: userMessage(message.Outbound, "app", "other", "hi"), want: "xmpp"},
		{name: "outbound by connector", arrival: userMessage(message.Outbound, "app", "", "hi"), want: "smpp"},
		{name: "inbound by another dispatcher", arrival: userMessage(message.Inbound, "smpp", "smpp_za", "hi"), want: "app"},
		{name: "outbound of a transport_name mapped to nothing", arrival: userMessage(message.Outbound, "app", "far", "hi"), err: "redirect_outbound has no far"},
		{name: "outbound unmapped", arrival: userMessage(message.Outbound, "far", "far", "hi"), err: "redirect_outbound has no far"},
	})
	targets := routed{arrival: userMessage(message.Inbound, "smpp", "smpp", "hi"), want: "app"}.check(t, r)
	if got := targets[0].Envelope.TransportName(); got != "app" {
		t.Errorf("inbound names transport %s, want app", got)
	}
	back, err := r.Return(t.Context(), event("xmpp", "xmpp"), "other")
	if err != nil || back.Connector != "other" || back.Envelope.TransportName() != "other" {
		t.Errorf("an event came back as %+v, %v", back, err)
	}
}

func TestRedirectRefuses(t *testing.T) {
	checkRefused(t, NewRedirect, []refused{
		{"nothing", "", "write at least one of them"},
		{"an unknown application", "redirect_inbound: {smpp: ap}", `did you mean "app"?`},
		{"an unknown transport", "redirect_outbound: {app: smmp}", `did you mean "smpp"?`},
	})
}
