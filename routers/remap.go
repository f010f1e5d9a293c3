package routers

import (
	"switchboard/dispatcher"
	"switchboard/options"
)

// remapping sends outbound messages to the transport they name, or to the one
// their transport_mappings has in its place, as several of Vumi's routers do.
type remapping struct {
	transports []string
	mapped     map[string]string
}

func newRemapping(m options.Map[string], names dispatcher.Names) (remapping, error) {
	r := remapping{transports: names.Transports, mapped: make(map[string]string, len(m))}
	for _, pair := range m {
		r.mapped[pair.Key] = pair.Value
	}
	return r, checkTargets(singles(m), names.Transports, "transport_names", "transport_mappings")
}

func (r *remapping) outbound(a *dispatcher.Arrival) ([]dispatcher.Target, error) {
	name := a.TransportName()
	if mapped, found := r.mapped[name]; found {
		return ruled(rule("transport_mappings", name), mapped), nil
	}
	return toTransport(a, name, "transport_name", r.transports)
}

// exposed are a dispatcher's exposed names, as the only hint where an event
// goes that nothing else is known of.
type exposed []dispatcher.Target

func exposedOf(names dispatcher.Names) exposed { return ruled("exposed_names", names.Exposed...) }

// event takes an event to the only application there is.
func (e exposed) event(a *dispatcher.Arrival) ([]dispatcher.Target, error) {
	if len(e) == 0 {
		return nil, refuse(a, "there are no exposed_names to take events to")
	}
	return oneOf(a, append([]dispatcher.Target(nil), e...))
}
