// Package expression bounds what expressions in YAML files may do: they read
// values and compute one, in time and space that follow from their own length and
// their input's. Loops, variables and calls of what is not listed are refused when
// a file is loaded.
package expression

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

const (
	// MaxNodes is how long an expression may be, in nodes of its tree.
	MaxNodes = 500
	// MemoryBudget is what the machine may put into arrays, in elements.
	MemoryBudget = 10_000
)

// Builtins are the machine's functions that expressions may use: those that take
// no more time and space than their arguments are long.
var Builtins = [...]string{
	"len", "lower", "upper", "trim", "trimPrefix", "trimSuffix", "hasPrefix", "hasSuffix",
	"indexOf", "lastIndexOf", "int", "float", "string", "abs",
}

// Options compile expressions over env, as expr.Env takes it, with Builtins alone.
func Options(env any) []expr.Option {
	options := []expr.Option{expr.Env(env), expr.DisableAllBuiltins(), expr.MaxNodes(MaxNodes)}
	for _, name := range Builtins {
		options = append(options, expr.EnableBuiltin(name))
	}
	return options
}

var unknownName = regexp.MustCompile(`^unknown name (\S+)`)

// Compile compiles an expression with options, and has guard walk its tree, which it returns.
// didYouMean is what the error of an unknown name says of the nearest known one.
func Compile(source string, guard ast.Visitor, didYouMean func(name string) string, options ...expr.Option) (*vm.Program, ast.Node, error) {
	program, err := expr.Compile(source, options...)
	if err != nil {
		err = Plain(err)
		if m := unknownName.FindStringSubmatch(err.Error()); m != nil {
			err = fmt.Errorf("%w%s", err, didYouMean(m[1]))
		}
		return nil, nil, err
	}
	tree, err := parser.Parse(source)
	if err != nil {
		return nil, nil, Plain(err)
	}
	ast.Walk(&tree.Node, guard)
	return program, tree.Node, nil
}

// Guard walks an expression: it refuses what could take unbounded time or space,
// and notes the names that are used. The zero value is ready.
type Guard struct {
	// Call, where set, looks at each call of a function, and refuses it with an error.
	Call  func(name string, args []ast.Node) error
	Names []string
	Errs  []error
}

// Visit looks at one node.
func (g *Guard) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if !slices.Contains(g.Names, n.Value) {
			g.Names = append(g.Names, n.Value)
		}
	case *ast.PredicateNode, *ast.PointerNode:
		g.refuse(*node, "loops are not allowed")
	case *ast.VariableDeclaratorNode, *ast.SequenceNode:
		g.refuse(*node, "variables are not allowed")
	case *ast.MapNode:
		g.refuse(*node, "maps are not allowed")
	case *ast.BinaryNode:
		g.binary(n)
	case *ast.CallNode:
		g.call(n)
	}
}

func (g *Guard) refuse(node ast.Node, format string, args ...any) {
	g.Errs = append(g.Errs, fmt.Errorf("%s at character %d", fmt.Sprintf(format, args...), node.Location().From+1))
}

func (g *Guard) binary(n *ast.BinaryNode) {
	switch n.Operator {
	case "..":
		g.refuse(n, "ranges are not allowed")
	case "matches":
		if _, ok := n.Right.(*ast.StringNode); !ok {
			g.refuse(n, "the pattern of matches must be written out")
		}
	}
}

func (g *Guard) call(n *ast.CallNode) {
	name, args := Call(n)
	if name == "" || g.Call == nil {
		return
	}
	if err := g.Call(name, args); err != nil {
		g.refuse(n, "%s: %v", name, err)
	}
}

// Call is a function's name and arguments; "" for a call of anything else.
func Call(n *ast.CallNode) (name string, args []ast.Node) {
	if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
		return callee.Value, n.Arguments
	}
	return "", nil
}

// Plain puts an error of the expression machine on one line.
func Plain(err error) error {
	if located, ok := errors.AsType[*file.Error](err); ok {
		return fmt.Errorf("%s at character %d", located.Message, located.Column+1)
	}
	return err
}
