package rules

import (
	"errors"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"switchboard/internal/expression"
	"switchboard/internal/schedule"
)

// guard refuses what an expression may not do, and notes the transports whose
// health it asks for.
type guard struct {
	expression.Guard
	connectors []string
}

func newGuard() *guard {
	g := &guard{}
	g.Call = g.arguments
	return g
}

// speaksOfEvents says that the expression tells events from messages.
func (g *guard) speaksOfEvents() bool {
	return slices.ContainsFunc(g.Names, func(name string) bool {
		return name == "event" || name == "flow" || name == "event_type" || name == "delivery_status"
	})
}

func (g *guard) arguments(name string, args []ast.Node) error {
	switch name {
	case "health", "up":
		connector, ok := constant(args[0])
		if !ok {
			return errors.New("the transport must be written out")
		}
		g.connectors = append(g.connectors, connector)
	case "share":
		if percent, ok := number(args[0]); !ok || percent < 0 || percent > 100 {
			return errors.New("the share must be a number between 0 and 100")
		}
		return written(args[1:])
	case "during":
		if err := written(args); err != nil {
			return err
		}
		_, _, err := during(args)
		return err
	}
	return nil
}

func written(args []ast.Node) error {
	if len(args) > 2 {
		return errors.New("has too many arguments")
	}
	for _, arg := range args {
		if _, ok := constant(arg); !ok {
			return errors.New("texts must be written out")
		}
	}
	return nil
}

// during is the function of that name, where the machine runs it.
func (f *facts) during(spans string, zones ...string) (bool, error) {
	week, err := schedule.Parse(spans)
	if err != nil || len(zones) == 0 {
		return err == nil && week.Holds(f.time(nil)), err
	}
	zone, err := schedule.Zone(zones[0])
	return err == nil && week.Holds(f.time(zone)), err
}

// metadata is a member of the message's metadata by its path (tag.pool), as
// text; "" where there is none.
func (f *facts) metadata(which, path string) string {
	m := f.arrival.Message
	if m == nil {
		return ""
	}
	o := m.HelperMetadata
	if which == "transport" {
		o = m.TransportMetadata
	}
	keys := strings.Split(path, ".")
	for _, key := range keys[:len(keys)-1] {
		o = o.Object(key)
	}
	last := keys[len(keys)-1]
	if text := o.Text(last); text != "" {
		return text
	}
	if raw := o.Raw(last); raw != "null" && raw != `""` {
		return raw
	}
	return ""
}
