package routers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
)

// RoutingTable joins endpoints of connectors: Vumi's RoutingTableDispatcher.
// Everything goes by the connector and the endpoint it comes from. Such files
// write receive_inbound_connectors for transport_names, and
// receive_outbound_connectors for exposed_names.
type RoutingTable struct {
	// RoutingTable says, for each connector and each of its endpoints, to which
	// connector and endpoint messages from there go. Required. Example:
	// `{smpp: {default: [jokes, default]}, jokes: {default: [smpp, default]}}`.
	RoutingTable options.Map[options.Map[options.Names]] `yaml:"routing_table"`

	table   map[endpoint]route
	senders map[endpoint][]route // exposed endpoints whose messages go to a transport's
}

type endpoint struct{ connector, endpoint string }

type route struct {
	to  endpoint
	why string
}

var (
	_ dispatcher.Router  = (*RoutingTable)(nil)
	_ dispatcher.Checker = (*RoutingTable)(nil)
)

// NewRoutingTable is a RoutingTable with its defaults.
func NewRoutingTable() *RoutingTable { return &RoutingTable{} }

// Validate checks the options by themselves.
func (r *RoutingTable) Validate() error {
	if len(r.RoutingTable) == 0 {
		return options.Fieldf("routing_table", "is missing; write {connector: {endpoint: [connector, endpoint]}}")
	}
	var errs []error
	for _, from := range r.RoutingTable {
		for _, endpoint := range from.Value {
			if len(endpoint.Value) != 2 {
				errs = append(errs, options.Field(errors.New("must be [connector, endpoint]"), "routing_table", from.Key, endpoint.Key))
			}
		}
	}
	return errors.Join(errs...)
}

// Check checks the options against the dispatcher's connectors: what comes from
// a transport goes to an exposed name, and the other way round.
func (r *RoutingTable) Check(names dispatcher.Names) error {
	r.table, r.senders = map[endpoint]route{}, map[endpoint][]route{}
	var errs []error
	for _, from := range r.RoutingTable {
		known, list := names.Exposed, "exposed_names"
		if slices.Contains(names.Exposed, from.Key) {
			known, list = names.Transports, "transport_names"
		} else if !slices.Contains(names.Transports, from.Key) {
			all := slices.Concat(names.Transports, names.Exposed)
			errs = append(errs, options.Field(fmt.Errorf("%q is none of the dispatcher's connectors%s", from.Key, options.DidYouMean(from.Key, all)), "routing_table", from.Key))
			continue
		}
		for _, to := range from.Value {
			r.add(endpoint{from.Key, to.Key}, endpoint{to.Value[0], to.Value[1]}, slices.Contains(names.Exposed, from.Key))
			errs = append(errs, checkTarget(to.Value[0], list, known, "routing_table", from.Key, to.Key))
		}
	}
	return errors.Join(errs...)
}

func (r *RoutingTable) add(from, to endpoint, outbound bool) {
	why := rule("routing_table", from.connector, from.endpoint)
	r.table[from] = route{to, why}
	if outbound {
		r.senders[to] = append(r.senders[to], route{from, why})
	}
}

// Route looks the arrival's connector and endpoint up. An event goes back to the
// only one who sends there, else where the table sends messages from there.
func (r *RoutingTable) Route(_ context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	from := endpoint{a.Connector, endpointOf(&a)}
	next, found := r.table[from]
	if senders := r.senders[from]; a.Flow == message.EventFlow && len(senders) == 1 {
		next, found = senders[0], true
	}
	if !found {
		return nil, refuse(&a, "routing_table has no endpoint %s under %s", from.endpoint, from.connector)
	}
	t := dispatcher.Target{Connector: next.to.connector, Rule: next.why}
	if next.to.endpoint != from.endpoint {
		t.Envelope = a.Clone()
		setEndpoint(t.Envelope, next.to.endpoint)
	}
	return one(t), nil
}

func endpointOf(a *dispatcher.Arrival) string {
	if a.Event != nil {
		return a.Event.Endpoint()
	}
	return a.Message.Endpoint()
}

func setEndpoint(e *message.Envelope, name string) {
	if e.Event != nil {
		e.Event.SetEndpoint(name)
		return
	}
	e.Message.SetEndpoint(name)
}
