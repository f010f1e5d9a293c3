package middleware

import (
	"context"
	"fmt"

	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
)

// AddressTranslation gives people other addresses inside the fleet than they
// have outside it: the to_addr of an outbound message is looked up in
// outbound_map and replaced by what stands there, and the from_addr of an
// inbound message the other way round. Other addresses pass unchanged.
type AddressTranslation struct {
	// OutboundMap maps addresses inside to addresses outside.
	OutboundMap options.Map[string] `yaml:"outbound_map"`

	out, in map[string]string
}

var _ worker.Middleware = (*AddressTranslation)(nil)

// NewAddressTranslation makes the middleware with its defaults.
func NewAddressTranslation() *AddressTranslation { return &AddressTranslation{} }

// Validate checks that the map can be read both ways.
func (a *AddressTranslation) Validate() error {
	if len(a.OutboundMap) == 0 {
		return options.Fieldf("outbound_map", "is missing or empty")
	}
	a.out, a.in = map[string]string{}, map[string]string{}
	for _, pair := range a.OutboundMap {
		if other, twice := a.in[pair.Value]; twice {
			return options.Field(fmt.Errorf("%s stands for %q too, so inbound messages from it are nobody's", pair.Value, other),
				"outbound_map", pair.Key)
		}
		a.out[pair.Key], a.in[pair.Value] = pair.Value, pair.Key
	}
	return nil
}

// Wrap translates messages of both directions.
func (a *AddressTranslation) Wrap(flow message.Flow, next worker.Handler) worker.Handler {
	if flow == message.EventFlow {
		return next
	}
	return func(ctx context.Context, e *message.Envelope) error {
		if flow == message.Outbound {
			replace(&e.Message.To, a.out)
		} else {
			replace(&e.Message.From, a.in)
		}
		return next(ctx, e)
	}
}

func replace(address *string, by map[string]string) {
	if other, found := by[*address]; found {
		*address = other
	}
}
