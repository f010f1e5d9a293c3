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
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // rules name time zones, and a container may know none

	"switchboard/config"
	"switchboard/dispatcher"
	"switchboard/message"
)

// Router routes by rules: the first whose condition holds decides, unless it
// says continue.
type Router struct {
	// Rules are tried in their order. Required.
	Rules []Rule `yaml:"rules"`
	// Default is what happens to messages no rule sends anywhere; it takes what
	// a rule takes, but when, name and continue. Default: they are set aside.
	// Example: `{to: helpdesk}`.
	Default *Rule `yaml:"default"`
	// Timezone is the zone of during() where it names none. Default `UTC`.
	// Example: `Africa/Johannesburg`.
	Timezone string `yaml:"timezone"`

	language *language
	rules    []*rule
	standard *rule // of Default
	zone     *time.Location
	names    dispatcher.Names
	worker   string
	health   dispatcher.Health
	works    sync.Pool
}

var (
	_ dispatcher.Router     = (*Router)(nil)
	_ dispatcher.Checker    = (*Router)(nil)
	_ dispatcher.HealthUser = (*Router)(nil)
)

// New is a Router with its defaults.
func New() *Router { return &Router{Timezone: "UTC"} }

// Validate compiles the rules.
func (r *Router) Validate() error {
	var errs []error
	if len(r.Rules) == 0 && r.Default == nil {
		errs = append(errs, config.Fieldf("rules", "is missing; write a list of rules"))
	}
	var err error
	if r.zone, err = loadZone(r.Timezone); err != nil {
		errs = append(errs, config.Field(err, "timezone"))
	}
	r.language, r.rules, r.standard = newLanguage(), nil, nil
	for i := range r.Rules {
		compiled, err := r.language.compile(&r.Rules[i], "rules", strconv.Itoa(i))
		r.rules, errs = append(r.rules, compiled), append(errs, err)
	}
	if d := r.Default; d != nil {
		if d.When != "" || d.Name != "" || d.Continue {
			errs = append(errs, config.Fieldf("default", "is for all that no rule sends anywhere: it has no name, when or continue"))
		}
		r.standard, err = r.language.compile(d, "default")
		errs = append(errs, err)
	}
	return errors.Join(append(errs, r.checkReach()...)...)
}

// checkReach refuses rules that can never match: below one that always holds,
// or below another of the same condition, where that ends the list.
func (r *Router) checkReach() (errs []error) {
	ends := map[string]int{}
	for i := range r.Rules {
		when := strings.Join(strings.Fields(r.Rules[i].When), " ")
		for _, above := range [...]string{"", when} {
			if n, taken := ends[above]; taken {
				errs = append(errs, config.Field(fmt.Errorf("can never match: rules.%d above takes all that it could", n), "rules", strconv.Itoa(i)))
				break
			}
		}
		if _, taken := ends[when]; !taken && !r.Rules[i].Continue {
			ends[when] = i
		}
	}
	return errs
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

// Bind takes the worker's name, which replies' identifiers follow from.
func (r *Router) Bind(_ context.Context, tools dispatcher.Tools) error {
	r.worker = tools.Name
	return nil
}

// UseHealth makes conditions and choices know how transports are.
func (r *Router) UseHealth(h dispatcher.Health) { r.health = h }

func (r *Router) knows(name string) bool {
	return slices.Contains(r.names.Exposed, name) || slices.Contains(r.names.Transports, name)
}

// work is one arrival on its way through the rules.
type work struct {
	router  *Router
	facts   facts
	arrival *dispatcher.Arrival // as it is now
	first   dispatcher.Arrival  // as it came
	copied  bool
	shared  bool // a target has the copy already
	targets []dispatcher.Target
}

// own is the work's copy of the arrival, to be changed.
func (w *work) own() *dispatcher.Arrival {
	if !w.copied || w.shared {
		w.arrival, w.copied, w.shared = w.arrival.Clone(), true, false
		w.facts.arrival = w.arrival
	}
	w.facts.changed()
	return w.arrival
}

// send adds a target for the arrival as it is now.
func (w *work) send(r *rule, connector string) {
	t := dispatcher.Target{Connector: connector, Rule: r.why}
	if slices.Contains(w.router.names.Transports, connector) && w.arrival.Flow != message.Outbound {
		t.Flow = message.Outbound
	}
	switch {
	case w.copied && w.shared:
		t.Envelope = w.arrival.Clone()
	case w.copied:
		t.Envelope, w.shared = w.arrival, true
	}
	w.targets = append(w.targets, t)
}

// Route tries the rules in their order.
func (r *Router) Route(_ context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	w, _ := r.works.Get().(*work)
	if w == nil {
		w = &work{}
	}
	w.router, w.first, w.arrival = r, a, &w.first
	w.facts.about(r, w.arrival)
	targets, err := r.decide(w)
	*w = work{facts: facts{scratch: w.facts.scratch}}
	r.works.Put(w)
	return targets, err
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

// check refuses what a connector cannot take, and an event for two.
func (w *work) check() error {
	if w.arrival.Flow == message.EventFlow && len(w.targets) > 1 {
		return w.refuse("the rules send it to several applications, and an event has one")
	}
	for _, t := range w.targets {
		switch toTransport := slices.Contains(w.router.names.Transports, t.Connector); {
		case toTransport && w.arrival.Flow == message.EventFlow:
			return w.refuse("%s sends it to transport %s, and transports take no events", t.Rule, t.Connector)
		case !toTransport && w.arrival.Flow == message.Outbound:
			return w.refuse("%s sends it to application %s, and applications take no outbound messages", t.Rule, t.Connector)
		}
	}
	return nil
}

func (w *work) refuse(format string, args ...any) error {
	return message.Permanent(fmt.Errorf("%s from %s: %s", w.arrival, w.arrival.Connector, fmt.Sprintf(format, args...)))
}

// fail is a rule's error: of this message only. Discard stays what it is.
func (w *work) fail(r *rule, err error) error {
	if _, discarded := message.DiscardReason(err); discarded {
		return err
	}
	return message.Permanent(fmt.Errorf("%s from %s: %s: %w", w.arrival, w.arrival.Connector, r.why, err))
}
