// Package options turns YAML files into checked structs. It is strict: an unknown
// key is refused with its file, its line and the nearest known key. Plugins are
// configured by decoding over their defaults; none of them reads a file itself.
package options

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// Document is one YAML file whose top level is a mapping. Several structs take
// their share of its keys (Into, Section); Rest refuses what nobody took.
type Document struct {
	Path       string
	hash       string
	entries    []entry
	index      map[string]int      // of entries, by key
	expanded   map[*yaml.Node]bool // values that came from the environment
	unresolved map[*yaml.Node]bool // values whose variable is not set; see Inspect
	inspected  bool
	known      []string          // keys somebody could have taken, for "did you mean"
	ignored    map[string]string // keys that Rest does not refuse, and why; see KeyIgnorer
	warnings   []string
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
	return parse(&Document{Path: path}, text, env)
}

// Inspect is Read for a file whose worker is not to run here: it reads no secret's
// file, and a variable that is not set is no error. Values that are made of it keep
// their defaults, and texts their ${NAME}; Locate drops errors about them.
func Inspect(path string) (*Document, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	return parse(&Document{Path: path, inspected: true}, text, os.LookupEnv)
}

func parse(d *Document, text []byte, env func(string) (string, bool)) (*Document, error) {
	var file yaml.Node
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, syntaxError(d.Path, err)
	}
	d.hash, d.index, d.expanded, d.unresolved = hashOf(text), map[string]int{}, map[*yaml.Node]bool{}, map[*yaml.Node]bool{}
	d.ignored = map[string]string{}
	if len(file.Content) == 0 {
		return d, nil
	}
	root := file.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, d.errorAt(root, "the file must be a mapping of keys to values")
	}
	if err := d.expand(root, env); err != nil {
		return nil, err
	}
	split := decoder{doc: d}
	split.pairs(root, nil, func(key, value *yaml.Node) { d.put(entry{key: key, value: value}) })
	return d, split.errs.err()
}

func (d *Document) put(e entry) {
	d.index[e.key.Value] = len(d.entries)
	d.entries = append(d.entries, e)
}

// Hash is a short hash of the file's text, before ${NAME} is expanded, so that
// it gives no secret away.
func (d *Document) Hash() string { return d.hash }

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:6])
}

// syntaxError puts yaml's line, which it only writes into the text of its errors,
// where all our errors have it.
func syntaxError(path string, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	var line int
	if n, _ := fmt.Sscanf(text, "line %d:", &line); n == 1 {
		_, text, _ = strings.Cut(text, ": ")
		path = fmt.Sprintf("%s:%d", path, line)
	}
	return fmt.Errorf("%s: this is no YAML: %s", path, text)
}

func (d *Document) entry(key string) *entry {
	if i, is := d.index[key]; is {
		return &d.entries[i]
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
	fields := fieldsBehind(v)
	d.known = append(d.known, fields.names...)
	maps.Copy(d.ignored, fields.ignored)
	for _, name := range fields.names {
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
	return d.decode(e.value, v, key)
}

// Ignore takes a key without using it, and says whether it was there.
func (d *Document) Ignore(key string) bool {
	e := d.entry(key)
	if e != nil {
		e.used = true
	}
	return e != nil
}

// Rename gives a top-level key the name it has here, unless that is there, too. It
// says whether the key was there.
func (d *Document) Rename(from, to string) bool {
	e := d.entry(from)
	if e == nil || d.Has(to) {
		return false
	}
	d.warnings = append(d.warnings, fmt.Sprintf("%s: %s is written %s here", d.position(e.key), from, to))
	d.index[to] = d.index[from]
	delete(d.index, from)
	e.key.Value = to
	return true
}

func (d *Document) warnIgnored(key *yaml.Node, inside, why string) {
	d.warnings = append(d.warnings, fmt.Sprintf("%s: %s%s is ignored: %s", d.position(key), key.Value, inside, why))
}

// Rest refuses the keys nobody has taken, and warns of those that are ignored.
func (d *Document) Rest() error {
	var errs errorList
	for _, e := range d.entries {
		if why, foreign := d.ignored[e.key.Value]; foreign && !e.used {
			d.warnIgnored(e.key, "", why)
			continue
		}
		if !e.used && !errs.full() {
			errs.add(d.errorAt(e.key, "unknown key %q%s", e.key.Value, DidYouMean(e.key.Value, d.known)))
		}
	}
	return errs.err()
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
		node.Line = 0 // of the text, not of the file
	}
	if e := d.entry(key); e != nil {
		e.value = node
		return nil
	}
	name := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}
	d.put(entry{key: name, value: node})
	return nil
}

// Warnings are things to mend that stop nothing, such as a secret in clear.
func (d *Document) Warnings() []string { return d.warnings }

func (d *Document) decode(node *yaml.Node, v any, path ...string) error {
	w := decoder{doc: d}
	w.decode(node, reflect.ValueOf(v).Elem(), path)
	return w.errs.err()
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
