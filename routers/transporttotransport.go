package routers

import (
	"context"
	"errors"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
)

// TransportToTransport joins transports to each other: Vumi's
// TransportToTransportRouter. What comes in by one goes out by others, as it
// is. Transports cannot take events, which are dropped.
type TransportToTransport struct {
	// RouteMappings says by which transports the inbound messages of a transport
	// go out: one name or a list of them. Required. Example:
	// `{telnet: xmpp, xmpp: [telnet, irc]}`.
	RouteMappings options.Map[options.Names] `yaml:"route_mappings"`

	routes table
}

var (
	_ dispatcher.Router  = (*TransportToTransport)(nil)
	_ dispatcher.Checker = (*TransportToTransport)(nil)
)

// NewTransportToTransport is a TransportToTransport with its defaults.
func NewTransportToTransport() *TransportToTransport { return &TransportToTransport{} }

// Validate checks the options by themselves.
func (r *TransportToTransport) Validate() error {
	return checkFilled(r.RouteMappings, "route_mappings", "one transport or a list for each transport")
}

// Check checks the options against the dispatcher's connectors.
func (r *TransportToTransport) Check(names dispatcher.Names) error {
	r.routes = tableOf("route_mappings", r.RouteMappings)
	for _, targets := range r.routes {
		for i := range targets {
			targets[i].Flow = message.Outbound
		}
	}
	return errors.Join(
		checkSources(r.RouteMappings, names, "route_mappings"),
		checkTargets(r.RouteMappings, names.Transports, "transport_names", "route_mappings"),
	)
}

// Route turns inbound into outbound.
func (r *TransportToTransport) Route(_ context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	switch a.Flow {
	case message.EventFlow:
		return nil, message.Discard("transports take no events")
	case message.Outbound:
		return nil, refuse(&a, "this dispatcher joins transports; applications cannot send through it")
	}
	if targets := r.routes.byTransport(&a); targets != nil {
		return targets, nil
	}
	return nil, refuse(&a, "route_mappings has no %s", a.Connector)
}
