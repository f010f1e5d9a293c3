package options

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"switchboard/internal/endpoint"
)

// FieldError is an error about one place in a file, given by the keys that
// lead there. Validate methods return it; Document.Locate finds the line.
type FieldError struct {
	Keys []string // keys, and numbers for list items, from the top level down
	Err  error
}

// Field makes a FieldError: Field(err, "route_mappings", "smpp").
func Field(err error, keys ...string) error { return &FieldError{Keys: keys, Err: err} }

// Fieldf makes a FieldError with a formatted text about one top-level key.
func Fieldf(key, format string, args ...any) error {
	return &FieldError{Keys: []string{key}, Err: fmt.Errorf(format, args...)}
}

// If is an error about a top-level key if something is wrong with it.
func If(wrong bool, key, format string, args ...any) error {
	if wrong {
		return Fieldf(key, format, args...)
	}
	return nil
}

// Positive is an error about a top-level key whose value is not above 0.
func Positive[N ~int | ~int64](key string, n N) error { return If(n <= 0, key, "must be above 0") }

// NotNegative is an error about a top-level key whose value is below 0.
func NotNegative[N ~int | ~int64](key string, n N) error {
	return If(n < 0, key, "must not be negative")
}

// OneOf reads one of a few words.
func OneOf[T ~string](text []byte, into *T, words ...T) error {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	if !slices.Contains(list, string(text)) {
		return fmt.Errorf("%q is none of %s%s", text, strings.Join(list, ", "), DidYouMean(string(text), list))
	}
	*into = T(text)
	return nil
}

// Between is an error about a top-level key whose number is out of bounds.
func Between(key string, n, least, most int) error {
	return If(n < least || n > most, key, "must be between %d and %d", least, most)
}

// Port is an error about a top-level key whose number is no port to listen on; 0 is any
// free one.
func Port(key string, n int) error {
	return If(n < 0 || n > endpoint.MaxPort, key, "must be a port number, at most %d", endpoint.MaxPort)
}

// Under puts keys before those of each part of a Validate method's error.
func Under(err error, keys ...string) error {
	if err == nil {
		return nil
	}
	if joined, is := err.(interface{ Unwrap() []error }); is {
		var errs []error
		for _, part := range joined.Unwrap() {
			errs = append(errs, Under(part, keys...))
		}
		return errors.Join(errs...)
	}
	if field, ok := errors.AsType[*FieldError](err); ok {
		return Field(field.Err, append(slices.Clone(keys), field.Keys...)...)
	}
	return Field(err, keys...)
}

func (e *FieldError) Error() string { return strings.Join(e.Keys, ".") + ": " + e.Err.Error() }

func (e *FieldError) Unwrap() error { return e.Err }

// errorList joins errors, of which it keeps the first maxErrors.
type errorList []error

func (l *errorList) add(err error) {
	if err != nil && !l.full() {
		*l = append(*l, err)
	}
}

func (l *errorList) full() bool { return len(*l) >= maxErrors }

func (l *errorList) err() error {
	if l.full() {
		return errors.Join(append(*l, errors.New("there may be more errors; correct these first"))...)
	}
	return errors.Join(*l...)
}

// Locate puts file and line before an error of a Validate method; each part of
// a joined error gets its own. Below a section (a middleware's, say) the keys
// are looked up under prefix.
func (d *Document) Locate(err error, prefix ...string) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs errorList
		for _, part := range joined.Unwrap() {
			if !errs.full() {
				errs.add(d.Locate(part, prefix...))
			}
		}
		return errs.err()
	}
	keys := prefix
	if field, ok := errors.AsType[*FieldError](err); ok {
		keys = slices.Concat(prefix, field.Keys)
	}
	at, value := d.find(keys)
	if d.unresolved[value] {
		return nil // it is wrong because it is not known
	}
	return fmt.Errorf("%s: %w", d.position(at), err)
}

// Position is "file:line" of the deepest of keys that is there.
func (d *Document) Position(keys ...string) string {
	at, _ := d.find(keys)
	return d.position(at)
}

// find is the deepest of keys that is there, and its value.
func (d *Document) find(keys []string) (at, value *yaml.Node) {
	if len(keys) == 0 || d.entry(keys[0]) == nil {
		return nil, nil
	}
	at, value = d.entry(keys[0]).key, resolve(d.entry(keys[0]).value)
	for _, key := range keys[1:] {
		next, below := child(value, key)
		if next == nil {
			break
		}
		at, value = next, resolve(below)
	}
	return at, value
}

// child finds a key of a mapping, an item of a list by number, or an item of a
// list by its text.
func child(node *yaml.Node, key string) (at, value *yaml.Node) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == key {
				return node.Content[i], node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		for i, item := range node.Content {
			if fmt.Sprint(i) == key || resolve(item).Value == key {
				return item, item
			}
		}
	}
	return nil, nil
}

// DidYouMean is `; did you mean "x"?` for the nearest of the known words, or
// "" when none is near.
func DidYouMean(word string, known []string) string {
	best, distance := "", 1+(len(word)+2)/3
	for _, k := range known {
		if d := EditDistance(strings.ToLower(word), strings.ToLower(k)); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// EditDistance is Levenshtein's: how many letters make one word the other.
func EditDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
