package byprefix_test

import (
	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/routers/routertest"
	"testing"

	"example.org/plugins/byprefix"
)

// What every router owes.
func TestConformance(t *testing.T) {
	routertest.Run(t, routertest.Subject{
		New:    func() dispatcher.Router { return byprefix.New() },
		Names:  dispatcher.Names{Transports: []string{"sms", "chat"}, Exposed: []string{"here", "abroad"}},
		Config: `prefixes: {"+27": here, "+2711": abroad, "+31": abroad}`,
		Inbound: func(transport string) *message.Message {
			return routertest.Message("+27831234567", "8080", transport, "hello")
		},
		Outbound: func(string) *message.Message {
			return routertest.Message("8080", "+27831234567", "sms", "hello")
		},
		Astray: []dispatcher.Arrival{{
			Flow: message.Inbound, Connector: "sms",
			Message: routertest.Message("+4412345", "8080", "sms", "hello"),
		}},
		Misnamed: []string{`prefixes: {"+27": her}`},
	})
}

func TestTheLongestPrefixCounts(t *testing.T) {
	r := byprefix.New()
	r.Prefixes = map[string]string{"": "rest", "+27": "here", "+2711": "joburg"}
	for from, want := range map[string]string{"+27831": "here", "+271155": "joburg", "+31612": "rest", "": "rest"} {
		targets, err := r.Route(t.Context(), dispatcher.Arrival{
			Flow: message.Inbound, Connector: "sms", Message: routertest.Message(from, "8080", "sms", "hello"),
		})
		if err != nil || len(targets) != 1 || targets[0].Connector != want {
			t.Errorf("%q goes to %v (%v), not %s", from, targets, err, want)
		}
	}
}
