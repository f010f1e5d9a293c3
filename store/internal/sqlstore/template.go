package sqlstore

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// template is a text with personal fields: Hi {{name}}.
type template struct {
	plain  []string // one more than fields
	fields []string
}

func parseTemplate(text string) (t template, err error) {
	for {
		before, rest, found := strings.Cut(text, "{{")
		t.plain = append(t.plain, before)
		if !found {
			return t, nil
		}
		name, after, closed := strings.Cut(rest, "}}")
		name = strings.TrimSpace(name)
		if !closed || name == "" {
			return t, errors.New("the broadcast's text has a {{ without a field's name and }}")
		}
		t.fields = append(t.fields, name)
		text = after
	}
}

func (t *template) personal() bool { return len(t.fields) > 0 }

func (t *template) fill(fields map[string]string) (string, error) {
	var b strings.Builder
	for i, name := range t.fields {
		value, ok := fields[name]
		if !ok {
			return "", fmt.Errorf("there is no field %q for the text (the list has %s)", name,
				strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		}
		b.WriteString(t.plain[i])
		b.WriteString(value)
	}
	b.WriteString(t.plain[len(t.fields)])
	return b.String(), nil
}
