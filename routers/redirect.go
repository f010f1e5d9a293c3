package routers

import (
	"cmp"
	"context"
	"errors"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
)

// Redirect joins names to names: Vumi's RedirectRouter. What comes in is given
// the exposed name as its transport; what goes out is taken from that name back
// to a transport.
type Redirect struct {
	// RedirectInbound says which exposed name gets what comes from a transport.
	// Example: `{smpp_za: sms}`.
	RedirectInbound options.Map[string] `yaml:"redirect_inbound"`
	// RedirectOutbound says which transport gets what goes out for a
	// transport_name or, where a message has none, from an exposed name.
	// Example: `{sms: smpp_za}`.
	RedirectOutbound options.Map[string] `yaml:"redirect_outbound"`

	inbound, outbound map[string]string
}

var (
	_ dispatcher.Router   = (*Redirect)(nil)
	_ dispatcher.Checker  = (*Redirect)(nil)
	_ dispatcher.Returner = (*Redirect)(nil)
)

// NewRedirect is a Redirect with its defaults.
func NewRedirect() *Redirect { return &Redirect{} }

// Validate checks the options by themselves.
func (r *Redirect) Validate() error {
	if len(r.RedirectInbound)+len(r.RedirectOutbound) == 0 {
		return options.Fieldf("redirect_inbound", "and redirect_outbound are missing; write at least one of them")
	}
	return nil
}

// Check checks the options against the dispatcher's connectors.
func (r *Redirect) Check(names dispatcher.Names) error {
	var errIn, errOut error
	r.inbound, errIn = flat(r.RedirectInbound, names.Exposed, "exposed_names", "redirect_inbound")
	r.outbound, errOut = flat(r.RedirectOutbound, names.Transports, "transport_names", "redirect_outbound")
	return errors.Join(checkSources(singles(r.RedirectInbound), names, "redirect_inbound"), errIn, errOut)
}

// Route redirects outbound messages by their transport_name, or by their
// connector where they have none; what comes in by either of the two.
func (r *Redirect) Route(_ context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	if a.Flow == message.Outbound {
		key := cmp.Or(a.TransportName(), a.Connector)
		if transport := r.outbound[key]; transport != "" {
			return ruled(rule("redirect_outbound", key), transport), nil
		}
		return nil, refuse(&a, "redirect_outbound has no %s", key)
	}
	for _, key := range [...]string{a.TransportName(), a.Connector} {
		if exposed := r.inbound[key]; exposed != "" {
			return one(renamed(&a, exposed, exposed, rule("redirect_inbound", key))), nil
		}
	}
	return nil, refuse(&a, "redirect_inbound has no %s", a.Connector)
}

// Return renames the transport of events as that of messages.
func (r *Redirect) Return(_ context.Context, a dispatcher.Arrival, exposed string) (dispatcher.Target, error) {
	return renamed(&a, exposed, exposed, ""), nil
}
