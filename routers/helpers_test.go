package routers

import (
	"slices"
	"strings"
	"testing"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
)

// names are the connectors of the dispatchers of most tests here.
var names = dispatcher.Names{Transports: []string{"smpp", "xmpp"}, Exposed: []string{"app", "other"}}

// load reads a router's options as a file has them, and makes it ready.
func load[R dispatcher.Router](t *testing.T, r R, names dispatcher.Names, env worker.Env, yaml string) (R, error) {
	t.Helper()
	doc, err := options.Parse("w.yaml", []byte(yaml), nil)
	if err == nil {
		err = doc.Into(r)
	}
	if err == nil {
		err = doc.Rest()
	}
	if v, validates := any(r).(interface{ Validate() error }); validates && err == nil {
		err = doc.Locate(v.Validate())
	}
	if c, checks := any(r).(dispatcher.Checker); checks && err == nil {
		err = doc.Locate(c.Check(names))
	}
	if err == nil {
		err = worker.Provision(t.Context(), r, env)
	}
	return r, err
}

func mustLoad[R dispatcher.Router](t *testing.T, r R, names dispatcher.Names, env worker.Env, yaml string) R {
	t.Helper()
	r, err := load(t, r, names, env, yaml)
	if err != nil {
		t.Fatalf("loading the router: %v", err)
	}
	return r
}

// userMessage is a message of +27831234567 to 12345, or back, on a connector.
func userMessage(flow message.Flow, connector, transport, content string) dispatcher.Arrival {
	m := message.New()
	m.From, m.To = "+27831234567", "12345"
	if flow == message.Outbound {
		m.From, m.To = m.To, m.From
	}
	m.TransportName, m.Content = transport, content
	return dispatcher.Arrival{Flow: flow, Connector: connector, Message: m}
}

func event(connector, transport string) dispatcher.Arrival {
	m := message.New()
	m.TransportName = transport
	return dispatcher.Arrival{Flow: message.EventFlow, Connector: connector, Event: message.NewAck(m, "1")}
}

// case of a table: what arrives, and where it goes ("app other"), or the words
// of its error.
type routed struct {
	name    string
	arrival dispatcher.Arrival
	want    string
	err     string
}

func (c routed) check(t *testing.T, r dispatcher.Router) []dispatcher.Target {
	t.Helper()
	targets, err := r.Route(t.Context(), c.arrival)
	if c.err != "" {
		if err == nil || !strings.Contains(err.Error(), c.err) || !message.IsPermanent(err) {
			t.Fatalf("got %v, %v\nwant a permanent error with %q", targets, err, c.err)
		}
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := connectors(targets); got != c.want {
		t.Fatalf("went to %q, want %q", got, c.want)
	}
	for _, target := range targets {
		if target.Rule == "" {
			t.Errorf("the target %s does not say which rule decided", target.Connector)
		}
	}
	return targets
}

// connectors lists targets' connectors, with the flow where it changes.
func connectors(targets []dispatcher.Target) string {
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

func checkAll(t *testing.T, r dispatcher.Router, cases []routed) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.check(t, r) })
	}
}

// refused is a file that must not load, and the words of the reason.
type refused struct{ name, yaml, err string }

func checkRefused[R dispatcher.Router](t *testing.T, make func() R, cases []refused) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, make(), names, worker.Env{}, c.yaml)
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v\nwant an error with %q", err, c.err)
			}
		})
	}
}
