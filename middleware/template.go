package middleware

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// template is a text with references to a pattern's groups, as Python writes
// them: \1, \g<1>, \g<name>.
type template []part

// part is a literal, or the number of a group where that is not negative.
type part struct {
	literal string
	group   int
}

var templateReference = regexp.MustCompile(`\\(?:([1-9][0-9]?)|g<([A-Za-z0-9_]+)>|(.))`)

var templateEscapes = map[string]string{"n": "\n", "r": "\r", "t": "\t", `\`: `\`}

func parseTemplate(text string, pattern *regexp.Regexp) (template, error) {
	var t template
	rest := 0
	for _, at := range templateReference.FindAllStringSubmatchIndex(text, -1) {
		t = append(t, part{literal: text[rest:at[0]], group: -1})
		rest = at[1]
		name := sub(text, at, 1) + sub(text, at, 2)
		if name == "" {
			t = append(t, part{literal: escape(sub(text, at, 3)), group: -1})
			continue
		}
		group, err := groupOf(pattern, name)
		if err != nil {
			return nil, err
		}
		t = append(t, part{group: group})
	}
	return append(t, part{literal: text[rest:], group: -1}), nil
}

func sub(text string, at []int, n int) string {
	if at[2*n] < 0 {
		return ""
	}
	return text[at[2*n]:at[2*n+1]]
}

func escape(char string) string {
	if known, is := templateEscapes[char]; is {
		return known
	}
	return `\` + char
}

func groupOf(pattern *regexp.Regexp, name string) (int, error) {
	if n, err := strconv.Atoi(name); err == nil && n <= pattern.NumSubexp() {
		return n, nil
	}
	if n := pattern.SubexpIndex(name); n >= 0 {
		return n, nil
	}
	return 0, fmt.Errorf("the pattern %s has no group %s", pattern, name)
}

// expand fills in the groups of a match; a group that matched nothing is empty.
func (t template) expand(groups []string) string {
	var out strings.Builder
	for _, p := range t {
		if p.group >= 0 {
			out.WriteString(groups[p.group])
			continue
		}
		out.WriteString(p.literal)
	}
	return out.String()
}

// anchored compiles a pattern that must match from the start of a text, as
// Python's re.match does; what follows the match may be anything. Groups keep
// their numbers.
func anchored(pattern string) (*regexp.Regexp, error) {
	compiled, err := regexp.Compile("^(?:" + pattern + ")")
	if err != nil {
		return nil, fmt.Errorf("%q is no regular expression: %w", pattern, err)
	}
	return compiled, nil
}
