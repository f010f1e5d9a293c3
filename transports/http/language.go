package http

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"

	"switchboard/internal/expression"
	"switchboard/options"
)

// scope is what an expression can read: values by their names.
type scope map[string]any

// language compiles the expressions of one place in a description, which all may
// use the same names.
type language struct {
	options []expr.Option
	words   []string // every name there is, for "did you mean"
}

// newLanguage makes the language of expressions over these names and the
// channel's options.
func newLanguage(names []string, settings scope) *language {
	env := types.Map{}
	for _, name := range names {
		env[name] = types.Any
	}
	for name := range settings {
		env[name] = types.String
	}
	l := &language{options: expression.Options(env), words: slices.Concat(slices.Collect(maps.Keys(env)), expression.Builtins[:])}
	for name, call := range functions {
		l.options = append(l.options, expr.Function(name, call.run, call.types...))
		l.words = append(l.words, name)
	}
	l.options = append(l.options, expr.Patch(tolerant{}))
	return l
}

// tolerant makes a.b, a["b"] and a[0] nil where there is none: what providers
// leave out is no error.
type tolerant struct{}

const lookUp = "at"

func (tolerant) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.MemberNode); ok {
		ast.Patch(node, &ast.CallNode{Callee: &ast.IdentifierNode{Value: lookUp}, Arguments: []ast.Node{n.Node, n.Property}})
	}
}

// pick is a compiled expression; a nil one gives nil.
type pick struct{ program *vm.Program }

// pick compiles an expression; the empty one is nil.
func (l *language) pick(source string) (*pick, error) {
	if strings.TrimSpace(source) == "" {
		return nil, nil
	}
	var guard expression.Guard
	didYouMean := func(name string) string { return options.DidYouMean(name, l.words) }
	program, _, err := expression.Compile(source, &guard, didYouMean, l.options...)
	if err != nil {
		return nil, err
	}
	return &pick{program}, errors.Join(guard.Errs...)
}

// of evaluates the expression.
func (p *pick) of(s scope) (any, error) {
	if p == nil {
		return nil, nil
	}
	machine := vm.VM{MemoryBudget: expression.MemoryBudget}
	value, err := machine.Run(p.program, map[string]any(s))
	if err != nil {
		return nil, expression.Plain(err)
	}
	return value, nil
}

func (p *pick) text(s scope) (string, error) {
	value, err := p.of(s)
	return asText(value), err
}

// holds says whether a condition holds; one that is not given does.
func (p *pick) holds(s scope) (bool, error) {
	if p == nil {
		return true, nil
	}
	value, err := p.of(s)
	return isTrue(value), err
}

func isTrue(value any) bool {
	switch v := value.(type) {
	case nil:
		return false
	case bool:
		return v
	}
	return asText(value) != ""
}

// made is a value that a description gives as text, or behind a "=" as an
// expression, as routers' rules have it; in JSON, in lists and mappings of them.
type made struct {
	literal any
	pick    *pick
	list    []made
	each    *made // once for every recipient
	onlyIf  *pick // a mapping that is nothing where this does not hold
	members []member
	isList  bool
}

type member struct {
	key   string
	value made
}

// onlyIf is a key of a mapping whose condition says whether the mapping is there.
const onlyIf = "only_if"

// eachRecipient is the only key of a mapping that stands for a list: its value,
// made for every recipient of a call.
const eachRecipient = "each_recipient"

func (l *language) made(source any) (made, error) {
	switch v := source.(type) {
	case string:
		expression, is := strings.CutPrefix(v, "=")
		if !is || strings.HasPrefix(expression, "=") {
			return made{literal: strings.TrimPrefix(v, "=")}, nil
		}
		p, err := l.pick(expression)
		return made{pick: p}, err
	case []any:
		m := made{isList: true}
		for i, item := range v {
			one, err := l.made(item)
			if err != nil {
				return m, options.Field(err, fmt.Sprint(i))
			}
			m.list = append(m.list, one)
		}
		return m, nil
	case map[string]any:
		return l.madeMembers(v)
	}
	return made{literal: source}, nil
}

func (l *language) madeMembers(source map[string]any) (made, error) {
	if item, only := source[eachRecipient]; only && len(source) == 1 {
		one, err := l.made(item)
		return made{each: &one}, err
	}
	m := made{members: []member{}}
	for _, key := range slices.Sorted(maps.Keys(source)) {
		if key == onlyIf {
			condition, err := l.pick(asText(source[key]))
			if err != nil {
				return m, options.Field(err, key)
			}
			m.onlyIf = condition
			continue
		}
		one, err := l.made(source[key])
		if err != nil {
			return m, options.Field(err, key)
		}
		m.members = append(m.members, member{key, one})
	}
	return m, nil
}

// recipientsKey holds, in a scope, the scopes of a call's recipients.
const recipientsKey = " recipients"

// of makes the value. What is nil is left out of lists and mappings, unless the
// file says null.
func (m *made) of(s scope) (any, error) {
	switch {
	case m.pick != nil:
		return m.pick.of(s)
	case m.each != nil:
		var list []any
		people, _ := s[recipientsKey].([]scope)
		for _, person := range people {
			one, err := m.each.of(person)
			if err != nil {
				return nil, err
			}
			list = append(list, one)
		}
		return list, nil
	case m.isList:
		list := []any{}
		for i := range m.list {
			one, err := m.list[i].of(s)
			if err != nil {
				return nil, err
			}
			if one != nil {
				list = append(list, one)
			}
		}
		return list, nil
	case m.members != nil:
		if there, err := m.onlyIf.holds(s); err != nil || !there {
			return nil, err
		}
		object := map[string]any{}
		for i := range m.members {
			one, err := m.members[i].value.of(s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.members[i].key, err)
			}
			if one != nil || m.members[i].value.isNull() {
				object[m.members[i].key] = one
			}
		}
		return object, nil
	}
	return m.literal, nil
}

func (m *made) text(s scope) (string, error) {
	value, err := m.of(s)
	return asText(value), err
}

func (m *made) isLiteral() bool {
	return m.pick == nil && m.each == nil && !m.isList && m.members == nil
}

func (m *made) isNull() bool { return m.isLiteral() && m.literal == nil }

func (m *made) isEmpty() bool { return m.isLiteral() && asText(m.literal) == "" }

// pairs are made values under their names, in the file's order.
type pairs []member

func (l *language) pairs(source options.Map[string]) (pairs, error) {
	var all pairs
	var errs []error
	for _, p := range source {
		value, err := l.made(p.Value)
		if err != nil {
			errs = append(errs, options.Field(err, p.Key))
		}
		all = append(all, member{p.Key, value})
	}
	return all, errors.Join(errs...)
}

// each calls do with every pair that is not nil; a list is given value by value.
func (p pairs) each(s scope, do func(key, value string)) error {
	for i := range p {
		value, err := p[i].value.of(s)
		if err != nil {
			return fmt.Errorf("%s: %w", p[i].key, err)
		}
		switch v := value.(type) {
		case nil:
		case []any:
			for _, one := range v {
				do(p[i].key, asText(one))
			}
		default:
			do(p[i].key, asText(v))
		}
	}
	return nil
}

// address is a URL with expressions in braces. The one it begins with is taken as
// it is; the values of the others are escaped.
type address struct {
	texts []string // one more than picks
	picks []*pick
}

func (l *language) address(source string) (address, error) {
	var a address
	rest := source
	for {
		before, after, found := strings.Cut(rest, "{")
		a.texts = append(a.texts, before)
		if !found {
			return a, nil
		}
		inner, behind, closed := strings.Cut(after, "}")
		if !closed {
			return a, fmt.Errorf("has a { without its }")
		}
		p, err := l.pick(inner)
		if err != nil {
			return a, err
		}
		if p == nil {
			return a, fmt.Errorf("has nothing between { and }")
		}
		a.picks, rest = append(a.picks, p), behind
	}
}

func (a *address) of(s scope) (string, error) {
	var b strings.Builder
	for i, p := range a.picks {
		b.WriteString(a.texts[i])
		value, err := p.text(s)
		if err != nil {
			return "", err
		}
		if i > 0 || a.texts[0] != "" {
			value = escape(value)
		}
		b.WriteString(value)
	}
	b.WriteString(a.texts[len(a.texts)-1])
	return b.String(), nil
}

// items walks a path such as entry[].changes[].value.messages[] through a value:
// [] stands for every item of a list. do gets each item and, as up, the item of
// the list around it, or the value itself. No path is the value.
func items(value any, path string, do func(it, up any) error) error {
	return walkItems(value, value, strings.Split(path, "[]"), do)
}

func walkItems(value, up any, steps []string, do func(it, up any) error) error {
	for _, key := range strings.FieldsFunc(steps[0], func(r rune) bool { return r == '.' }) {
		value = at(value, key)
	}
	if len(steps) == 1 {
		if value == nil {
			return nil
		}
		return do(value, up)
	}
	list, _ := value.([]any)
	for _, item := range list {
		next := up
		if len(steps) > 2 || strings.Trim(steps[1], ".") != "" {
			next = item
		}
		if err := walkItems(item, next, steps[1:], do); err != nil {
			return err
		}
	}
	return nil
}

// asText is a picked value as a text.
func asText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(value)
}
