package conversation

import (
	"errors"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
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

// Compile compiles a condition over the known names; an empty one is nil.
func Compile(source string, known []string) (*Condition, error) {
	if strings.TrimSpace(source) == "" {
		return nil, nil
	}
	env := map[string]any{}
	for _, name := range known {
		env[name] = ""
	}
	var guard expression.Guard
	didYouMean := func(name string) string { return options.DidYouMean(name, known) }
	program, _, err := expression.Compile(source, &guard, didYouMean, append(expression.Options(env), expr.AsBool())...)
	if err != nil {
		return nil, err
	}
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
