// Package rules is the router that decides by an ordered list of rules, each an
// expression and what to do where it holds. It can do what every other router
// does.
package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"switchboard/dispatcher"
	"switchboard/internal/schedule"
	"switchboard/message"
	"switchboard/options"
)

// Router routes by rules: the first whose condition holds decides, unless it
// says continue.
type Router struct {
	// Rules are tried in their order. Required.
	Rules []Rule `yaml:"rules"`
	// Default is what happens to messages no rule sends anywhere; it takes what
	// a rule takes, but when, name and continue. Default: they are dead-lettered.
	// Example: `{to: helpdesk}`.
	Default *Rule `yaml:"default"`
	// Timezone is the zone of during() where it names none. Default `UTC`.
	// Example: `Africa/Johannesburg`.
	Timezone string `yaml:"timezone"`

	language *language
	rules    []*rule
	standard *rule // of Default
	onEvents bool  // some rule speaks of events
	zone     *time.Location
	names    dispatcher.Names
	worker   string
	health   dispatcher.Health
	clock    func() time.Time
	works    sync.Pool
}

var (
	_ dispatcher.Router   = (*Router)(nil)
	_ dispatcher.Checker  = (*Router)(nil)
	_ dispatcher.Linter   = (*Router)(nil)
	_ dispatcher.Returner = (*Router)(nil)
)

// New is a Router with its defaults.
func New() *Router { return &Router{Timezone: "UTC", clock: time.Now} }

// Validate compiles the rules.
func (r *Router) Validate() error {
	var errs []error
	if len(r.Rules) == 0 && r.Default == nil {
		errs = append(errs, options.Fieldf("rules", "is missing; write a list of rules"))
	}
	var err error
	if r.zone, err = schedule.Zone(r.Timezone); err != nil {
		errs = append(errs, options.Field(err, "timezone"))
	}
	r.language, r.rules, r.standard, r.onEvents = newLanguage(), nil, nil, false
	for i := range r.Rules {
		compiled, err := r.language.compile(&r.Rules[i], "rules", strconv.Itoa(i))
		r.rules, errs = append(r.rules, compiled), append(errs, err)
		r.onEvents = r.onEvents || compiled.onEvents
	}
	if d := r.Default; d != nil {
		if d.When != "" || d.Name != "" || d.Continue {
			errs = append(errs, options.Fieldf("default", "is for all that no rule sends anywhere: it has no name, when or continue"))
		}
		r.standard, err = r.language.compile(d, "default")
		errs = append(errs, err)
	}
	return errors.Join(append(errs, r.checkReach()...)...)
}

// Check checks the rules against the dispatcher's connectors.
func (r *Router) Check(names dispatcher.Names) error {
	r.names = names
	var errs []error
	for _, compiled := range r.all() {
		errs = append(errs, compiled.check(names))
	}
	return errors.Join(errs...)
}

func (r *Router) all() []*rule {
	if r.standard == nil {
		return r.rules
	}
	return append(slices.Clone(r.rules), r.standard)
}

// Provision takes the worker's name, which replies' identifiers follow from, the
// transports' health and the clock.
func (r *Router) Provision(_ context.Context, env dispatcher.Env) error {
	r.worker, r.health, r.clock = env.Name, env.Health(), env.Now
	return nil
}

func (r *Router) knows(name string) bool {
	return slices.Contains(r.names.Exposed, name) || slices.Contains(r.names.Transports, name)
}

// Route tries the rules in their order.
func (r *Router) Route(_ context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	w := r.begin(a)
	defer r.end(w)
	return r.decide(w)
}

// Return applies to an event, whose application is known already, what rules
// say that speak of events: they may set its transport_name or discard it.
func (r *Router) Return(_ context.Context, a dispatcher.Arrival, exposed string) (dispatcher.Target, error) {
	t := dispatcher.Target{Connector: exposed}
	if !r.onEvents {
		return t, nil
	}
	w := r.begin(a)
	defer r.end(w)
	for _, rule := range r.rules {
		if !rule.onEvents {
			continue
		}
		holds, err := rule.when.holds(&w.facts)
		if holds && err == nil {
			err = rule.onReturn(w)
		}
		if err != nil {
			return t, w.fail(rule, err)
		}
		if holds && !rule.Continue {
			break
		}
	}
	if w.copied {
		t.Envelope = w.arrival
	}
	return t, nil
}

func (r *Router) decide(w *work) ([]dispatcher.Target, error) {
	if err := r.try(w); err != nil {
		return nil, err
	}
	if len(w.targets) == 0 {
		if err := r.otherwise(w); err != nil {
			return nil, err
		}
	}
	return w.targets, w.check()
}

func (r *Router) try(w *work) error {
	for _, rule := range r.rules {
		holds, err := rule.when.holds(&w.facts)
		if err != nil {
			return w.fail(rule, fmt.Errorf("when: %w", err))
		}
		if !holds {
			continue
		}
		if err := rule.act(w); err != nil {
			return w.fail(rule, err)
		}
		if !rule.Continue {
			return nil
		}
	}
	return nil
}

// otherwise is what happens to what no rule sends anywhere. An event whose
// sender nothing tells may only go to the only application there is.
func (r *Router) otherwise(w *work) error {
	if w.arrival.Flow == message.EventFlow {
		if len(r.names.Exposed) != 1 {
			return w.refuse("nothing tells which application sent the message, and no rule does")
		}
		w.targets = append(w.targets, dispatcher.Target{Connector: r.names.Exposed[0], Rule: "exposed_names"})
		return nil
	}
	if r.standard == nil {
		return w.refuse("no rule sends it anywhere, and there is no default")
	}
	if err := r.standard.act(w); err != nil {
		return w.fail(r.standard, err)
	}
	return nil
}
