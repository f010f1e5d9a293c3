package options

import (
	"fmt"
	"log/slog"
	"math"
	"os"
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
