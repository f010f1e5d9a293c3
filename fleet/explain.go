package fleet

import (
	"context"
	"strings"

	"switchboard/dispatcher"
	"switchboard/worker"
)

// Renew defines a worker's plugins anew from the same file, so that nothing one
// run of them remembers shows in the next.
func (c Classes) Renew(d *Definition) (*Definition, error) { return c.Define(d.doc) }

// Simulator decides as the dispatcher of this definition does. env needs State
// and Logger.
func (d *Definition) Simulator(ctx context.Context, env worker.Dependencies, conditions dispatcher.Conditions) (*dispatcher.Simulator, error) {
	env.Name, env.Kind, env.Stack = d.Name, d.Kind, worker.NewStack(d.layers...)
	return dispatcher.NewSimulator(ctx, env, d.Options, d.Router, conditions)
}

// Stack is the worker's middleware, ready to be passed through.
func (d *Definition) Stack(ctx context.Context, env worker.Dependencies) (worker.Stack, error) {
	env.Name, env.Kind = d.Name, d.Kind
	stack := worker.NewStack(d.layers...)
	return stack, stack.Provision(ctx, env.Env())
}

// Worker is the worker of this definition, to be run apart from a fleet, with
// outer before its own middleware. env needs all else that it uses but its name and
// kind.
func (d *Definition) Worker(env worker.Dependencies, outer ...worker.Layer) (worker.Worker, error) {
	env.Name, env.Kind, env.Stack = d.Name, d.Kind, worker.NewStack(append(outer, d.layers...)...)
	return d.build(env)
}

// RuleAt is file:line of a rule as routers name it: the keys that lead to it,
// joined by dots; "" for what the file does not have. Keys may have dots of
// their own, so the deepest place that any reading of it leads to is taken.
func (d *Definition) RuleAt(rule string) string {
	parts := strings.Split(rule, ".")
	if at := d.At(parts[0]); !d.doc.Has(parts[0]) {
		return strings.TrimSuffix(at, d.Path) // a place in the file, or nothing
	}
	best, line := d.doc.Position(parts[0]), 0
	for i := 1; i < len(parts); i++ {
		for j := i + 1; j <= len(parts); j++ {
			keys := append(append([]string(nil), parts[:i]...), strings.Join(parts[i:j], "."))
			if j < len(parts) {
				keys = append(keys, strings.Join(parts[j:], "."))
			}
			at := d.doc.Position(keys...)
			if _, n := splitPosition(at, []string{d.Path}); n > line {
				best, line = at, n
			}
		}
	}
	return best
}

// Hash is a short hash of the worker's file.
func (d *Definition) Hash() string { return d.doc.Hash() }
