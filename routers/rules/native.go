package rules

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"

	"switchboard/internal/expression"
	"switchboard/internal/schedule"
	"switchboard/message"
)

// compiler turns the common forms of conditions into Go closures, some fifty
// times faster than the expression machine, which runs the rest. Both give the
// same answers. What it meets was checked by the machine's compiler before.
type compiler struct {
	texts map[string]text
	flags map[string]test
}

// test compiles a condition; ok is false for a form it does not know.
func (c *compiler) test(node ast.Node) (t test, ok bool) {
	switch n := node.(type) {
	case *ast.BoolNode:
		return func(*facts) bool { return n.Value }, true
	case *ast.IdentifierNode:
		t, ok = c.flags[n.Value]
		return t, ok
	case *ast.UnaryNode:
		return c.not(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.CallNode:
		return c.call(n)
	}
	return nil, false
}

func (c *compiler) not(n *ast.UnaryNode) (test, bool) {
	inner, ok := c.test(n.Node)
	if !ok || (n.Operator != "not" && n.Operator != "!") {
		return nil, false
	}
	return func(f *facts) bool { return !inner(f) }, true
}

func (c *compiler) binary(n *ast.BinaryNode) (test, bool) {
	switch n.Operator {
	case "and", "&&", "or", "||":
		return c.junction(n)
	case "in":
		return c.in(n)
	case "matches":
		return c.matches(n)
	}
	left, okLeft := c.text(n.Left)
	right, okRight := c.text(n.Right)
	if !okLeft || !okRight {
		return nil, false
	}
	if constant, ok := n.Right.(*ast.StringNode); ok {
		return compare(n.Operator, left, constant.Value)
	}
	switch n.Operator {
	case "==":
		return func(f *facts) bool { return left(f) == right(f) }, true
	case "!=":
		return func(f *facts) bool { return left(f) != right(f) }, true
	}
	return nil, false
}

func compare(operator string, left text, right string) (test, bool) {
	switch operator {
	case "==":
		return func(f *facts) bool { return left(f) == right }, true
	case "!=":
		return func(f *facts) bool { return left(f) != right }, true
	case "startsWith":
		return func(f *facts) bool { return strings.HasPrefix(left(f), right) }, true
	case "endsWith":
		return func(f *facts) bool { return strings.HasSuffix(left(f), right) }, true
	case "contains":
		return func(f *facts) bool { return strings.Contains(left(f), right) }, true
	}
	return nil, false
}

func (c *compiler) junction(n *ast.BinaryNode) (test, bool) {
	left, okLeft := c.test(n.Left)
	right, okRight := c.test(n.Right)
	if !okLeft || !okRight {
		return nil, false
	}
	if n.Operator == "and" || n.Operator == "&&" {
		return func(f *facts) bool { return left(f) && right(f) }, true
	}
	return func(f *facts) bool { return left(f) || right(f) }, true
}

func (c *compiler) in(n *ast.BinaryNode) (test, bool) {
	left, ok := c.text(n.Left)
	list, isList := n.Right.(*ast.ArrayNode)
	if !ok || !isList {
		return nil, false
	}
	var words []string
	for _, item := range list.Nodes {
		word, isText := item.(*ast.StringNode)
		if !isText {
			return nil, false
		}
		words = append(words, word.Value)
	}
	if len(words) < smallList {
		return func(f *facts) bool { return slices.Contains(words, left(f)) }, true
	}
	set := make(map[string]bool, len(words))
	for _, word := range words {
		set[word] = true
	}
	return func(f *facts) bool { return set[left(f)] }, true
}

// smallList is up to where comparing each beats a look-up.
const smallList = 8

func (c *compiler) matches(n *ast.BinaryNode) (test, bool) {
	left, ok := c.text(n.Left)
	pattern, isText := n.Right.(*ast.StringNode)
	if !ok || !isText {
		return nil, false
	}
	compiled, err := regexp.Compile(pattern.Value)
	if err != nil {
		return nil, false
	}
	return func(f *facts) bool { return compiled.MatchString(left(f)) }, true
}

// text compiles what gives text.
func (c *compiler) text(node ast.Node) (text, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return func(*facts) string { return n.Value }, true
	case *ast.IdentifierNode:
		t, ok := c.texts[n.Value]
		return t, ok
	case *ast.CallNode:
		name, args := expression.Call(n)
		switch {
		case name == "country" && len(args) == 1:
			if addr, ok := c.text(args[0]); ok {
				return func(f *facts) string { return f.countryCode(addr(f)) }, true
			}
		case name == "health" && len(args) == 1:
			if connector, ok := constant(args[0]); ok {
				return func(f *facts) string { return string(f.healthOf(connector)) }, true
			}
		}
	}
	return nil, false
}

func (c *compiler) call(n *ast.CallNode) (test, bool) {
	name, args := expression.Call(n)
	switch name {
	case "up":
		if connector, ok := constant(args[0]); ok {
			return func(f *facts) bool { return f.healthOf(connector) != message.Down }, true
		}
	case "share":
		percent, ok := number(args[0])
		salt, isText := "", true
		if len(args) > 1 {
			salt, isText = constant(args[1])
		}
		if ok && isText {
			return func(f *facts) bool { return f.share(percent, salt) }, true
		}
	case "during":
		week, zone, err := during(args)
		if err == nil {
			return func(f *facts) bool { return week.Holds(f.time(zone)) }, true
		}
	}
	return nil, false
}

func constant(node ast.Node) (string, bool) {
	n, ok := node.(*ast.StringNode)
	if !ok {
		return "", false
	}
	return n.Value, true
}

func number(node ast.Node) (float64, bool) {
	switch n := node.(type) {
	case *ast.IntegerNode:
		return float64(n.Value), true
	case *ast.FloatNode:
		return n.Value, true
	}
	return 0, false
}

// during reads the arguments of during(): a schedule and perhaps a zone.
func during(args []ast.Node) (week schedule.Week, zone *time.Location, err error) {
	spans, _ := constant(args[0])
	if week, err = schedule.Parse(spans); err != nil || len(args) < 2 {
		return week, nil, err
	}
	name, _ := constant(args[1])
	zone, err = schedule.Zone(name)
	return week, zone, err
}
