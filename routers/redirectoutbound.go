package routers

import (
	"switchboard/dispatcher"
	"switchboard/options"
)

// RedirectOutbound is the old form of Redirect: Vumi's RedirectOutboundRouter.
// It does the same; write redirect instead.
type RedirectOutbound struct {
	Redirect `yaml:",inline"`
}

var (
	_ dispatcher.Router   = (*RedirectOutbound)(nil)
	_ dispatcher.Checker  = (*RedirectOutbound)(nil)
	_ dispatcher.Returner = (*RedirectOutbound)(nil)
)

// NewRedirectOutbound is a RedirectOutbound with its defaults.
func NewRedirectOutbound() *RedirectOutbound { return &RedirectOutbound{} }

// Validate checks the options by themselves.
func (r *RedirectOutbound) Validate() error {
	if len(r.Redirect.RedirectOutbound) == 0 {
		return options.Fieldf("redirect_outbound", "is missing; write a transport for each transport_name or exposed name")
	}
	return nil
}
