package menu

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"switchboard/applications/conversation"
	"switchboard/message"
	"switchboard/options"
)

// Validate checks the screens and where they lead.
func (a *Application) Validate() error {
	if len(a.Screens) == 0 {
		return options.Fieldf("screens", "is missing; write the screens, the first one first")
	}
	var errs []error
	if a.Timeout <= 0 {
		errs = append(errs, options.Fieldf("timeout", "must be above 0"))
	}
	if a.Remember < a.Timeout {
		errs = append(errs, options.Fieldf("remember", "must be at least timeout (%s)", a.Timeout.Std()))
	}
	a.collect()
	errs = append(errs, conversation.CheckTexts(a.Invalid, a.names, "invalid"))
	for i := range a.Screens {
		s := &a.Screens[i]
		errs = append(errs, options.Under(a.check(&s.Value), "screens", s.Key))
	}
	return errors.Join(errs...)
}

// collect finds the names of screens and values.
func (a *Application) collect() {
	a.screens = map[string]*Screen{}
	a.names = append(conversation.Names(conversation.Facts(&message.Message{})), language)
	for i := range a.Screens {
		s := &a.Screens[i].Value
		a.screens[a.Screens[i].Key] = s
		if s.Ask != "" {
			a.names = append(a.names, s.Ask)
		}
		for _, c := range s.Choices {
			for name := range c.Set {
				a.names = append(a.names, name)
			}
		}
		if s.HTTP != nil {
			for name := range s.HTTP.Save {
				a.names = append(a.names, name)
			}
		}
	}
	slices.Sort(a.names)
	a.names = slices.Compact(a.names)
}

func (a *Application) leads(name string) error {
	if _, there := a.screens[name]; there {
		return nil
	}
	known := make([]string, len(a.Screens))
	for i, s := range a.Screens {
		known[i] = s.Key
	}
	return options.Fieldf("next", "leads to no screen: %q%s", name, options.DidYouMean(name, known))
}

func (a *Application) check(s *Screen) error {
	errs := []error{a.fresh(s.Ask, "ask"), conversation.CheckTexts(s.Text, a.names, "text"), conversation.CheckTexts(s.Invalid, a.names, "invalid")}
	var err error
	switch {
	case len(s.Choices) > 0 && (s.Ask != "" || s.Next != "" || len(s.Branches) > 0):
		errs = append(errs, errors.New("has choices, each with its next; ask, next and branches are for screens without"))
	case len(s.Choices)+len(s.Ask) > 0 && len(s.Text) == 0:
		errs = append(errs, errors.New("asks without a text"))
	case s.Ask != "" || len(s.Text) == 0:
		errs = append(errs, a.leads(s.Next))
	case len(s.Choices) == 0 && (s.Next != "" || len(s.Branches) > 0):
		errs = append(errs, options.Fieldf("next", "comes after no answer; write ask, or choices, or leave it out to end here"))
	}
	if s.Check != "" && s.Ask == "" {
		errs = append(errs, options.Fieldf("check", "has nothing to check; write ask"))
	}
	if s.check, err = conversation.Compile(s.Check, a.names); err != nil {
		errs = append(errs, options.Field(err, "check"))
	}
	for i := range s.Choices {
		errs = append(errs, options.Under(a.checkChoice(&s.Choices[i]), "choices", strconv.Itoa(i)))
	}
	for i := range s.Branches {
		b := &s.Branches[i]
		if b.when, err = conversation.Compile(b.When, a.names); err != nil {
			err = options.Field(err, "when")
		}
		errs = append(errs, options.Under(errors.Join(err, a.leads(b.Next)), "branches", strconv.Itoa(i)))
	}
	if s.HTTP != nil {
		failed := func(name string) error {
			if a.screens[name] != nil || name == "" {
				return nil
			}
			return options.Fieldf("failed", "leads to no screen: %q", name)
		}
		errs = append(errs, options.Under(s.HTTP.check(a.names, failed), "http"))
	}
	return errors.Join(errs...)
}

// fresh refuses variables that would hide what every message has.
func (a *Application) fresh(name, key string) error {
	if _, taken := conversation.Facts(&message.Message{})[name]; taken {
		return options.Fieldf(key, "%s is what every message has; choose another name", name)
	}
	return nil
}

func (a *Application) checkChoice(c *Choice) (err error) {
	errs := []error{a.leads(c.Next), conversation.CheckTexts(c.Label, a.names, "label")}
	if len(c.Label) == 0 {
		errs = append(errs, options.Fieldf("label", "is missing"))
	}
	if c.when, err = conversation.Compile(c.When, a.names); err != nil {
		errs = append(errs, options.Field(err, "when"))
	}
	for name, value := range c.Set {
		errs = append(errs, a.fresh(name, "set"))
		errs = append(errs, options.Under(conversation.CheckText(value, a.names), "set", name))
		if name == language && !strings.Contains(value, "{") && !slices.Contains(a.Languages, value) {
			errs = append(errs, options.Field(fmt.Errorf("%q is not among languages%s", value, options.DidYouMean(value, a.Languages)), "set", name))
		}
	}
	return errors.Join(errs...)
}

// Lint warns of screens nobody reaches, languages that are missing, and screens
// from which nothing leads to an end.
func (a *Application) Lint() error {
	reached := map[string]bool{}
	a.reach(a.Screens[0].Key, reached)
	var errs []error
	for i := range a.Screens {
		name, s := a.Screens[i].Key, &a.Screens[i].Value
		if !reached[name] {
			errs = append(errs, options.Field(errors.New("is never shown: no screen leads to it"), "screens", name))
		}
		lint := []error{conversation.LintLanguages(s.Text, a.Languages, "text"), conversation.LintLanguages(s.Invalid, a.Languages, "invalid")}
		for j, c := range s.Choices {
			lint = append(lint, conversation.LintLanguages(c.Label, a.Languages, "choices", strconv.Itoa(j), "label"))
			for k := range j {
				if s.Choices[k].When == "" && c.When == "" && c.Label.In("") == s.Choices[k].Label.In("") {
					lint = append(lint, options.Field(errors.New("has the label of a choice before it"), "choices", strconv.Itoa(j)))
				}
			}
		}
		errs = append(errs, options.Under(errors.Join(lint...), "screens", name))
	}
	return errors.Join(append(errs, conversation.LintLanguages(a.Invalid, a.Languages, "invalid"))...)
}

func (a *Application) reach(name string, reached map[string]bool) {
	if reached[name] {
		return
	}
	reached[name] = true
	s := a.screens[name]
	next := []string{s.Next}
	for _, c := range s.Choices {
		next = append(next, c.Next)
	}
	for _, b := range s.Branches {
		next = append(next, b.Next)
	}
	if s.HTTP != nil {
		next = append(next, s.HTTP.Failed)
	}
	for _, n := range next {
		if n != "" {
			a.reach(n, reached)
		}
	}
}
