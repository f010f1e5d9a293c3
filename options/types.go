package options

import (
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Duration is written as 90s, 5m, 1h30m, or as a number of seconds.
type Duration time.Duration

// UnmarshalYAML reads a Duration.
func (d *Duration) UnmarshalYAML(node *yaml.Node) error {
	if seconds, err := strconv.ParseFloat(node.Value, 64); err == nil {
		*d = Duration(seconds * float64(time.Second))
		return nil
	}
	parsed, err := time.ParseDuration(node.Value)
	if err != nil {
		return &lineError{node.Line, fmt.Sprintf("%q is no duration; write seconds, or 90s, 5m, 1h30m", node.Value)}
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

// UnmarshalYAML reads Names.
func (n *Names) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode && node.Tag != "!!null" {
		*n = Names{node.Value}
		return nil
	}
	var list []string
	if err := node.Decode(&list); err != nil {
		return yamlError(err)
	}
	*n = list
	return nil
}

const filePrefix = "file:"

// Secret is a password or token: written as ${ENV} or file:PATH, and never
// shown again.
type Secret string

// UnmarshalYAML reads a Secret, from its file where it names one.
func (s *Secret) UnmarshalYAML(node *yaml.Node) error {
	path, inFile := strings.CutPrefix(node.Value, filePrefix)
	if !inFile {
		*s = Secret(node.Value)
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return &lineError{node.Line, fmt.Sprintf("reading a secret: %v", err)}
	}
	*s = Secret(strings.TrimRight(string(text), "\r\n"))
	return nil
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

// UnmarshalYAML reads a Map.
func (m *Map[V]) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		return &lineError{node.Line, "must be a mapping of keys to values"}
	}
	read := make(Map[V], 0, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		pair := Pair[V]{Key: node.Content[i].Value}
		if err := node.Content[i+1].Decode(&pair.Value); err != nil {
			return yamlError(err)
		}
		if _, twice := read.Get(pair.Key); twice {
			return &lineError{node.Content[i].Line, fmt.Sprintf("%q is there twice", pair.Key)}
		}
		read = append(read, pair)
	}
	*m = read
	return nil
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

func (m *Map[V]) walkAs() reflect.Type { return reflect.TypeFor[map[string]V]() }
