package routers_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/routers"
	"switchboard/routers/routertest"
	"switchboard/routers/rules"
)

var twoByTwo = dispatcher.Names{Transports: []string{"smpp", "xmpp"}, Exposed: []string{"app", "other"}}

// codeOf is the address each transport has, for routers that go by it.
var codeOf = map[string]string{"smpp": "8181", "xmpp": "8282"}

func comes(by string) *message.Message {
	return routertest.Message("+27831234567", codeOf[by], by, "joke please")
}

func astray(flow message.Flow, connector string, m *message.Message) dispatcher.Arrival {
	return dispatcher.Arrival{Flow: flow, Connector: connector, Message: m}
}

// leaves is a message out by smpp, whatever the router goes by.
func leaves(transport string) func(string) *message.Message {
	return func(string) *message.Message {
		return routertest.Message("8181", "+27831234567", transport, "news for you")
	}
}

func lost(flow message.Flow, connector string) dispatcher.Arrival {
	return astray(flow, connector, routertest.Message("nobody", "nowhere", "pigeon", "coo"))
}

// unheardOf is an event of a message nobody here sent.
func unheardOf(transport string) dispatcher.Arrival {
	e := message.NewAck(comes(transport), "1")
	return dispatcher.Arrival{Flow: message.EventFlow, Connector: transport, Event: e}
}

func subjects() map[string]routertest.Subject {
	return map[string]routertest.Subject{
		"simple": {
			New: func() dispatcher.Router { return routers.NewSimple() }, Names: twoByTwo,
			Config:   "route_mappings: {smpp: app, xmpp: [app, other]}",
			Inbound:  comes,
			Outbound: leaves("smpp"),
			Astray:   []dispatcher.Arrival{lost(message.Outbound, "app")},
			Misnamed: []string{"route_mappings: {smpp: ap, xmpp: app}", "route_mappings: {smpp: app, xmp: app}", "route_mappings: {smpp: app}\ntransport_mappings: {a: xmp}"},
		},
		"transport_to_transport": {
			New:      func() dispatcher.Router { return routers.NewTransportToTransport() },
			Names:    dispatcher.Names{Transports: []string{"smpp", "xmpp", "irc"}},
			From:     []string{"smpp", "xmpp"},
			Config:   "route_mappings: {smpp: xmpp, xmpp: [smpp, irc]}",
			Inbound:  comes,
			Astray:   []dispatcher.Arrival{lost(message.Inbound, "irc")},
			Misnamed: []string{"route_mappings: {smpp: xmp}"},
		},
		"to_addr": {
			New: func() dispatcher.Router { return routers.NewToAddr() }, Names: twoByTwo,
			Config:   "toaddr_mappings: {app: '81', other: '8[12]82'}",
			Inbound:  comes,
			Outbound: leaves("smpp"),
			Astray:   []dispatcher.Arrival{lost(message.Inbound, "smpp"), lost(message.Outbound, "other")},
			Misnamed: []string{"toaddr_mappings: {ap: a}"},
		},
		"from_addr_multiplex": {
			New:      func() dispatcher.Router { return routers.NewFromAddrMultiplex() },
			Names:    dispatcher.Names{Transports: []string{"smpp", "xmpp"}, Exposed: []string{"muxed"}},
			Config:   "fromaddr_mappings: {'8181': smpp, '8282': xmpp}",
			Inbound:  comes,
			Outbound: leaves("muxed"),
			Astray:   []dispatcher.Arrival{lost(message.Outbound, "muxed")},
			Misnamed: []string{"fromaddr_mappings: {a: smp}"},
		},
		"user_grouping": {
			New: func() dispatcher.Router { return routers.NewUserGrouping() }, Names: twoByTwo,
			Config:   "group_mappings: {a: app, b: other}\ndispatcher_name: d",
			Inbound:  comes,
			Outbound: leaves("xmpp"),
			Astray:   []dispatcher.Arrival{lost(message.Outbound, "other"), astray(message.Inbound, "smpp", routertest.Message("", "8181", "smpp", "hi"))},
			Misnamed: []string{"group_mappings: {a: ap}"},
		},
		"content_keyword": {
			New: func() dispatcher.Router { return routers.NewContentKeyword() }, Names: twoByTwo,
			Config:   "rules: [{app: app, keyword: joke}, {app: other, keyword: joke, to_addr: '8282'}]\ntransport_mappings: {'8181': smpp, '8282': xmpp}",
			Inbound:  comes,
			Outbound: leaves(""),
			Astray:   []dispatcher.Arrival{lost(message.Inbound, "smpp"), lost(message.Outbound, "app")},
			Misnamed: []string{"rules: [{app: ap, keyword: a}]", "keyword_mappings: {ap: a}", "fallback_application: ap", "fallback_application: app\ntransport_mappings: {a: smp}"},
		},
		"redirect": {
			New:      func() dispatcher.Router { return routers.NewRedirect() },
			Names:    dispatcher.Names{Transports: []string{"smpp", "xmpp", "irc"}, Exposed: []string{"app", "other"}},
			From:     []string{"smpp", "xmpp"},
			Config:   "redirect_inbound: {smpp: app, xmpp: other}\nredirect_outbound: {app: smpp, other: xmpp}",
			Inbound:  comes,
			Outbound: func(app string) *message.Message { return leaves(app)(app) },
			Astray:   []dispatcher.Arrival{lost(message.Inbound, "irc")},
			Misnamed: []string{"redirect_inbound: {smpp: ap}", "redirect_outbound: {app: smp}"},
		},
		"redirect_outbound": {
			New:      func() dispatcher.Router { return routers.NewRedirectOutbound() },
			Names:    dispatcher.Names{Transports: []string{"smpp", "xmpp", "irc"}, Exposed: []string{"app", "other"}},
			From:     []string{"smpp", "xmpp"},
			Config:   "redirect_inbound: {smpp: app, xmpp: other}\nredirect_outbound: {app: smpp, other: xmpp}",
			Inbound:  comes,
			Outbound: func(app string) *message.Message { return leaves(app)(app) },
			Astray:   []dispatcher.Arrival{lost(message.Inbound, "irc")},
			Misnamed: []string{"redirect_outbound: {app: smp}"},
		},
		"load_balancing": {
			New:      func() dispatcher.Router { return routers.NewLoadBalancing() },
			Names:    twoByTwo,
			Config:   "inbound_names: [app, other]",
			Inbound:  comes,
			Outbound: leaves("app"),
			Astray:   []dispatcher.Arrival{unheardOf("smpp")},
			Misnamed: []string{"inbound_names: ap"},
		},
		"routing_table": {
			New: func() dispatcher.Router { return routers.NewRoutingTable() }, Names: twoByTwo,
			Config: `
routing_table:
  smpp: {default: [app, default]}
  xmpp: {default: [other, news]}
  app: {default: [smpp, default]}
  other: {default: [smpp, second], news: [xmpp, default]}
`,
			Inbound:  comes,
			Outbound: leaves(""),
			Astray: []dispatcher.Arrival{astray(message.Inbound, "smpp", func() *message.Message {
				m := comes("smpp")
				m.SetEndpoint("none")
				return m
			}())},
			Misnamed: []string{"routing_table: {smp: {default: [app, default]}}", "routing_table: {smpp: {default: [ap, default]}}"},
		},
		"rules": {
			New: func() dispatcher.Router { return rules.New() }, Names: twoByTwo,
			Config: `
rules:
  - {when: inbound and word == "joke", to: [app, other]}
  - {when: outbound, to: =transport_name}
`,
			Inbound:  comes,
			Outbound: leaves("smpp"),
			Astray:   []dispatcher.Arrival{lost(message.Inbound, "smpp"), lost(message.Outbound, "app")},
			Misnamed: []string{"rules: [{to: ap}]", "default: {to: ap}", "rules: [{first_healthy: [smp]}]", "rules: [{when: up(\"smp\"), to: app}]"},
		},
	}
}

// inRules are the classic routers written as rules: those of configs/rules.
func inRules(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../configs/rules/*/dispatcher.yaml")
	if err != nil || len(files) < 9 {
		t.Fatalf("found %d of the classic routers in rules: %v", len(files), err)
	}
	texts := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// The suite gives the connectors itself.
		texts[filepath.Base(filepath.Dir(file))] = string(text[bytes.Index(text, []byte("rules:\n")):])
	}
	return texts
}

// Rules can say what every classic router does, and owe the same.
func TestRulesExpressEveryRouter(t *testing.T) {
	for name, text := range inRules(t) {
		subject := subjects()[name]
		subject.New, subject.Config = func() dispatcher.Router { return rules.New() }, text
		subject.Misnamed = []string{"rules: [{to: ap}]"}
		t.Run(name, func(t *testing.T) { routertest.Run(t, subject) })
	}
}

func TestWhatEveryRouterOwes(t *testing.T) {
	for name, subject := range subjects() {
		t.Run(name, func(t *testing.T) { routertest.Run(t, subject) })
	}
}
