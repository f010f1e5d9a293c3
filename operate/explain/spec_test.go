package explain_test

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"switchboard/operate/explain"
)

func runSpec(t *testing.T, text string) ([]explain.Result, string, error) {
	t.Helper()
	files := maps.Clone(chained)
	files["routes_test.yaml"] = text
	dir := write(t, files)
	spec, err := explain.ReadSpec(filepath.Join(dir, "routes_test.yaml"))
	if err != nil {
		return nil, dir, err
	}
	results, err := spec.Run(t.Context(), classes())
	return results, dir, err
}

func TestRoutingTestsThatPass(t *testing.T) {
	results, _, err := runSpec(t, `
tests:
  - name: JOIN goes to the joiner
    message: {transport: smpp_za, from: "+27831234567", to: "12345", content: JOIN x}
    expect:
      to: joiner
      rule: [exposed_names, rules.0]
      rewritten: {provider: mtn, transport_name: sms, helper_metadata.load_balancer.transport_names: [smpp_za]}
      replies_to: smpp_za
      events_to: joiner
  - message: {transport: smpp_ke, content: anything}
    expect: {to: helpdesk}
  - message: {application: joiner, from: "999", to: "1"}
    expect: {to: [], error: no transport for its from_addr}
  - name: the second takes its turn
    after: [{application: joiner, from: "12345", to: "1"}]
    message: {application: joiner, from: "12345", to: "2"}
    expect: {to: smpp_ke}
  - name: and the same again, since nothing is remembered
    after: [{application: joiner, from: "12345", to: "1"}]
    message: {application: joiner, from: "12345", to: "2"}
    expect: {to: smpp_ke}
  - name: the time can be chosen
    at: 2026-11-21T22:30:00+02:00
    message: {transport: smpp_ke, content: anything}
    expect: {to: helpdesk}
  - name: what is down is passed over
    down: smpp_za
    message: {application: joiner, from: "12345", to: "2"}
    expect: {to: smpp_ke}
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if !r.Passed {
			t.Errorf("%s: %+v", r.Name, r.Problems)
		}
	}
}

// Every expectation that is not met is found, with what was wanted and what
// came.
func TestRoutingTestsThatFail(t *testing.T) {
	for expect, want := range map[string]explain.Mismatch{
		"to: helpdesk":                         {What: "to", Want: "helpdesk", Got: "joiner"},
		"to: [joiner, helpdesk]":               {What: "to", Want: "helpdesk, joiner", Got: "joiner"},
		"rule: rules.0":                        {What: "rule", Want: "rules.0", Got: "exposed_names, rules.0"},
		"rewritten: {to_addr: x}":              {What: "rewritten.to_addr", Want: `"x"`, Got: `"12345"`},
		"rewritten: {no.such: null, group: x}": {What: "rewritten.group", Want: `"x"`, Got: "null"},
		"replies_to: smpp_ke":                  {What: "replies_to", Want: "smpp_ke", Got: "smpp_za"},
		"events_to: []":                        {What: "events_to", Want: "(nothing)", Got: "joiner"},
		"error: too late":                      {What: "error", Want: "too late", Got: "(nothing)"},
		"discard: spam":                        {What: "discard", Want: "spam", Got: "(nothing)"},
	} {
		results, dir, err := runSpec(t, `tests:
  - message: {transport: smpp_za, from: "+27831234567", to: "12345", content: JOIN x}
    expect: {`+expect+"}\n")
		if err != nil {
			t.Errorf("%s: %v", expect, err)
			continue
		}
		r := results[0]
		if r.Passed || len(r.Problems) != 1 || r.Problems[0] != want {
			t.Errorf("%s: %+v", expect, r.Problems)
		}
		if at := strings.TrimPrefix(r.At, dir+"/"); at != "routes_test.yaml:2" {
			t.Errorf("at %s", at)
		}
	}
}

func TestRoutingTestsThatCannotBeRun(t *testing.T) {
	for text, want := range map[string]string{
		"": "tests: is missing",
		"tests: [{message: {transport: smpp_za}}]":                               "routes_test.yaml:1: tests.0.expect: expects nothing",
		"tests:\n- message: {transprt: a}\n  expect: {to: a}":                    `routes_test.yaml:2: unknown key "transprt" in tests.0.message; did you mean "transport"?`,
		"tests:\n- message:\n    transport: a\n  expect: {to: a}":                `routes_test.yaml:3: tests.0.message.transport: nobody here takes anything from "a"`,
		"tests:\n- message: {flow: up, transport: smpp_za}\n  expect: {to: a}":   `routes_test.yaml:2: tests.0.message.flow: is "up"`,
		"config: elsewhere\ntests: [{message: {transport: a}, expect: {to: a}}]": "elsewhere",
	} {
		if _, _, err := runSpec(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
