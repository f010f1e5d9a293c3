package conversation

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"switchboard/internal/expression"
	"switchboard/options"
)

// Condition is a compiled expression over values, each a text: `int(age) >= 18`.
// A nil one holds.
type Condition struct {
	program *vm.Program
	known   []string
	used    []string
}

var unknownName = regexp.MustCompile(`^unknown name (\S+)`)

// Compile compiles a condition over the known names; an empty one is nil.
func Compile(source string, known []string) (*Condition, error) {
	if strings.TrimSpace(source) == "" {
		return nil, nil
	}
	env := map[string]any{}
	for _, name := range known {
		env[name] = ""
	}
	program, err := expr.Compile(source, append(expression.Options(env), expr.AsBool())...)
	if err != nil {
		err = expression.Plain(err)
		if m := unknownName.FindStringSubmatch(err.Error()); m != nil {
			err = fmt.Errorf("%w%s", err, options.DidYouMean(m[1], known))
		}
		return nil, err
	}
	tree, err := parser.Parse(source)
	if err != nil {
		return nil, expression.Plain(err)
	}
	var guard expression.Guard
	ast.Walk(&tree.Node, &guard)
	return &Condition{program, known, guard.Names}, errors.Join(guard.Errs...)
}

// Names says whether the condition asks for a value.
func (c *Condition) Names(name string) bool { return c != nil && slices.Contains(c.used, name) }

// Holds evaluates the condition. What cannot be evaluated, such as int() of a
// word, does not hold.
func (c *Condition) Holds(values Values) bool {
	if c == nil {
		return true
	}
	env := make(map[string]any, len(c.known))
	for _, name := range c.known {
		env[name] = values[name]
	}
	machine := vm.VM{MemoryBudget: expression.MemoryBudget}
	got, err := machine.Run(c.program, env)
	holds, is := got.(bool)
	return err == nil && is && holds
}
