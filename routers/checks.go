package routers

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

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
// of transport_names is the transport of messages that another dispatcher passes
// on, which keep their transport_name; it is rejected where it looks like a
// transport that has no key.
func checkSources(m options.Map[options.Names], names dispatcher.Names, option string) error {
	known, unmapped := map[string]bool{}, map[string]bool{}
	for _, t := range names.Transports {
		known[t], unmapped[t] = true, true
	}
	for _, pair := range m {
		delete(unmapped, pair.Key)
	}
	candidates := slices.Sorted(maps.Keys(unmapped))
	var errs []error
	for _, pair := range m {
		if known[pair.Key] {
			continue
		}
		for _, t := range candidates {
			if misspells(pair.Key, t) {
				errs = append(errs, options.Field(fmt.Errorf("%q is none of transport_names; did you mean %q?", pair.Key, t), option, pair.Key))
				break
			}
		}
	}
	return errors.Join(errs...)
}

// misspells says whether a word is another with a slip of the keyboard, and not
// a name made from it, as smpp_1 is from smpp and from smpp_2.
func misspells(word, name string) bool {
	const slip = 2 // two letters changed places
	return options.EditDistance(word, name) <= slip && digits(word) == digits(name) &&
		!extends(word, name) && !extends(name, word)
}

func extends(word, name string) bool {
	rest, does := strings.CutPrefix(word, name)
	return does && rest != "" && strings.ContainsRune("_-.:", rune(rest[0]))
}

func digits(text string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, text)
}

// lintSources points at keys that only the messages of another dispatcher can
// have, and that may be a slip.
func lintSources(m options.Map[options.Names], names dispatcher.Names, option string) error {
	var errs []error
	for _, pair := range m {
		if slices.Contains(names.Transports, pair.Key) {
			continue
		}
		if near := options.DidYouMean(pair.Key, names.Transports); near != "" {
			errs = append(errs, options.Field(fmt.Errorf("%q is none of transport_names: it counts for messages alone that another dispatcher passes on with this transport_name%s", pair.Key, near), option, pair.Key))
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
