package routers

import (
	"errors"
	"fmt"
	"slices"

	"switchboard/dispatcher"
	"switchboard/options"
)

// checkTarget says what is wrong with a name that must be one of known, which
// is the list under option (transport_names, exposed_names).
func checkTarget(name, option string, known []string, keys ...string) error {
	if slices.Contains(known, name) {
		return nil
	}
	switch {
	case name == "":
		return options.Field(fmt.Errorf("names nothing; write one of %s", option), keys...)
	case len(known) == 0:
		return options.Field(fmt.Errorf("%q is none of %s, which is missing", name, option), keys...)
	}
	return options.Field(fmt.Errorf("%q is none of %s%s", name, option, options.DidYouMean(name, known)), keys...)
}

// checkTargets checks every value of a mapping.
func checkTargets(m options.Map[options.Names], known []string, list, option string) error {
	var errs []error
	for _, pair := range m {
		for _, name := range pair.Value {
			errs = append(errs, checkTarget(name, list, known, option, pair.Key))
		}
	}
	return errors.Join(errs...)
}

// checkSources checks the transports a mapping is keyed by. A key that is none
// of transport_names may be the transport of messages that come through another
// dispatcher; it is refused where that cannot be: when every connector has a
// key of its own, or one without looks like it.
func checkSources(m options.Map[options.Names], names dispatcher.Names, option string) error {
	var unmapped []string
	for _, t := range names.Transports {
		if _, mapped := m.Get(t); !mapped {
			unmapped = append(unmapped, t)
		}
	}
	var errs []error
	for _, pair := range m {
		if slices.Contains(names.Transports, pair.Key) {
			continue
		}
		if near := options.DidYouMean(pair.Key, unmapped); near != "" || len(unmapped) == 0 {
			errs = append(errs, options.Field(fmt.Errorf("%q is none of transport_names%s", pair.Key, near), option, pair.Key))
		}
	}
	return errors.Join(errs...)
}

// checkFilled refuses an option that is not there, and keys that lead nowhere.
func checkFilled(m options.Map[options.Names], option, want string) error {
	if len(m) == 0 {
		return options.Fieldf(option, "is missing; write %s", want)
	}
	var errs []error
	for _, pair := range m {
		if len(pair.Value) == 0 {
			errs = append(errs, options.Field(fmt.Errorf("leads nowhere; write %s", want), option, pair.Key))
		}
		for i, name := range pair.Value {
			if slices.Contains(pair.Value[:i], name) {
				errs = append(errs, options.Field(fmt.Errorf("%s is there twice", name), option, pair.Key))
			}
		}
	}
	return errors.Join(errs...)
}
