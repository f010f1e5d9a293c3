package routers

import (
	"context"
	"errors"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
)

// Simple joins transports to applications by name: Vumi's SimpleDispatchRouter.
// An inbound message goes to every exposed name its transport is mapped to, an
// outbound one to the transport it names.
type Simple struct {
	// RouteMappings says which exposed names get the inbound messages of a
	// transport: one name or a list of them. Required. Example:
	// `{smpp_transport: my_application, xmpp_transport: [my_application, log]}`.
	RouteMappings options.Map[options.Names] `yaml:"route_mappings"`
	// TransportMappings sends outbound messages for one transport to another.
	// Default: each goes to the transport it names. Example:
	// `{old_smpp: new_smpp}`.
	TransportMappings options.Map[string] `yaml:"transport_mappings"`

	routes    table
	remapping remapping
}

var (
	_ dispatcher.Router  = (*Simple)(nil)
	_ dispatcher.Checker = (*Simple)(nil)
)

// NewSimple is a Simple with its defaults.
func NewSimple() *Simple { return &Simple{} }

// Validate checks the options by themselves.
func (r *Simple) Validate() error {
	return checkFilled(r.RouteMappings, "route_mappings", "one exposed name or a list for each transport")
}

// Check checks the options against the dispatcher's connectors.
func (r *Simple) Check(names dispatcher.Names) (err error) {
	r.routes = tableOf("route_mappings", r.RouteMappings)
	r.remapping, err = newRemapping(r.TransportMappings, names)
	return errors.Join(
		checkSources(r.RouteMappings, names, "route_mappings"),
		checkTargets(r.RouteMappings, names.Exposed, "exposed_names", "route_mappings"),
		err,
	)
}

// Route routes by the arrival's transport.
func (r *Simple) Route(_ context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	if a.Flow == message.Outbound {
		return r.remapping.outbound(&a)
	}
	targets := r.routes.byTransport(&a)
	if targets == nil {
		return nil, refuse(&a, "route_mappings has no %s", a.Connector)
	}
	if a.Flow == message.EventFlow {
		return oneOf(&a, targets)
	}
	return targets, nil
}
