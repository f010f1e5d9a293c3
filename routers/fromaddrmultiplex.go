package routers

import (
	"context"
	"errors"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
)

// FromAddrMultiplex makes several transports of one address each look like one
// transport of many: Vumi's FromAddrMultiplexRouter. Everything from the
// transports goes to the only exposed name, as if that were the transport; an
// outbound message goes to the transport of its from_addr.
type FromAddrMultiplex struct {
	// FromAddrMappings says which transport has which address. Required.
	// Example: `{bot1@example.org: xmpp1, bot2@example.org: xmpp2}`.
	FromAddrMappings options.Map[string] `yaml:"fromaddr_mappings"`

	exposed    string
	transports map[string]string
}

var (
	_ dispatcher.Router   = (*FromAddrMultiplex)(nil)
	_ dispatcher.Checker  = (*FromAddrMultiplex)(nil)
	_ dispatcher.Returner = (*FromAddrMultiplex)(nil)
)

// NewFromAddrMultiplex is a FromAddrMultiplex with its defaults.
func NewFromAddrMultiplex() *FromAddrMultiplex { return &FromAddrMultiplex{} }

// Validate checks the options by themselves.
func (r *FromAddrMultiplex) Validate() error {
	return checkFilled(singles(r.FromAddrMappings), "fromaddr_mappings", "a transport for each from_addr")
}

// Check checks the options against the dispatcher's connectors.
func (r *FromAddrMultiplex) Check(names dispatcher.Names) error {
	var errName, errMap error
	r.exposed, errName = single(names)
	r.transports, errMap = flat(r.FromAddrMappings, names.Transports, "transport_names", "fromaddr_mappings")
	return errors.Join(errName, errMap)
}

// Route sends inbound to the exposed name, and outbound by its from_addr.
func (r *FromAddrMultiplex) Route(_ context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	if a.Flow != message.Outbound {
		return one(renamed(&a, r.exposed, r.exposed, "exposed_names")), nil
	}
	transport, found := r.transports[a.Message.From]
	if !found {
		return nil, refuse(&a, "fromaddr_mappings has no transport for its from_addr %q", a.Message.From)
	}
	return one(renamed(&a, transport, transport, rule("fromaddr_mappings", a.Message.From))), nil
}

// Return renames the transport of events as that of messages.
func (r *FromAddrMultiplex) Return(_ context.Context, a dispatcher.Arrival, exposed string) (dispatcher.Target, error) {
	return renamed(&a, exposed, exposed, ""), nil
}
