package conversation

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"switchboard/options"
)

// Values are what texts and conditions can name.
type Values map[string]string

// Fill puts values into a text: {name} is the value of name, {{ a brace.
func Fill(text string, values Values) string {
	return replace(text, func(name string) string { return values[name] })
}

// Replace is Fill with every value passed through change, as for a URL's query.
func Replace(text string, values Values, change func(string) string) string {
	return replace(text, func(name string) string { return change(values[name]) })
}

func replace(text string, value func(name string) string) string {
	if !strings.Contains(text, "{") {
		return text
	}
	var out strings.Builder
	_ = walk(text, func(literal string) { out.WriteString(literal) }, func(name string) { out.WriteString(value(name)) })
	return out.String()
}

// walk goes through the literal parts and the names of a text.
func walk(text string, literal, name func(string)) error {
	for {
		before, rest, found := strings.Cut(text, "{")
		literal(before)
		if !found {
			return nil
		}
		if strings.HasPrefix(rest, "{") {
			literal("{")
			text = rest[1:]
			continue
		}
		inside, after, closed := strings.Cut(rest, "}")
		if !closed {
			literal("{" + rest)
			return errors.New("a { has no }; write {{ for a brace itself")
		}
		name(inside)
		text = after
	}
}

// CheckText says what is wrong with a text's names.
func CheckText(text string, known []string) error {
	var errs []error
	err := walk(text, func(string) {}, func(name string) {
		if !slices.Contains(known, name) {
			errs = append(errs, fmt.Errorf("nothing is called {%s} here%s", name, options.DidYouMean(name, known)))
		}
	})
	return errors.Join(append(errs, err)...)
}

// CheckTexts is CheckText for each language, below keys.
func CheckTexts(text options.Text, known []string, keys ...string) error {
	var errs []error
	for _, one := range text {
		at := keys
		if one.Key != "" {
			at = append(slices.Clone(keys), one.Key)
		}
		errs = append(errs, options.Under(CheckText(one.Value, known), at...))
	}
	return errors.Join(errs...)
}

// LintLanguages warns of languages that a text lacks, or has and nobody speaks.
func LintLanguages(text options.Text, languages []string, keys ...string) error {
	if len(text) == 0 || len(text) == 1 && text[0].Key == "" && len(languages) < 2 {
		return nil
	}
	if text[0].Key == "" {
		return options.Field(fmt.Errorf("is the same in %s; write a text for each, or leave it so if all understand it",
			strings.Join(languages, ", ")), keys...)
	}
	var errs []error
	for _, language := range languages {
		if !slices.ContainsFunc(text, func(p options.Pair[string]) bool { return p.Key == language }) {
			errs = append(errs, options.Field(fmt.Errorf("has no text in %s; who speaks it gets the one in %s", language, text[0].Key), keys...))
		}
	}
	for _, one := range text {
		if !slices.Contains(languages, one.Key) {
			errs = append(errs, options.Field(fmt.Errorf("is in no language of languages (%s)%s", strings.Join(languages, ", "),
				options.DidYouMean(one.Key, languages)), append(slices.Clone(keys), one.Key)...))
		}
	}
	return errors.Join(errs...)
}

// Names are the names of values, sorted.
func Names(values ...Values) []string {
	var names []string
	for _, v := range values {
		names = append(names, slices.Collect(maps.Keys(v))...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
