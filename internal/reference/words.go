package reference

import (
	"fmt"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

	"switchboard/options"
)

var (
	durationType = reflect.TypeFor[options.Duration]()
	secretType   = reflect.TypeFor[options.Secret]()
	namesType    = reflect.TypeFor[options.Names]()
	textType     = reflect.TypeFor[options.Text]()
	unmarshaler  = reflect.TypeFor[yaml.Unmarshaler]()
)

// typeWords says in an operator's words what to write.
func typeWords(t reflect.Type) string {
	switch {
	case t == durationType:
		return "duration"
	case t == secretType:
		return "secret"
	case t == namesType:
		return "name or list of names"
	case t == textType:
		return "text, or a text for each language"
	case ordered(t):
		return "mapping to " + plural(typeWords(mapValue(t)))
	case reflect.PointerTo(t).Implements(unmarshaler):
		return "text"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeWords(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "text"
	case reflect.Slice:
		return "list of " + plural(typeWords(t.Elem()))
	case reflect.Map:
		return "mapping to " + plural(typeWords(t.Elem()))
	case reflect.Struct:
		return "mapping"
	case reflect.Interface:
		return "anything"
	}
	return "number"
}

func plural(words string) string {
	switch first, rest, _ := strings.Cut(words, " "); first {
	case "text", "anything", "true":
		return words
	case "name":
		return "names or lists of names"
	case "mapping", "list":
		return strings.TrimSpace(first + "s " + rest)
	}
	return words + "s"
}

// isWord tells types whose YAML is one word although Go's type is made of parts.
func isWord(t reflect.Type) bool {
	return t == namesType || t == textType || !ordered(t) && reflect.PointerTo(t).Implements(unmarshaler)
}

// ordered tells a config.Map.
func ordered(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.PkgPath() == namesType.PkgPath() && strings.HasPrefix(t.Name(), "Map[")
}

// mapValue is what the keys of a config.Map lead to.
func mapValue(t reflect.Type) reflect.Type {
	field, _ := t.Elem().FieldByName("Value")
	return field.Type
}

// defaultText is "" for what is empty. A number's 0 is a default like others.
func defaultText(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return defaultText(v.Elem())
	case v.Type() == durationType:
		return shortDuration(options.Duration(v.Int()))
	case v.Type() == secretType:
		return ""
	case v.Type() == namesType:
		return strings.Join(v.Interface().(options.Names), ", ")
	}
	switch v.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64, reflect.Uint8, reflect.String:
		return fmt.Sprint(v.Interface())
	}
	return ""
}

// shortDuration is 1h where time.Duration says 1h0m0s.
func shortDuration(d options.Duration) string {
	text := d.Std().String()
	if cut, found := strings.CutSuffix(text, "m0s"); found {
		text = cut + "m"
	}
	if cut, found := strings.CutSuffix(text, "h0m"); found {
		text = cut + "h"
	}
	return text
}

// sentence turns a field's comment ("Port is the SMSC's port.") into what
// stands beside its key ("The SMSC's port.").
func sentence(doc, name string) string {
	text, named := strings.CutPrefix(doc, name+" ")
	if !named {
		return doc
	}
	for _, verb := range []string{"is ", "are "} {
		text = strings.TrimPrefix(text, verb)
	}
	return upperFirst(text)
}

// withoutDefault takes out of a text what the column of defaults says.
func withoutDefault(doc, value string) string {
	text := strings.ReplaceAll(doc+" ", " Required. ", " ")
	for _, spelt := range []string{value, "`" + value + "`"} {
		text = strings.ReplaceAll(text, " Default "+spelt+". ", " ")
	}
	return strings.TrimSpace(text)
}
