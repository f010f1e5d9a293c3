package routers

import (
	"testing"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/worker"
)

func to(addr string) dispatcher.Arrival {
	a := userMessage(message.Inbound, "smpp", "smpp", "hi")
	a.Message.To = addr
	return a
}

func TestToAddr(t *testing.T) {
	r := mustLoad(t, NewToAddr(), names, worker.Env{}, `
toaddr_mappings:
  other: 'to:.*:1|^9'
  app: 'to:app'
transport_mappings: {old: xmpp}
`)
	checkAll(t, r, []routed{
		{name: "first", arrival: to("to:foo:1"), want: "other"},
		{name: "second, not up to the end", arrival: to("to:app2"), want: "app"},
		{name: "both", arrival: to("to:app:1"), want: "app other"},
		{name: "an alternative", arrival: to("99"), want: "other"},
		{name: "not in the middle", arrival: to("x-to:app"), err: `no pattern of toaddr_mappings matches its to_addr "x-to:app"`},
		{name: "no address", arrival: to(""), err: "no pattern"},
		{name: "outbound", arrival: userMessage(message.Outbound, "app", "smpp", "hi"), want: "smpp"},
		{name: "outbound mapped", arrival: userMessage(message.Outbound, "app", "old", "hi"), want: "xmpp"},
		{name: "outbound unknown", arrival: userMessage(message.Outbound, "app", "far", "hi"), err: "none of transport_names"},
		{name: "event", arrival: event("smpp", "smpp"), err: "it can be any of app, other"},
	})
}

func TestToAddrWithOneApplication(t *testing.T) {
	only := dispatcher.Names{Transports: []string{"smpp"}, Exposed: []string{"app"}}
	r := mustLoad(t, NewToAddr(), only, worker.Env{}, "toaddr_mappings: {app: '1'}")
	routed{arrival: event("smpp", "smpp"), want: "app"}.check(t, r)
}

func TestToAddrRefuses(t *testing.T) {
	checkRefused(t, NewToAddr, []refused{
		{"nothing", "", "toaddr_mappings: is missing"},
		{"a broken pattern", "toaddr_mappings:\n  app: '('", "w.yaml:2: toaddr_mappings.app"},
		{"look-around", "toaddr_mappings: {app: '(?=1)'}", "without look-around"},
		{"an unknown application", "toaddr_mappings: {ap: '1'}", `"ap" is none of exposed_names; did you mean "app"?`},
	})
}
