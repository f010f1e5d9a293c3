package receipt

import (
	"fmt"
	"regexp"
)

// patternGroups are the named groups CompilePattern takes, those of Vumi's
// delivery_report_regex.
const patternGroups = "id, sub, dlvrd, submit_date, done_date, stat, err and text"

// CompilePattern makes a Parser's Pattern of a regular expression with the named
// groups id, sub, dlvrd, submit_date, done_date, stat, err and text, of which id
// and stat must be there. It takes Python's form: "{,65}" counts from none, as
// it does there. Lookaround and backreferences are refused, with the place.
func CompilePattern(expression string) (*regexp.Regexp, error) {
	// Go takes "{,65}" for seven characters.
	fromNone := regexp.MustCompile(`(^|[^\\])\{,(\d+)\}`)
	re, err := regexp.Compile(fromNone.ReplaceAllString(expression, "$1{0,$2}"))
	if err != nil {
		return nil, fmt.Errorf("compiling delivery_report_regex (lookaround and backreferences cannot be used): %w", err)
	}
	for _, name := range re.SubexpNames() {
		if name != "" && !isField(plainName(name)) {
			return nil, fmt.Errorf("delivery_report_regex has a group %q; the groups are %s", name, patternGroups)
		}
	}
	for _, name := range []string{"id", "stat"} {
		if re.SubexpIndex(name) < 0 {
			return nil, fmt.Errorf("delivery_report_regex has no group %q: without it no receipt can be understood", name)
		}
	}
	return re, nil
}

func matchFields(re *regexp.Regexp, text string) (f fields) {
	match := re.FindStringSubmatch(text)
	for i, name := range re.SubexpNames() {
		if match != nil && name != "" && match[i] != "" {
			f.set(plainName(name), match[i])
		}
	}
	return f
}
