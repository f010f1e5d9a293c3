package routers

import (
	"testing"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/worker"
)

func TestFromAddrMultiplex(t *testing.T) {
	muxed := dispatcher.Names{Transports: []string{"smpp", "xmpp"}, Exposed: []string{"muxed"}}
	r := mustLoad(t, NewFromAddrMultiplex(), muxed, worker.Env{}, "fromaddr_mappings: {'12345': xmpp, bot@example.org: smpp}")
	stranger := userMessage(message.Outbound, "muxed", "muxed", "hi")
	stranger.Message.From = "999"
	for _, c := range []struct {
		routed
		transport string // that the sent copy names
	}{
		{routed{name: "inbound", arrival: userMessage(message.Inbound, "xmpp", "xmpp", "hi"), want: "muxed"}, "muxed"},
		{routed{name: "event", arrival: event("smpp", "smpp"), want: "muxed"}, "muxed"},
		{routed{name: "outbound", arrival: userMessage(message.Outbound, "muxed", "muxed", "hi"), want: "xmpp"}, "xmpp"},
		{routed{name: "outbound from a stranger", arrival: stranger, err: `fromaddr_mappings has no transport for its from_addr "999"`}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := c.arrival.TransportName()
			targets := c.check(t, r)
			if c.arrival.TransportName() != before {
				t.Error("the arrival itself was changed")
			}
			if targets != nil && targets[0].Envelope.TransportName() != c.transport {
				t.Errorf("names transport %s, want %s", targets[0].Envelope.TransportName(), c.transport)
			}
		})
	}
	back, err := r.Return(t.Context(), event("smpp", "smpp"), "muxed")
	if err != nil || back.Connector != "muxed" || back.Envelope.TransportName() != "muxed" {
		t.Errorf("an event came back as %+v, %v", back, err)
	}
}

func TestFromAddrMultiplexRefuses(t *testing.T) {
	checkRefused(t, NewFromAddrMultiplex, []refused{
		{"nothing", "", "fromaddr_mappings: is missing"},
		{"two applications", "fromaddr_mappings: {a: smpp}", "exposed_names: must be one name for this router, not 2"},
		{"an unknown transport", "fromaddr_mappings: {a: smmp}", `did you mean "smpp"?`},
	})
}
