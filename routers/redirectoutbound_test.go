package routers

import (
	"testing"

	"switchboard/message"
	"switchboard/worker"
)

func TestRedirectOutbound(t *testing.T) {
	r := mustLoad(t, NewRedirectOutbound(), names, worker.Env{}, "redirect_outbound: {app: smpp}")
	checkAll(t, r, []routed{
		{name: "outbound", arrival: userMessage(message.Outbound, "app", "app", "hi"), want: "smpp"},
		{name: "outbound unmapped", arrival: userMessage(message.Outbound, "other", "other", "hi"), err: "redirect_outbound has no other"},
		{name: "inbound", arrival: userMessage(message.Inbound, "smpp", "smpp", "hi"), err: "redirect_inbound has no smpp"},
	})
}

func TestRedirectOutboundRefuses(t *testing.T) {
	checkRefused(t, NewRedirectOutbound, []refused{
		{"nothing", "redirect_inbound: {smpp: app}", "redirect_outbound: is missing"},
		{"an unknown transport", "redirect_outbound: {app: smmp}", `did you mean "smpp"?`},
	})
}
