package options

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Bounds of what one file may make the decoder do.
const (
	maxErrors = 20
	maxDepth  = 100
	maxNodes  = 1_000_000 // aliases counted each time they are used
)

// decoder decodes YAML nodes over Go values. Each error names the file, the line
// and the key.
type decoder struct {
	doc   *Document
	errs  errorList
	nodes int
}

// nodeDecoder is a type that decodes itself from any kind of node.
type nodeDecoder interface {
	decodeNode(d *decoder, node *yaml.Node, path []string)
}

// KeyIgnorer is a struct that takes keys of Vumi's which have no meaning here. Each
// is a warning with what the text says of it, in place of an unknown key.
type KeyIgnorer interface{ IgnoredKeys() map[string]string }

// hinter is a type that adds to the error about an unknown key below the key name.
type hinter interface{ UnknownKeyHint(name string) string }

func (d *decoder) decode(node *yaml.Node, into reflect.Value, path []string) {
	node = resolve(node)
	if d.nodes++; d.errs.full() || !d.bounded(node, path) {
		return
	}
	if into.Kind() == reflect.Pointer {
		if isNull(node) {
			into.SetZero()
			return
		}
		if into.IsNil() {
			into.Set(reflect.New(into.Type().Elem()))
		}
		d.decode(node, into.Elem(), path)
		return
	}
	if isNull(node) {
		if kind := into.Kind(); kind == reflect.Map || kind == reflect.Slice || kind == reflect.Interface {
			into.SetZero()
		}
		return // other defaults stay
	}
	switch self := into.Addr().Interface().(type) {
	case nodeDecoder:
		self.decodeNode(d, node, path)
		return
	case *time.Time:
		if node.Decode(self) != nil {
			d.wanted(node, path, "a time such as 2026-01-31T12:00:00Z")
		}
		return
	case encoding.TextUnmarshaler:
		if node.Kind == yaml.ScalarNode {
			d.text(node, self, path)
			return
		}
	}
	switch into.Kind() {
	case reflect.Struct:
		d.structure(node, into, path)
	case reflect.Map:
		d.mapping(node, into, path)
	case reflect.Slice:
		d.list(node, into, path)
	case reflect.Interface:
		into.Set(reflect.ValueOf(d.anything(node, path)))
	default:
		d.scalar(node, into, path)
	}
}

// bounded refuses trees without end: an alias within its own anchor, and small
// files whose aliases multiply.
func (d *decoder) bounded(node *yaml.Node, path []string) bool {
	switch {
	case len(path) > maxDepth:
		d.fail(node, path[:1], "is nested deeper than %d levels", maxDepth)
	case d.nodes > maxNodes:
		d.fail(node, path, "makes the file too large once its aliases are followed")
	default:
		return true
	}
	return false
}

func (d *decoder) text(node *yaml.Node, into encoding.TextUnmarshaler, path []string) {
	if d.doc.unresolved[node] {
		return
	}
	if err := into.UnmarshalText([]byte(node.Value)); err != nil {
		d.errs.add(fmt.Errorf("%s: %s: %w", d.doc.position(node), strings.Join(path, "."), err))
	}
}

func (d *decoder) structure(node *yaml.Node, into reflect.Value, path []string) {
	fields := fieldsOf(into.Type())
	if short, can := reflect.TypeAssert[Shorthand](into.Addr()); can && node.Kind != yaml.MappingNode {
		key := short.ShorthandKey()
		d.decode(node, into.FieldByIndex(fields.index[key]), append(path, key))
		return
	}
	d.pairs(node, path, func(key, value *yaml.Node) {
		index, known := fields.index[key.Value]
		if why, foreign := fields.ignored[key.Value]; foreign && !known {
			d.doc.warnIgnored(key, inside(path), why)
			return
		}
		if !known {
			hint := ""
			if h, can := reflect.TypeAssert[hinter](into.Addr()); can {
				hint = h.UnknownKeyHint(path[len(path)-1])
			}
			d.errs.add(d.doc.errorAt(key, "unknown key %q%s%s%s", key.Value, inside(path), DidYouMean(key.Value, fields.names), hint))
			return
		}
		d.decode(value, into.FieldByIndex(index), append(path, key.Value))
	})
}

func (d *decoder) mapping(node *yaml.Node, into reflect.Value, path []string) {
	if into.IsNil() {
		into.Set(reflect.MakeMap(into.Type()))
	}
	d.pairs(node, path, func(key, value *yaml.Node) {
		item := reflect.New(into.Type().Elem()).Elem()
		d.decode(value, item, append(path, key.Value))
		into.SetMapIndex(reflect.ValueOf(key.Value).Convert(into.Type().Key()), item)
	})
}

func (d *decoder) list(node *yaml.Node, into reflect.Value, path []string) {
	if node.Kind != yaml.SequenceNode {
		d.wanted(node, path, "a list")
		return
	}
	list := reflect.MakeSlice(into.Type(), len(node.Content), len(node.Content))
	for i, item := range node.Content {
		d.decode(item, list.Index(i), append(path, strconv.Itoa(i)))
	}
	into.Set(list)
}

// anything decodes a node to a string, bool, int, float64, map[string]any or []any.
func (d *decoder) anything(node *yaml.Node, path []string) any {
	switch node.Kind {
	case yaml.MappingNode:
		var m map[string]any
		d.decode(node, reflect.ValueOf(&m).Elem(), path)
		return m
	case yaml.SequenceNode:
		var list []any
		d.decode(node, reflect.ValueOf(&list).Elem(), path)
		return list
	}
	var value any
	if node.Decode(&value) != nil || value == nil {
		return node.Value
	}
	return value
}

func (d *decoder) scalar(node *yaml.Node, into reflect.Value, path []string) {
	if into.Kind() == reflect.String {
		if node.Kind != yaml.ScalarNode {
			d.wanted(node, path, "a text")
			return
		}
		into.SetString(node.Value)
		return
	}
	if d.doc.unresolved[node] {
		return
	}
	if want := setNumber(node, into); want != "" {
		d.wanted(node, path, want)
	}
}

// setNumber sets a bool or number as Python's bool() and int() read them: 1 and
// 'true' are true, '10' is 10. It returns what the value must be instead.
func setNumber(node *yaml.Node, into reflect.Value) (want string) {
	text := strings.TrimSpace(node.Value)
	if node.Kind != yaml.ScalarNode {
		text = ""
	}
	switch {
	case into.Kind() == reflect.Bool:
		truth, known := truths[strings.ToLower(text)]
		if !known {
			return "true or false"
		}
		into.SetBool(truth)
	case into.CanInt():
		n, err := strconv.ParseInt(wholeNumber(node, text), baseOf(node), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return "a whole number"
		}
		if err != nil || into.OverflowInt(n) {
			return fmt.Sprintf("a whole number of at most %d bits", into.Type().Bits())
		}
		into.SetInt(n)
	case into.CanUint():
		n, err := strconv.ParseUint(wholeNumber(node, text), baseOf(node), 64)
		if err != nil || into.OverflowUint(n) {
			return fmt.Sprintf("a whole number from 0 to %d", uint64(math.MaxUint64)>>(64-into.Type().Bits()))
		}
		into.SetUint(n)
	case into.CanFloat():
		f, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return "a number"
		}
		into.SetFloat(f)
	}
	return ""
}

var truths = map[string]bool{
	"true": true, "yes": true, "on": true, "y": true, "1": true,
	"false": false, "no": false, "off": false, "n": false, "0": false,
}

// baseOf lets the text choose (0x1f, 0o17) unless it is quoted: '010' is 10.
func baseOf(node *yaml.Node) int {
	if node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		return 10
	}
	return 0
}

// wholeNumber spells 1e3 and 10.0 as digits; 0.5 stays, and is refused.
func wholeNumber(node *yaml.Node, text string) string {
	if f, err := strconv.ParseFloat(text, 64); err == nil && strings.ContainsAny(text, ".eE") && f == math.Trunc(f) && !strings.HasPrefix(text, "0x") {
		return strconv.FormatFloat(f, 'f', 0, 64)
	}
	if baseOf(node) == 0 {
		text = strings.ReplaceAll(text, "_", "")
	}
	return strings.TrimPrefix(text, "+")
}

// pairs calls do for each key of a mapping, keys merged in by << among them. A
// mapping's own keys win over merged ones; a key given twice is an error.
func (d *decoder) pairs(node *yaml.Node, path []string, do func(key, value *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		d.wanted(node, path, "a mapping of keys to values")
		return
	}
	seen := make(map[string]*yaml.Node, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if key.Tag == mergeTag {
			continue
		}
		if first := seen[key.Value]; first != nil {
			d.errs.add(d.doc.errorAt(key, "%s is there twice; the first is in line %d", strings.Join(append(path, key.Value), "."), first.Line))
		}
		seen[key.Value] = key
	}
	d.each(node, path, seen, do, 0)
}

const mergeTag = "!!merge"

func (d *decoder) each(node *yaml.Node, path []string, seen map[string]*yaml.Node, do func(key, value *yaml.Node), depth int) {
	for i := 0; i+1 < len(node.Content) && !d.errs.full(); i += 2 {
		key, value := node.Content[i], resolve(node.Content[i+1])
		switch {
		case key.Tag == mergeTag:
			merged := []*yaml.Node{value}
			if value.Kind == yaml.SequenceNode {
				merged = value.Content
			}
			for _, m := range merged {
				if m = resolve(m); m.Kind != yaml.MappingNode || depth > maxDepth {
					d.wanted(m, append(path, "<<"), "a mapping of keys to values")
					continue
				}
				d.each(m, path, seen, do, depth+1)
			}
		case depth == 0:
			do(key, value)
		case seen[key.Value] == nil:
			seen[key.Value] = key
			do(key, value)
		}
	}
}

func (d *decoder) wanted(node *yaml.Node, path []string, want string) {
	is := strconv.Quote(node.Value)
	switch node.Kind {
	case yaml.SequenceNode:
		is = "a list"
	case yaml.MappingNode:
		is = "a mapping"
	}
	d.fail(node, path, "must be %s, not %s", want, is)
}

func (d *decoder) fail(node *yaml.Node, path []string, format string, args ...any) {
	d.errs.add(d.doc.errorAt(node, "%s "+format, append([]any{strings.Join(path, ".")}, args...)...))
}

func inside(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return " in " + strings.Join(path, ".")
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

func resolve(node *yaml.Node) *yaml.Node {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node
}

type fields struct {
	names   []string
	index   map[string][]int  // by name, for reflect's FieldByIndex
	ignored map[string]string // why, by name; see KeyIgnorer
}

// fieldsOf lists the YAML keys of a struct, embedded (`,inline`) ones included.
func fieldsOf(t reflect.Type) fields {
	f := fields{index: map[string][]int{}, ignored: map[string]string{}}
	if i, can := reflect.TypeAssert[KeyIgnorer](reflect.New(t)); can {
		maps.Copy(f.ignored, i.IgnoredKeys())
	}
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			inner := fieldsOf(field.Type)
			f.names = append(f.names, inner.names...)
			maps.Copy(f.ignored, inner.ignored)
			for key, index := range inner.index {
				f.index[key] = append([]int{i}, index...)
			}
		case name != "" && name != "-":
			f.names = append(f.names, name)
			f.index[name] = []int{i}
		}
	}
	return f
}

// fieldsBehind are the fields of the struct that v points to.
func fieldsBehind(v any) fields {
	t := reflect.TypeOf(v)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return fields{}
	}
	return fieldsOf(t)
}
