// Package reference writes docs/reference: the YAML keys of every class, from
// the structs that are decoded into. Keys, types and defaults come from a new
// value of the class, so they cannot be wrong; what a key means is its field's
// comment.
package reference

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"switchboard/options"
)

// Struct is something whose fields are YAML keys.
type Struct struct {
	Name  string   // how the page calls it: a class's short name, or a title
	Vumi  []string // Vumi's dotted names
	About string   // one line, where the struct has no comment
	Value any      // a pointer to the struct, with its defaults
	// Except are keys described elsewhere on the page.
	Except []string
}

// Group is a part of a struct's keys: one of the structs it is made of.
type Group struct {
	Doc  string
	Rows []Row
}

// Row is one key.
type Row struct {
	Key      string // nested keys are joined by dots; [] is an item of a list, <name> a key of a mapping
	Type     string // in an operator's words
	Default  string // "" where there is none
	Required bool   // a file without it does not load
	Doc      string
}

// Groups are the keys of a struct, by the structs it embeds, in their order.
// Sources finds the comments.
func (s Struct) Groups(sources *Sources) ([]Group, error) {
	d := &describer{sources: sources, required: required(s.Value), except: s.Except, seen: map[reflect.Type]bool{}}
	value := reflect.ValueOf(s.Value).Elem()
	if err := d.group(value); err != nil {
		return nil, fmt.Errorf("describing %s: %w", s.Name, err)
	}
	return slices.DeleteFunc(d.groups, func(g Group) bool { return len(g.Rows) == 0 }), nil
}

type describer struct {
	sources  *Sources
	seen     map[reflect.Type]bool // nested structs that are described already
	required map[string]bool
	except   []string
	groups   []Group
}

// group describes a struct, then those it embeds.
func (d *describer) group(value reflect.Value) error {
	comments, err := d.sources.of(value.Type())
	if err != nil {
		return err
	}
	at := len(d.groups)
	d.seen[value.Type()] = true
	d.groups = append(d.groups, Group{Doc: comments.doc})
	rows, err := d.rows(value, "")
	if err != nil {
		return err
	}
	d.groups[at].Rows = rows
	for _, field := range reflect.VisibleFields(value.Type()) {
		if len(field.Index) == 1 && inline(field) {
			if err := d.group(value.FieldByIndex(field.Index)); err != nil {
				return err
			}
		}
	}
	return nil
}

// rows are a struct's own keys and those nested in them, each below prefix.
func (d *describer) rows(value reflect.Value, prefix string) ([]Row, error) {
	comments, err := d.sources.of(value.Type())
	if err != nil {
		return nil, err
	}
	var rows []Row
	for i := range value.NumField() {
		field := value.Type().Field(i)
		key := yamlKey(field)
		if key == "" || prefix == "" && slices.Contains(d.except, key) {
			continue
		}
		doc := comments.fields[field.Name]
		if doc == "" && prefix != "" {
			continue // the comment of the key above says what it holds
		}
		if doc == "" {
			return nil, fmt.Errorf("%s.%s has no comment, so nobody can know what %s is", value.Type(), field.Name, key)
		}
		row := Row{Key: prefix + key, Type: typeWords(field.Type), Doc: sentence(doc, field.Name)}
		row.Required = prefix == "" && d.required[key]
		if !row.Required {
			row.Default = defaultText(value.Field(i))
		}
		row.Doc = withoutDefault(row.Doc, row.Default)
		rows = append(rows, row)
		nested, err := d.nested(value.Field(i), row.Key)
		if err != nil {
			return nil, err
		}
		rows = append(rows, nested...)
	}
	return rows, nil
}

// nested are the keys below a key, through lists and mappings. A struct within
// itself is described once.
func (d *describer) nested(value reflect.Value, key string) ([]Row, error) {
	t := value.Type()
	for {
		switch {
		case isWord(t):
			return nil, nil
		case t.Kind() == reflect.Struct && d.seen[t]:
			return nil, nil
		case t.Kind() == reflect.Struct:
			d.seen[t] = true
			if t == value.Type() {
				return d.rows(value, key+".")
			}
			return d.rows(reflect.Zero(t), key+".")
		case t.Kind() == reflect.Pointer:
			t = t.Elem()
		case ordered(t):
			t, key = mapValue(t), key+".<name>"
		case t.Kind() == reflect.Map:
			t, key = t.Elem(), key+".<name>"
		case t.Kind() == reflect.Slice:
			t, key = t.Elem(), key+"[]"
		default:
			return nil, nil
		}
	}
}

// required are the keys that the check of a struct with its defaults asks for.
func required(v any) map[string]bool {
	keys := map[string]bool{}
	if checked, can := v.(interface{ Validate() error }); can {
		collect(checked.Validate(), keys)
	}
	return keys
}

func collect(err error, keys map[string]bool) {
	var field *options.FieldError
	switch joined, is := err.(interface{ Unwrap() []error }); {
	case is:
		for _, part := range joined.Unwrap() {
			collect(part, keys)
		}
	case errors.As(err, &field) && len(field.Keys) == 1:
		keys[field.Keys[0]] = true
	}
}

// differences are the keys of two structs of one type whose defaults differ, with
// b's.
func differences(a, b reflect.Value) (changed []Row) {
	for i := range a.NumField() {
		field := a.Type().Field(i)
		key := yamlKey(field)
		switch {
		case inline(field):
			changed = append(changed, differences(a.Field(i), b.Field(i))...)
		case key != "" && defaultText(a.Field(i)) != defaultText(b.Field(i)):
			changed = append(changed, Row{Key: key, Default: defaultText(b.Field(i))})
		}
	}
	return changed
}

// Keys are the top-level keys of the struct that v points to.
func Keys(v any) []string {
	var keys []string
	for _, field := range reflect.VisibleFields(reflect.TypeOf(v).Elem()) {
		if key := yamlKey(field); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

func inline(field reflect.StructField) bool {
	return strings.HasSuffix(field.Tag.Get("yaml"), ",inline")
}

// yamlKey is "" for fields that are no keys.
func yamlKey(field reflect.StructField) string {
	key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
	if key == "-" {
		return ""
	}
	return key
}
