// Package routers holds the routers a dispatcher can be given, one a file: those
// of Vumi's dispatchers with their options and behaviour, and the means they
// share. Each router's struct is its configuration.
//
// A router is made by its New function, decoded over, Validated, told the
// dispatcher's connectors (Check) and provisioned (Provision), in this order;
// only then it routes. What it cannot route is an error for that message, with
// a text for the operator, and never silence.
package routers

import (
	"fmt"
	"slices"
	"strings"

	"switchboard/dispatcher"
	"switchboard/options"
)

// refuse makes the error of an arrival that trying again cannot help.
func refuse(a *dispatcher.Arrival, format string, args ...any) error {
	return dispatcher.NoRoute("%s from %s: %s", a, a.Connector, fmt.Sprintf(format, args...))
}

// rule names the place in the file that decided: `route_mappings.smpp`.
func rule(keys ...string) string { return strings.Join(keys, ".") }

// table is what a router works out beforehand: targets by a key of the arrival.
type table map[string][]dispatcher.Target

// tableOf reads a mapping of names to connectors under an option.
func tableOf(option string, m options.Map[options.Names]) table {
	t := make(table, len(m))
	for _, pair := range m {
		t[pair.Key] = ruled(rule(option, pair.Key), pair.Value...)
	}
	return t
}

// singles makes a mapping of one connector each a mapping of several.
func singles(m options.Map[string]) options.Map[options.Names] {
	names := make(options.Map[options.Names], len(m))
	for i, pair := range m {
		names[i] = options.Pair[options.Names]{Key: pair.Key, Value: options.Names{pair.Value}}
	}
	return names
}

// ruled makes targets that say which rule decided.
func ruled(why string, connectors ...string) []dispatcher.Target {
	targets := dispatcher.To(connectors...)
	for i := range targets {
		targets[i].Rule = why
	}
	return targets
}

// targets are copies, for the dispatcher to fill in.
func (t table) targets(key string) []dispatcher.Target { return slices.Clone(t[key]) }

// byTransport looks up where an arrival from a transport goes: by the transport
// it names, as Vumi does, or by the connector it came from. The two differ
// behind another dispatcher.
func (t table) byTransport(a *dispatcher.Arrival) []dispatcher.Target {
	if targets := t.targets(a.TransportName()); targets != nil {
		return targets
	}
	return t.targets(a.Connector)
}

// oneOf holds an event to one application: the only one it can be meant for.
func oneOf(a *dispatcher.Arrival, targets []dispatcher.Target) ([]dispatcher.Target, error) {
	if len(targets) == 1 {
		return targets, nil
	}
	names := make([]string, len(targets))
	for i, t := range targets {
		names[i] = t.Connector
	}
	return nil, refuse(a, "nothing tells which application sent the message: it can be any of %s", strings.Join(names, ", "))
}

// toTransport sends an arrival to a transport that must be one of transports.
func toTransport(a *dispatcher.Arrival, name, why string, transports []string) ([]dispatcher.Target, error) {
	switch {
	case name == "":
		return nil, refuse(a, "it names no transport; set its transport_name to one of %s", strings.Join(transports, ", "))
	case !slices.Contains(transports, name):
		return nil, refuse(a, "its transport %q is none of transport_names%s", name, options.DidYouMean(name, transports))
	}
	return ruled(why, name), nil
}
