// Package byprefix is a router: how a person's number begins chooses the application.
package byprefix

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
)

// Router routes by prefix. Its fields are the keys of its YAML file.
type Router struct {
	// Prefixes lead to exposed names; the longest that fits counts, and "" fits
	// every number. Example: `{"+27": survey, "+31": survey_nl}`.
	Prefixes map[string]string `yaml:"prefixes"`
}

var (
	_ dispatcher.Router  = (*Router)(nil)
	_ dispatcher.Checker = (*Router)(nil)
)

// New is a Router with its defaults.
func New() *Router { return &Router{} }

// Check checks the options against the dispatcher's connectors.
func (r *Router) Check(names dispatcher.Names) error {
	if len(r.Prefixes) == 0 {
		return options.Fieldf("prefixes", "is missing; write an exposed name for each prefix")
	}
	var errs []error
	for prefix, name := range r.Prefixes {
		if !slices.Contains(names.Exposed, name) {
			errs = append(errs, options.Fieldf("prefixes."+prefix, "%q is none of exposed_names", name))
		}
	}
	return errors.Join(errs...)
}

// Route implements dispatcher.Router.
func (r *Router) Route(_ context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	switch a.Flow {
	case message.Inbound:
		return r.inbound(&a)
	case message.Outbound:
		target := dispatcher.Target{Connector: a.Message.TransportName, Rule: "transport_name"}
		return []dispatcher.Target{target}, nil
	default:
		// The dispatcher returns events to the sender itself. It only asks for
		// those that nobody can be named for.
		return nil, message.Permanent(errors.New("nothing tells which application sent the message"))
	}
}

func (r *Router) inbound(a *dispatcher.Arrival) ([]dispatcher.Target, error) {
	from := a.Message.From
	for end := len(from); end >= 0; end-- {
		if name, found := r.Prefixes[from[:end]]; found {
			target := dispatcher.Target{Connector: name, Rule: "prefixes." + from[:end]}
			return []dispatcher.Target{target}, nil
		}
	}
	return nil, message.Permanent(fmt.Errorf("message %s: no prefix fits its from_addr %q", a.ID(), from))
}
