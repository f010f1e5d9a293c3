package explain

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"switchboard/fleet"
	"switchboard/options"
)

// Result is how a routing test went.
type Result struct {
	Name     string     `json:"name"`
	At       string     `json:"at"` // file:line
	Passed   bool       `json:"passed"`
	Problems []Mismatch `json:"problems,omitempty"`
	Answer   *Answer    `json:"answer,omitempty"` // of a routing test
	Talk     []string   `json:"talk,omitempty"`   // of a conversation: what was said
}

// Mismatch is an expectation that was not met.
type Mismatch struct {
	What string `json:"what"` // to, rule, rewritten.to_addr, …
	Want string `json:"want"`
	Got  string `json:"got"`
}

// Run runs the tests of a file against its fleet. The error says that they
// could not be run.
func (s *Spec) Run(ctx context.Context, classes fleet.Classes) ([]Result, error) {
	defs, err := classes.Load(s.paths()...)
	if err != nil {
		return nil, err
	}
	results := make([]Result, len(s.Tests))
	for i := range s.Tests {
		keys := []string{"tests", strconv.Itoa(i)}
		answer, err := s.Tests[i].ask(ctx, classes, defs)
		if err != nil {
			return nil, s.doc.Locate(options.Under(err, append(keys, "message")...))
		}
		problems := s.Tests[i].Expect.compare(answer)
		results[i] = Result{
			Name: s.Tests[i].Name, At: s.doc.Position(keys...), Passed: len(problems) == 0, Problems: problems, Answer: &answer,
		}
	}
	talks, err := s.converse(ctx, classes, defs)
	return append(results, talks...), err
}

func (s *Spec) converse(ctx context.Context, classes fleet.Classes, defs []*fleet.Definition) ([]Result, error) {
	results := make([]Result, len(s.Conversations))
	for i := range s.Conversations {
		keys := []string{"conversations", strconv.Itoa(i)}
		report, err := s.Conversations[i].Run(ctx, classes, defs)
		if err != nil {
			return nil, s.doc.Locate(options.Under(err, keys...))
		}
		result := Result{Name: s.Conversations[i].Name, At: s.doc.Position(keys...), Passed: len(report.Problems) == 0, Talk: report.Talk}
		for _, p := range report.Problems {
			at := s.doc.Position(append(keys, "talk", strconv.Itoa(p.Turn))...)
			result.Problems = append(result.Problems, Mismatch{at + ": " + p.What, orNothing(p.Want), orNothing(p.Got)})
		}
		results[i] = result
	}
	return results, nil
}

func (t *Test) ask(ctx context.Context, classes fleet.Classes, defs []*fleet.Definition) (Answer, error) {
	f, err := New(ctx, classes, defs)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = f.Close() }()
	if err := f.Down(t.Down...); err != nil {
		return Answer{}, err
	}
	f.At(t.At)
	for _, before := range t.After {
		if _, err := f.Ask(ctx, before); err != nil {
			return Answer{}, err
		}
	}
	return f.Ask(ctx, t.Message)
}

func (e *Expect) compare(a Answer) []Mismatch {
	c := &comparison{}
	var ends []End
	if a.Message != nil {
		ends = a.Message.Ends()
	}
	c.reasons(e, a, ends)
	c.names("to", e.To, resting(ends))
	if len(e.Rule) > 0 {
		var rules []string
		if a.Message != nil {
			rules = a.Message.rules()
		}
		c.expect("rule", strings.Join(e.Rule, ", "), strings.Join(rules, ", "))
	}
	for _, field := range slices.Sorted(maps.Keys(e.Rewritten)) {
		c.field(field, e.Rewritten[field], ends)
	}
	c.names("replies_to", e.RepliesTo, restingOf(a.Replies))
	c.names("events_to", e.EventsTo, restingOf(a.Events))
	return c.problems
}

type comparison struct{ problems []Mismatch }

func (c *comparison) expect(what, want, got string) {
	if want != got {
		c.problems = append(c.problems, Mismatch{what, orNothing(want), orNothing(got)})
	}
}

func orNothing(text string) string {
	if text == "" {
		return "(nothing)"
	}
	return text
}

func (c *comparison) names(what string, want *options.Names, got []string) {
	if want == nil {
		return
	}
	sorted := slices.Sorted(slices.Values(*want))
	c.expect(what, strings.Join(sorted, ", "), strings.Join(got, ", "))
}

// reasons compares why a message was dropped or dead-lettered; where that is not
// expected and happens, it is a problem too.
func (c *comparison) reasons(e *Expect, a Answer, ends []End) {
	var errs, discards []string
	if a.Refused != "" {
		errs = append(errs, a.Refused)
	}
	for _, end := range ends {
		if end.Worker != nil && end.Worker.Error != "" {
			errs = append(errs, end.Worker.Error)
		}
		if end.Worker != nil && end.Worker.Discarded != "" {
			discards = append(discards, end.Worker.Discarded)
		}
	}
	c.reason("error", e.Error, strings.Join(errs, "; "))
	c.reason("discard", e.Discard, strings.Join(discards, "; "))
}

func (c *comparison) reason(what, want, got string) {
	if want == "" && got != "" || !strings.Contains(got, want) {
		c.problems = append(c.problems, Mismatch{what, orNothing(want), orNothing(got)})
	}
}

// field compares a field of every copy that arrives.
func (c *comparison) field(field string, want any, ends []End) {
	for _, end := range ends {
		if !end.arrives() {
			continue
		}
		var body any
		_ = json.Unmarshal(end.Hop.Body.Encode(), &body) // it is ours
		got := dig(body, field)
		if reflect.DeepEqual(normal(want), got) {
			continue
		}
		c.expect("rewritten."+field, compact(normal(want)), compact(got))
	}
}

// dig finds a member by its path; a member may have dots in its own name.
func dig(body any, path string) any {
	object, is := body.(map[string]any)
	if !is {
		return nil
	}
	if value, there := object[path]; there {
		return value
	}
	for i, r := range path {
		if r == '.' {
			if value := dig(object[path[:i]], path[i+1:]); value != nil {
				return value
			}
		}
	}
	return nil
}

// normal is a value of YAML as JSON would have it.
func normal(v any) (out any) {
	text, err := json.Marshal(v)
	if err != nil || json.Unmarshal(text, &out) != nil {
		return fmt.Sprint(v)
	}
	return out
}

func compact(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// resting are the connectors where copies arrive, sorted.
func resting(ends []End) (names []string) {
	for _, end := range ends {
		if end.arrives() {
			names = append(names, end.Hop.Connector)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func restingOf(hops []Hop) []string {
	var ends []End
	for _, hop := range hops {
		ends = append(ends, hop.Ends()...)
	}
	return resting(ends)
}

// rules are those that decided, in the order of the way.
func (h Hop) rules() (rules []string) {
	for _, taker := range h.Takers {
		for _, route := range taker.Routes {
			rules = append(append(rules, route.Rule), route.Hop.rules()...)
		}
	}
	return rules
}
