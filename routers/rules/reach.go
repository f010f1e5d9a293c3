package rules

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"switchboard/dispatcher"
	"switchboard/options"
)

// outcome is what is known of a condition before a message arrives.
type outcome int

const (
	depends outcome = iota
	always
	never
)

// checkReach rejects rules below one that always holds, or below another of the
// same condition, where that one ends the list.
func (r *Router) checkReach() (errs []error) {
	ends := map[string]int{}
	for i := range r.Rules {
		when := strings.Join(strings.Fields(r.Rules[i].When), " ")
		if o, _ := examine(when); o == always {
			when = ""
		}
		for _, above := range [...]string{"", when} {
			if n, taken := ends[above]; taken {
				errs = append(errs, options.Field(fmt.Errorf("can never match: rules.%d above takes all that it could", n), "rules", strconv.Itoa(i)))
				break
			}
		}
		if _, taken := ends[when]; !taken && !r.Rules[i].Continue {
			ends[when] = i
		}
	}
	return errs
}

// Lint points at rules whose condition no message can meet.
func (r *Router) Lint(dispatcher.Names) error {
	var errs []error
	for i := range r.Rules {
		if o, why := examine(r.Rules[i].When); o == never {
			errs = append(errs, options.Field(fmt.Errorf("can never match: %s", why), "rules", strconv.Itoa(i), "when"))
		}
	}
	return errors.Join(errs...)
}

// examine says what is known of a condition, and why it never holds. A text
// that does not parse depends: compiling it reports the error.
func examine(when string) (o outcome, why string) {
	if strings.TrimSpace(when) == "" {
		return always, ""
	}
	tree, err := parser.Parse(when)
	if err != nil {
		return depends, ""
	}
	return outcomeOf(tree.Node)
}

func outcomeOf(node ast.Node) (o outcome, why string) {
	switch n := node.(type) {
	case *ast.BoolNode:
		if n.Value {
			return always, ""
		}
		return never, "it says false"
	case *ast.UnaryNode:
		switch inner, _ := outcomeOf(n.Node); inner {
		case always:
			return never, "it says not " + n.Node.String()
		case never:
			return always, ""
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&":
			return outcomeOfAll(conjuncts(n))
		case "or", "||":
			return outcomeOfEither(n)
		case "==", "in":
			return outcomeOfComparison(n)
		}
	}
	return depends, ""
}

// outcomeOfAll is the outcome of a conjunction: it never holds where one part
// never does, or where two parts want different values of one fact.
func outcomeOfAll(parts []ast.Node) (outcome, string) {
	all := always
	wanted := map[string][]string{}
	for _, part := range parts {
		o, why := outcomeOf(part)
		if o == never {
			return never, why
		}
		all = min(all, o)
		fact, values := wants(part)
		if before, twice := wanted[fact]; twice && fact != "" {
			values = slices.DeleteFunc(values, func(v string) bool { return !slices.Contains(before, v) })
			if len(values) == 0 {
				return never, fmt.Sprintf("it wants two values of %s at once", fact)
			}
		}
		wanted[fact] = values
	}
	return all, ""
}

func outcomeOfEither(n *ast.BinaryNode) (outcome, string) {
	left, why := outcomeOf(n.Left)
	right, _ := outcomeOf(n.Right)
	switch {
	case left == always || right == always:
		return always, ""
	case left == never && right == never:
		return never, why
	}
	return depends, ""
}

// outcomeOfComparison knows the facts that have few values: a comparison with
// any other never holds.
func outcomeOfComparison(n *ast.BinaryNode) (outcome, string) {
	fact, values := wants(n)
	for _, value := range values {
		if canBe(fact, value) {
			return depends, ""
		}
	}
	if len(values) == 0 {
		return depends, ""
	}
	return never, fmt.Sprintf("%s is never %q%s", fact, values[0], valueHints[fact])
}

// wants is the fact that a comparison with constants asks for, and the values
// that meet it; "" for every other condition.
func wants(node ast.Node) (fact string, values []string) {
	switch n := node.(type) {
	case *ast.IdentifierNode:
		if slices.Contains(factValues["flow"], n.Value) {
			return "flow", []string{n.Value}
		}
	case *ast.BinaryNode:
		switch right := n.Right.(type) {
		case *ast.StringNode:
			if n.Operator == "==" {
				return n.Left.String(), []string{right.Value}
			}
		case *ast.ArrayNode:
			for _, item := range right.Nodes {
				word, isText := constant(item)
				if !isText || n.Operator != "in" {
					return "", nil
				}
				values = append(values, word)
			}
			return n.Left.String(), values
		}
	}
	return "", nil
}

// factValues are the values of facts that have few.
var factValues = map[string][]string{
	"flow":            {"inbound", "outbound", "event"},
	"event_type":      {"", "ack", "nack", "delivery_report"},
	"delivery_status": {"", "pending", "delivered", "failed"},
	"session":         {"", "new", "resume", "close"},
}

// valueHints say what a fact looks like where a value does not.
var valueHints = map[string]string{
	"word":            "; it is one word in lower case",
	"flow":            "; it is inbound, outbound or event",
	"event_type":      "; it is ack, nack or delivery_report",
	"delivery_status": "; it is pending, delivered or failed",
	"session":         "; it is new, resume or close, or empty",
}

func canBe(fact, value string) bool {
	if few, known := factValues[fact]; known {
		return slices.Contains(few, value)
	}
	if fact == "word" {
		return value == firstWord(value)
	}
	return true
}
