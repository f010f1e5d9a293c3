package rules

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"switchboard/internal/expression"
	"switchboard/options"
)

// language is what conditions are compiled with.
type language struct {
	compiler
	options []expr.Option
	words   []string // every name there is, for "did you mean"
}

func newLanguage() *language {
	l := &language{compiler: compiler{texts(), flags()}}
	env := map[string]any{}
	for name := range l.texts {
		env[name] = ""
	}
	for name := range l.flags {
		env[name] = false
	}
	maps.Copy(env, functions(&facts{zone: time.UTC}))
	for name := range env {
		l.words = append(l.words, name)
	}
	l.words = append(l.words, expression.Builtins[:]...)
	l.options = expression.Options(env)
	return l
}

// functions are what conditions may call, about these facts.
func functions(f *facts) map[string]any {
	return map[string]any{
		"country": f.countryCode,
		"health":  func(connector string) string { return string(f.healthOf(connector)) },
		"up":      func(connector string) bool { return f.healthOf(connector) != "down" },
		"share":   func(percent float64, salt ...string) bool { return f.share(percent, strings.Join(salt, "")) },
		"during": func(spans string, zone ...string) (bool, error) {
			return f.during(spans, zone...)
		},
		"helper":    func(path string) string { return f.metadata("helper", path) },
		"transport": func(path string) string { return f.metadata("transport", path) },
	}
}

// program is an expression for the machine, and the names it uses.
type program struct {
	*vm.Program
	names []string
}

// run evaluates the expression. A message's own content can make it fail.
func (p *program) run(f *facts) (any, error) {
	value, err := f.machine.Run(p.Program, f.environment(p.names))
	if err != nil {
		return nil, expression.Plain(err)
	}
	return value, nil
}

// scratch is what runs programs, kept from message to message.
type scratch struct {
	machine vm.VM
	env     map[string]any
	filled  []string // names in env that are of this message
}

// environment holds the values of these names, and of those asked for before.
func (f *facts) environment(names []string) map[string]any {
	if f.env == nil {
		f.env = functions(f)
		f.machine.MemoryBudget = expression.MemoryBudget
	}
	for _, name := range names {
		if _, there := f.env[name]; there {
			continue
		}
		if text := f.language.texts[name]; text != nil {
			f.env[name] = text(f)
		} else if flag := f.language.flags[name]; flag != nil {
			f.env[name] = flag(f)
		}
		f.filled = append(f.filled, name)
	}
	return f.env
}

func (s *scratch) forget() {
	for _, name := range s.filled {
		delete(s.env, name)
	}
	s.filled = s.filled[:0]
}

// condition is a conjunction; each part is native or for the machine.
type condition []part

type part struct {
	native  test
	program *program
}

func (c condition) holds(f *facts) (bool, error) {
	for _, p := range c {
		if p.native != nil {
			if !p.native(f) {
				return false, nil
			}
			continue
		}
		value, err := p.program.run(f)
		if err != nil || value != true {
			return false, err
		}
	}
	return true, nil
}

// condition compiles the text of a condition; empty text always holds. The
// guard, never nil, says what the text speaks of.
func (l *language) condition(source string) (condition, *guard, error) {
	if strings.TrimSpace(source) == "" {
		return nil, &guard{}, nil
	}
	node, g, err := l.check(source, expr.AsBool())
	if err != nil {
		return nil, g, err
	}
	var c condition
	for _, conjunct := range conjuncts(node) {
		if native, ok := l.test(conjunct); ok {
			c = append(c, part{native: native})
			continue
		}
		p, err := l.program(conjunct.String(), expr.AsBool())
		if err != nil {
			return nil, g, err
		}
		c = append(c, part{program: p})
	}
	return c, g, nil
}

func conjuncts(node ast.Node) []ast.Node {
	if n, ok := node.(*ast.BinaryNode); ok && (n.Operator == "and" || n.Operator == "&&") {
		return append(conjuncts(n.Left), conjuncts(n.Right)...)
	}
	return []ast.Node{node}
}

// value is what a file gives as text, or as an expression behind a "=".
type value struct {
	literal bool
	text    text
	program *program
}

// value compiles a value; "==" at its start is text that begins with "=".
func (l *language) value(source string) (value, error) {
	expression, is := strings.CutPrefix(source, "=")
	if strings.HasPrefix(expression, "=") {
		source, is = expression, false
	}
	if !is {
		return value{literal: true, text: func(*facts) string { return source }}, nil
	}
	node, _, err := l.check(expression, expr.AsKind(reflect.String))
	if err != nil {
		return value{}, err
	}
	if native, ok := l.compiler.text(node); ok {
		return value{text: native}, nil
	}
	p, err := l.program(expression, expr.AsKind(reflect.String))
	return value{program: p}, err
}

func (v value) of(f *facts) (string, error) {
	if v.text != nil {
		return v.text(f), nil
	}
	got, err := v.program.run(f)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(got), nil
}

// check parses and type-checks a text, and refuses what could take long.
func (l *language) check(source string, as expr.Option) (ast.Node, *guard, error) {
	g := newGuard()
	_, node, err := l.machine(source, g, as)
	if err != nil {
		return nil, g, err
	}
	return node, g, errors.Join(g.Errs...)
}

func (l *language) program(source string, as expr.Option) (*program, error) {
	g := newGuard()
	compiled, _, err := l.machine(source, g, as)
	if err != nil {
		return nil, err
	}
	return &program{compiled, g.Names}, nil
}

func (l *language) machine(source string, g *guard, as expr.Option) (*vm.Program, ast.Node, error) {
	didYouMean := func(name string) string { return options.DidYouMean(name, l.words) }
	return expression.Compile(source, g, didYouMean, append(slices.Clone(l.options), as)...)
}
