package options

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// walker compares a YAML tree with the Go type it will be decoded into, since
// yaml.Node.Decode lets unknown keys pass.
type walker struct {
	doc  *Document
	errs []error
}

var (
	unmarshaler     = reflect.TypeFor[yaml.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	secretType      = reflect.TypeFor[Secret]()
	shapedType      = reflect.TypeFor[shaped]()
)

// shaped is a type that decodes itself and says what shape it expects, so that
// the walk goes on below it.
type shaped interface{ walkAs() reflect.Type }

func (w *walker) walk(node *yaml.Node, t reflect.Type, path []string) {
	node = resolve(node)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == secretType {
		w.secret(node, path)
		return
	}
	if reflect.PointerTo(t).Implements(shapedType) {
		w.walk(node, reflect.New(t).Interface().(shaped).walkAs(), path)
		return
	}
	if reflect.PointerTo(t).Implements(unmarshaler) || reflect.PointerTo(t).Implements(textUnmarshaler) {
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		w.walkStruct(node, t, path)
	case reflect.Map:
		for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
			w.walk(node.Content[i+1], t.Elem(), append(path, node.Content[i].Value))
		}
	case reflect.Int, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		w.whole(node)
	case reflect.Slice:
		for i := 0; node.Kind == yaml.SequenceNode && i < len(node.Content); i++ {
			w.walk(node.Content[i], t.Elem(), append(path, strconv.Itoa(i)))
		}
	}
}

func (w *walker) walkStruct(node *yaml.Node, t reflect.Type, path []string) {
	if node.Kind != yaml.MappingNode {
		if node.Tag != "!!null" {
			w.fail(node, "%s must be a mapping of keys to values", strings.Join(path, "."))
		}
		return
	}
	fields := fieldsOf(t)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Tag == "!!merge" {
			w.walkStruct(resolve(value), t, path)
			continue
		}
		field, known := fields.types[key.Value]
		if !known {
			w.fail(key, "unknown key %q%s%s", key.Value, inside(path), DidYouMean(key.Value, fields.names))
			continue
		}
		w.walk(value, field, append(path, key.Value))
	}
}

// whole refuses what the YAML library would cut off: 0.5 messages a second must
// not become 0, which often means no limit.
func (w *walker) whole(node *yaml.Node) {
	if f, err := strconv.ParseFloat(node.Value, 64); node.ShortTag() == "!!float" && err == nil && f != math.Trunc(f) {
		w.fail(node, "here must be a whole number, not %q", node.Value)
	}
}

func (w *walker) secret(node *yaml.Node, path []string) {
	if node.Value != "" && !w.doc.expanded[node] && !strings.HasPrefix(node.Value, filePrefix) {
		w.doc.warnings = append(w.doc.warnings, fmt.Sprintf(
			"%s: %s is a secret in clear; write ${%s} or file:PATH instead",
			w.doc.position(node), strings.Join(path, "."), strings.ToUpper(strings.Join(path, "_"))))
	}
}

func (w *walker) fail(node *yaml.Node, format string, args ...any) {
	w.errs = append(w.errs, w.doc.errorAt(node, format, args...))
}

func inside(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return " in " + strings.Join(path, ".")
}

type fields struct {
	names []string
	types map[string]reflect.Type
}

// fieldsOf lists the YAML keys of a struct, embedded (`,inline`) ones included.
func fieldsOf(t reflect.Type) fields {
	f := fields{types: map[string]reflect.Type{}}
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			inner := fieldsOf(field.Type)
			f.names = append(f.names, inner.names...)
			for key, typ := range inner.types {
				f.types[key] = typ
			}
		case name != "" && name != "-":
			f.names = append(f.names, name)
			f.types[name] = field.Type
		}
	}
	return f
}

// fieldNames are the YAML keys of the struct v points to.
func fieldNames(v any) []string {
	t := typeOf(v)
	if t.Kind() != reflect.Struct {
		return nil
	}
	return fieldsOf(t).names
}

func typeOf(v any) reflect.Type {
	t := reflect.TypeOf(v)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

var typeErrorLine = regexp.MustCompile(`^line (\d+): (.*)$`)

// yamlError turns yaml's type errors into errors that Locate can place.
func yamlError(err error) error {
	var typed *yaml.TypeError
	if !errors.As(err, &typed) {
		return err
	}
	var errs []error
	for _, text := range typed.Errors {
		if m := typeErrorLine.FindStringSubmatch(text); m != nil {
			line, _ := strconv.Atoi(m[1])
			errs = append(errs, &lineError{line, plainly(m[2])})
			continue
		}
		errs = append(errs, errors.New(text))
	}
	return errors.Join(errs...)
}
