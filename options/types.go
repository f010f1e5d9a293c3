package options

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Duration is written as 90s, 5m, 1h30m, or as a number of seconds.
type Duration time.Duration

// UnmarshalText reads a Duration.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if seconds, notSeconds := strconv.ParseFloat(string(text), 64); notSeconds == nil {
		parsed, err = time.Duration(seconds*float64(time.Second)), nil
		if !(math.Abs(seconds) < math.MaxInt64/float64(time.Second)) {
			return fmt.Errorf("%q is too long a duration", text)
		}
	}
	if err != nil {
		return fmt.Errorf("%q is no duration; write seconds, or 90s, 5m, 1h30m", text)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalYAML writes a Duration as 1m30s.
func (d Duration) MarshalYAML() (any, error) { return time.Duration(d).String(), nil }

// Std is the duration as package time has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Names is written as one name or a list of names.
type Names []string

func (n *Names) decodeNode(d *decoder, node *yaml.Node, path []string) {
	if node.Kind == yaml.ScalarNode {
		*n = Names{node.Value}
		return
	}
	d.decode(node, reflect.ValueOf((*[]string)(n)).Elem(), path)
}

// Text is what people read: written as one text, or as a mapping from languages
// (en, sw, pt-BR) to texts, of which the first is the default.
type Text Map[string]

func (t *Text) decodeNode(d *decoder, node *yaml.Node, path []string) {
	if node.Kind == yaml.ScalarNode {
		*t = Text{{Value: node.Value}}
		return
	}
	d.decode(node, reflect.ValueOf((*Map[string])(t)).Elem(), path)
}

// In is the text in a language; where there is none, the default.
func (t Text) In(language string) string {
	if text, found := Map[string](t).Get(language); found {
		return text
	}
	if len(t) == 0 {
		return ""
	}
	return t[0].Value
}

// Path is a file's name, from the directory of the file that names it.
type Path string

func (p *Path) decodeNode(d *decoder, node *yaml.Node, path []string) {
	if node.Kind != yaml.ScalarNode {
		d.wanted(node, path, "the name of a file")
		return
	}
	if *p = Path(node.Value); *p != "" && !filepath.IsAbs(node.Value) {
		*p = Path(filepath.Join(filepath.Dir(d.doc.Path), node.Value))
	}
}

// Shorthand is the optional ability of a struct to be written as one value: that
// of the key it names.
type Shorthand interface{ ShorthandKey() string }

const filePrefix = "file:"

// Secret is a password or token: written as ${ENV} or file:PATH, and never
// shown again.
type Secret string

func (s *Secret) decodeNode(d *decoder, node *yaml.Node, path []string) {
	name, inFile := strings.CutPrefix(node.Value, filePrefix)
	switch {
	case node.Kind != yaml.ScalarNode:
		d.wanted(node, path, "a text")
	case !inFile || d.doc.inspected:
		*s = Secret(node.Value)
	default:
		text, err := os.ReadFile(name)
		if err != nil {
			d.fail(node, path, "is a secret that cannot be read: %v", err)
		}
		*s = Secret(strings.TrimRight(string(text), "\r\n"))
	}
	if clear := node.Value != "" && !inFile && !d.doc.expanded[node] && !d.doc.unresolved[node]; clear {
		d.doc.warnings = append(d.doc.warnings, fmt.Sprintf("%s: %s is a secret in clear; write ${%s} or file:PATH instead",
			d.doc.position(node), strings.Join(path, "."), strings.ToUpper(strings.Join(path, "_"))))
	}
}

const hidden = "******"

// String hides the secret.
func (s Secret) String() string { return hidden }

// GoString hides the secret.
func (s Secret) GoString() string { return hidden }

// LogValue hides the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Reveal is the secret itself.
func (s Secret) Reveal() string { return string(s) }

// Map is a mapping that keeps the file's order.
type Map[V any] []Pair[V]

// Pair is one key of a Map with its value.
type Pair[V any] struct {
	Key   string
	Value V
}

func (m *Map[V]) decodeNode(d *decoder, node *yaml.Node, path []string) {
	*m = nil
	d.pairs(node, path, func(key, value *yaml.Node) {
		pair := Pair[V]{Key: key.Value}
		d.decode(value, reflect.ValueOf(&pair.Value).Elem(), append(path, key.Value))
		*m = append(*m, pair)
	})
}

// Get is the value of a key.
func (m Map[V]) Get(key string) (value V, found bool) {
	for _, pair := range m {
		if pair.Key == key {
			return pair.Value, true
		}
	}
	return value, false
}
