package routers

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
)

// ToAddr routes inbound messages by the address they were sent to: Vumi's
// ToAddrRouter. Every exposed name whose pattern matches gets a copy; outbound
// messages go to the transport they name.
type ToAddr struct {
	// ToAddrMappings gives each exposed name a regular expression (RE2), which
	// must match the to_addr from its start, not up to its end. Required.
	// Example: `{jokes: "12345$", surveys: "\\+2782"}`.
	ToAddrMappings options.Map[string] `yaml:"toaddr_mappings"`
	// TransportMappings sends outbound messages for one transport to another.
	// Default: each goes to the transport it names. Example: `{old: new}`.
	TransportMappings options.Map[string] `yaml:"transport_mappings"`

	patterns  []addrPattern
	remapping remapping
	exposed   exposed
}

type addrPattern struct {
	*regexp.Regexp
	target dispatcher.Target
}

var (
	_ dispatcher.Router  = (*ToAddr)(nil)
	_ dispatcher.Checker = (*ToAddr)(nil)
)

// NewToAddr is a ToAddr with its defaults.
func NewToAddr() *ToAddr { return &ToAddr{} }

// Validate compiles the patterns.
func (r *ToAddr) Validate() error {
	if len(r.ToAddrMappings) == 0 {
		return options.Fieldf("toaddr_mappings", "is missing; write a regular expression for each exposed name")
	}
	var errs []error
	r.patterns = nil
	for _, pair := range r.ToAddrMappings {
		// \A holds where (?m) in the pattern changes what ^ means.
		compiled, err := regexp.Compile(`\A(?:` + pair.Value + `)`)
		if err != nil {
			errs = append(errs, options.Field(fmt.Errorf("%q is no regular expression of this kind (RE2, without look-around and back-references): %w", pair.Value, err), "toaddr_mappings", pair.Key))
			continue
		}
		r.patterns = append(r.patterns, addrPattern{compiled, ruled(rule("toaddr_mappings", pair.Key), pair.Key)[0]})
	}
	return errors.Join(errs...)
}

// Check checks the options against the dispatcher's connectors.
func (r *ToAddr) Check(names dispatcher.Names) (err error) {
	r.exposed = exposedOf(names)
	r.remapping, err = newRemapping(r.TransportMappings, names)
	errs := []error{err}
	for _, pair := range r.ToAddrMappings {
		errs = append(errs, checkTarget(pair.Key, "exposed_names", names.Exposed, "toaddr_mappings", pair.Key))
	}
	return errors.Join(errs...)
}

// Route routes inbound messages by their to_addr.
func (r *ToAddr) Route(_ context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	switch a.Flow {
	case message.Outbound:
		return r.remapping.outbound(&a)
	case message.EventFlow:
		return r.exposed.event(&a)
	}
	var targets []dispatcher.Target
	for _, p := range r.patterns {
		if p.MatchString(a.Message.To) {
			targets = append(targets, p.target)
		}
	}
	if targets == nil {
		return nil, refuse(&a, "no pattern of toaddr_mappings matches its to_addr %q", a.Message.To)
	}
	return targets, nil
}
