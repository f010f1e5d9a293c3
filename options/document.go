// Package config reads YAML strictly: a key nobody knows is refused with its
// file, line and the key it was probably meant to be. Plugins are configured by
// decoding over their defaults; none of them reads a file itself.
package options

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// Document is one YAML file whose top level is a mapping. Several structs take
// their share of its keys (Into, Section); Rest refuses what nobody took.
type Document struct {
	Path     string
	hash     string
	root     *yaml.Node
	entries  []entry
	expanded map[*yaml.Node]bool // values that came from the environment
	known    []string            // keys somebody could have taken, for "did you mean"
	warnings []string
}

type entry struct {
	key, value *yaml.Node
	used       bool
}

// Read reads a file; ${NAME} and ${NAME:-default} in it come from the
// process's environment.
func Read(path string) (*Document, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	return Parse(path, text, os.LookupEnv)
}

// Parse reads the text of a file; path is for errors, env looks variables up.
func Parse(path string, text []byte, env func(string) (string, bool)) (*Document, error) {
	var file yaml.Node
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, syntaxError(path, err)
	}
	d := &Document{Path: path, hash: hashOf(text), expanded: map[*yaml.Node]bool{}}
	if len(file.Content) == 0 {
		return d, nil
	}
	d.root = file.Content[0]
	if d.root.Kind != yaml.MappingNode {
		return nil, d.errorAt(d.root, "the file must be a mapping of keys to values")
	}
	if err := d.expand(d.root, env); err != nil {
		return nil, err
	}
	return d, d.split(d.root)
}

// Hash is a short hash of the file's text, before ${NAME} is expanded, so that
// it gives no secret away.
func (d *Document) Hash() string { return d.hash }

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

func (d *Document) split(mapping *yaml.Node) error {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		if key.Tag == "!!merge" {
			if err := d.split(resolve(value)); err != nil {
				return err
			}
			continue
		}
		if was := d.entry(key.Value); was != nil {
			return d.errorAt(key, "%s is there twice; the first is in line %d", key.Value, was.key.Line)
		}
		d.entries = append(d.entries, entry{key: key, value: value})
	}
	return nil
}

var syntaxErrorLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)

// syntaxError puts yaml's line where all our errors have it.
func syntaxError(path string, err error) error {
	if m := syntaxErrorLine.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Errorf("%s:%s: this is no YAML: %s", path, m[1], m[2])
	}
	return fmt.Errorf("%s: this is no YAML: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
}

func (d *Document) entry(key string) *entry {
	for i := range d.entries {
		if d.entries[i].key.Value == key {
			return &d.entries[i]
		}
	}
	return nil
}

// Keys are the top-level keys in the file's order.
func (d *Document) Keys() []string {
	keys := make([]string, len(d.entries))
	for i, e := range d.entries {
		keys[i] = e.key.Value
	}
	return keys
}

// Has says whether the top level has a key.
func (d *Document) Has(key string) bool { return d.entry(key) != nil }

// Text takes a top-level key whose value is a single word or text; "" when the
// key is not there.
func (d *Document) Text(key string) string {
	e := d.entry(key)
	if e == nil || resolve(e.value).Kind != yaml.ScalarNode {
		return ""
	}
	e.used = true
	return resolve(e.value).Value
}

// Into decodes the keys that v's fields name over what v points to, a struct.
// Values are checked strictly all the way down.
func (d *Document) Into(v any) error {
	share := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	names := fieldNames(v)
	d.known = append(d.known, names...)
	for _, name := range names {
		if e := d.entry(name); e != nil {
			e.used = true
			share.Content = append(share.Content, e.key, e.value)
		}
	}
	return d.decode(share, v)
}

// Section decodes the mapping under one top-level key over what v points to; a
// missing key leaves v as it is.
func (d *Document) Section(key string, v any) error {
	d.known = append(d.known, key)
	e := d.entry(key)
	if e == nil {
		return nil
	}
	e.used = true
	return d.decode(resolve(e.value), v)
}

// Ignore takes a key without using it, and says whether it was there.
func (d *Document) Ignore(key string) bool {
	e := d.entry(key)
	if e != nil {
		e.used = true
	}
	return e != nil
}

// Rest refuses the keys nobody has taken.
func (d *Document) Rest() error {
	var errs []error
	for _, e := range d.entries {
		if !e.used {
			errs = append(errs, d.errorAt(e.key, "unknown key %q%s", e.key.Value, DidYouMean(e.key.Value, d.known)))
		}
	}
	return errors.Join(errs...)
}

// Set puts a value over a top-level key, as `--set-option key:value` does; the
// text is read as YAML.
func (d *Document) Set(key, text string) error {
	var value yaml.Node
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		return fmt.Errorf("reading the value of option %s: %w", key, err)
	}
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	if len(value.Content) > 0 {
		node = value.Content[0]
	}
	if e := d.entry(key); e != nil {
		e.value = node
		return nil
	}
	name := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}
	d.entries = append(d.entries, entry{key: name, value: node})
	return nil
}

// Warnings are things to mend that stop nothing, such as a secret in clear.
func (d *Document) Warnings() []string { return d.warnings }

func (d *Document) decode(node *yaml.Node, v any) error {
	w := walker{doc: d}
	w.walk(node, typeOf(v), nil)
	if len(w.errs) > 0 {
		return errors.Join(w.errs...)
	}
	if err := node.Decode(v); err != nil {
		return d.Locate(yamlError(err))
	}
	return nil
}

func (d *Document) errorAt(node *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s: %s", d.position(node), fmt.Sprintf(format, args...))
}

func (d *Document) position(node *yaml.Node) string {
	if node == nil || node.Line == 0 {
		return d.Path
	}
	return fmt.Sprintf("%s:%d", d.Path, node.Line)
}

func resolve(node *yaml.Node) *yaml.Node {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node
}
