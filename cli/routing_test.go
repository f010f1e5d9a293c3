package cli

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchboard/applications"
	"switchboard/applications/echo"
	"switchboard/applications/guess"
	"switchboard/dispatcher"
	"switchboard/fleet"
	"switchboard/operate"
	"switchboard/operate/explain"
	"switchboard/operate/graph"
	"switchboard/operate/queues"
	"switchboard/routers"
	"switchboard/routers/rules"
	"switchboard/transports"
	"switchboard/transports/httptester"
	"switchboard/transports/telnet"
)

func routingClasses() fleet.Classes {
	return fleet.Classes{
		Routers:      map[string]fleet.Class[dispatcher.Router]{"simple": {New: func() dispatcher.Router { return routers.NewSimple() }}},
		Transports:   map[string]fleet.Class[transports.Transport]{"telnet": {New: func() transports.Transport { return telnet.New() }}},
		Applications: map[string]fleet.Class[applications.Application]{"echo": {New: func() applications.Application { return echo.New() }}},
	}
}

// routingFleet writes a small fleet; the dispatcher's text and the routing
// tests' may be added to.
func routingFleet(t *testing.T, app, more, tests string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"line.yaml":        "transport_class: telnet\ntransport_name: line\ntelnet_port: 9010\n",
		"one.yaml":         "application_class: echo\ntransport_name: one\n",
		"two.yaml":         "application_class: echo\ntransport_name: two\n",
		"join.yaml":        "router_class: simple\ntransport_names: [line]\nexposed_names: [one, two]\nroute_mappings: {line: " + app + "}\n" + more,
		"routes_test.yaml": tests,
	} {
		if text != "" {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// invoke runs a command line and gives its output, its error and its exit code.
func invoke(t *testing.T, in string, args ...string) (out string, code int, err error) {
	t.Helper()
	root := Root("test", routingClasses())
	var stdout, stderr bytes.Buffer
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetIn(strings.NewReader(in))
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	var wrong operate.Misuse
	switch {
	case errors.As(err, &wrong):
		code = exitMisused
	case err != nil:
		code = exitFailed
	}
	return stdout.String(), code, err
}

func wants(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing from\n%s", part, text)
		}
	}
}

func TestCheckCommand(t *testing.T) {
	good := routingFleet(t, "one", "", "")
	out, code, err := invoke(t, "", "check", good)
	if code != exitOK {
		t.Error(code, err)
	}
	wants(t, out, "4 workers, 0 warnings, nothing wrong")

	lonely := routingFleet(t, "one", "", "")
	if err := os.Remove(filepath.Join(lonely, "two.yaml")); err != nil {
		t.Fatal(err)
	}
	out, code, err = invoke(t, "", "check", lonely)
	if code != exitOK {
		t.Error(code, err)
	}
	wants(t, out, "join.yaml:3: warning: no application here serves two", "3 workers, 1 warning, nothing wrong")
	if _, code, _ = invoke(t, "", "check", "--strict", lonely); code != exitMisused {
		t.Errorf("--strict exits with %d", code)
	}

	bad := routingFleet(t, "three", "", "")
	out, code, err = invoke(t, "", "check", "--json", bad)
	var findings []fleet.Finding
	if json.Unmarshal([]byte(out), &findings) != nil || len(findings) != 1 || findings[0].Severity != fleet.Error || code != exitMisused {
		t.Errorf("%d %v %s", code, err, out)
	}
	if !strings.HasSuffix(findings[0].At, "join.yaml:4") {
		t.Errorf("at %s", findings[0].At)
	}
}

func TestRouteCommand(t *testing.T) {
	dir := routingFleet(t, "one", "", "")
	out, code, err := invoke(t, "", "route", dir, "--from", "+27831234567", "--content", "JOIN x")
	if code != exitOK {
		t.Error(code, err)
	}
	wants(t, out, "A message from a person on line", "by route_mappings.line ("+dir+"/join.yaml:4)", "→ application one (echo)", "A reply from one", "An event from line")

	out, code, err = invoke(t, "", "route", dir, "--transport", "line", "--json")
	var answer explain.Answer
	if json.Unmarshal([]byte(out), &answer) != nil || code != exitOK || answer.Message.Takers[0].Routes[0].Hop.Connector != "one" {
		t.Errorf("%d %v %s", code, err, out)
	}
	if out, code, _ = invoke(t, "", "route", dir, "--application", "one"); code != exitFailed {
		t.Errorf("a message that is dead-lettered exits with %d", code)
	}
	wants(t, out, "DEAD-LETTERS IT", "it names no transport")
	if _, code, err = invoke(t, "", "route", dir, "--transport", "lime"); code != exitMisused || !strings.Contains(err.Error(), `--transport: nobody here takes anything from "lime"; did you mean "line"?`) {
		t.Errorf("%d %v", code, err)
	}
}

func TestTestCommand(t *testing.T) {
	passes := "tests:\n- {name: a, message: {content: x}, expect: {to: one}}\n"
	out, code, err := invoke(t, "", "test", "-v", routingFleet(t, "one", "", passes))
	if code != exitOK {
		t.Error(code, err)
	}
	wants(t, out, "--- PASS: a", "ok\t", "1 test\t")

	fails := passes + "- {name: b, message: {content: x}, expect: {to: two}}\n"
	dir := routingFleet(t, "one", "", fails)
	out, code, _ = invoke(t, "", "test", dir)
	if code != exitFailed {
		t.Errorf("exits with %d", code)
	}
	wants(t, out, "--- FAIL: b ("+dir+"/routes_test.yaml:3)", "- want two", "+ got  one", "how it went:", "1 of 2 tests failed")

	out, code, _ = invoke(t, "", "test", "--json", dir)
	var reports []testReport
	if json.Unmarshal([]byte(out), &reports) != nil || code != exitFailed || len(reports) != 1 || len(reports[0].Tests[1].Problems) != 1 {
		t.Errorf("%d %s", code, out)
	}
	for what, dir := range map[string]string{
		"no tests":             routingFleet(t, "one", "", ""),
		"a test that is wrong": routingFleet(t, "one", "", "tests: [{mesage: {}}]"),
		"a fleet that is":      routingFleet(t, "three", "", passes),
	} {
		if _, code, err := invoke(t, "", "test", dir); code != exitMisused {
			t.Errorf("%s: %d %v", what, code, err)
		}
	}
}

func TestDiffCommand(t *testing.T) {
	old, fresh := routingFleet(t, "one", "", ""), routingFleet(t, "two", "", "")
	sample := strings.Repeat(`{"message_id": "1", "message_type": "user_message", "message_version": "20110921", "to_addr": "1", "from_addr": "2", `+
		`"transport_name": "line", "timestamp": "2026-01-01 00:00:00", "content": "x"}`+"\n", 3)
	out, code, err := invoke(t, sample, "diff", old, fresh, "--messages", "-")
	if code != exitFailed {
		t.Error(code, err)
	}
	wants(t, out, "3 messages: 0 go where they went, 3 elsewhere", "line.inbound  one.inbound  two.inbound")
	if out, code, err = invoke(t, sample, "diff", old, old, "--messages", "-", "--json"); code != exitOK {
		t.Error(code, err, out)
	}
	if out, code, err = invoke(t, "{}\n", "diff", old, fresh, "--messages", "-"); code != exitMisused {
		t.Errorf("an unreadable sample: %d %v", code, err)
	}
	wants(t, out, "1 line could not be read, the first: line 1: ")
	for _, args := range [][]string{{"diff", old, fresh}, {"diff", old, "--messages", "-"}, {"diff", old, fresh, "--messages", "no such file"}} {
		if _, code, err := invoke(t, sample, args...); code != exitMisused {
			t.Errorf("%v: %d %v", args, code, err)
		}
	}
}

func TestGraphCommand(t *testing.T) {
	dir := routingFleet(t, "one", "", "")
	out, code, err := invoke(t, "", "graph", dir)
	if code != exitOK || xml.Unmarshal([]byte(out), new(struct{ XMLName xml.Name })) != nil {
		t.Errorf("%d %v %s", code, err, out)
	}
	out, _, _ = invoke(t, "", "graph", dir, "--format", "json")
	var g graph.Graph
	if json.Unmarshal([]byte(out), &g) != nil || len(g.Nodes) != 4 || len(g.Edges) != 3 {
		t.Errorf("%s", out)
	}
	for name, want := range map[string]string{"a.svg": "<svg", "a.dot": "digraph", "a.mmd": "flowchart"} {
		path := filepath.Join(t.TempDir(), name)
		if _, code, err := invoke(t, "", "graph", dir, "-o", path); code != exitOK {
			t.Error(code, err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		wants(t, string(text), want)
	}
	for _, args := range [][]string{{"graph", dir, "--format", "png"}, {"graph", dir, "--theme", "pink"}, {"graph"}} {
		if _, code, err := invoke(t, "", args...); code != exitMisused {
			t.Errorf("%v: %d %v", args, code, err)
		}
	}
}

// Every command that looks at files shows an example.
func TestRoutingCommandsShowExamples(t *testing.T) {
	for _, cmd := range routingCommands(routingClasses()) {
		if cmd.Example == "" || cmd.Long == "" {
			t.Errorf("%s --help has no example or no description", cmd.Name())
		}
	}
}

// The drawing in docs is what graph draws of the fleet it is of.
func TestDrawingInDocsIsTrue(t *testing.T) {
	kept, err := os.ReadFile("../docs/shared-transports.svg")
	if err != nil {
		t.Fatal(err)
	}
	root := Root("test", useCaseClasses())
	var drawn bytes.Buffer
	root.SetOut(&drawn)
	root.SetArgs([]string{"graph", "../configs/use-cases/shared-transports"})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if drawing := strings.ReplaceAll(drawn.String(), "(../", "("); drawing != string(kept) {
		t.Errorf("draw it anew: switchboard graph configs/use-cases/shared-transports -o docs/shared-transports.svg\n%s", drawing)
	}
}

func useCaseClasses() fleet.Classes {
	c := routingClasses()
	c.Routers["rules"] = fleet.Class[dispatcher.Router]{New: func() dispatcher.Router { return rules.New() }}
	c.Routers["content_keyword"] = fleet.Class[dispatcher.Router]{New: func() dispatcher.Router { return routers.NewContentKeyword() }}
	c.Transports["httptester"] = fleet.Class[transports.Transport]{New: func() transports.Transport { return httptester.New() }}
	c.Applications["guess"] = fleet.Class[applications.Application]{New: func() applications.Application { return guess.New() }}
	return c
}

// What a shell's * names besides is passed over; nothing else is.
func TestPatternsNameOtherFilesToo(t *testing.T) {
	dir := routingFleet(t, "one", "", "tests: [{message: {transport: line}, expect: {to: one}}]")
	readme := filepath.Join(dir, "README.md")
	if err := os.WriteFile(readme, []byte("# Not YAML: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"test", "check"} {
		if out, code, err := invoke(t, "", append([]string{command}, files...)...); code != exitOK {
			t.Errorf("%s: %d, %v\n%s", command, code, err, out)
		}
		if _, code, _ := invoke(t, "", command, readme); code != exitMisused {
			t.Errorf("%s of a README alone: %d", command, code)
		}
	}
}

// What a worker needs to run, the commands that only look at its file do not.
func TestLookingNeedsNoSecrets(t *testing.T) {
	dir := routingFleet(t, "one", "", "tests: [{message: {transport: line}, expect: {to: one}}]")
	line := filepath.Join(dir, "line.yaml")
	if err := os.WriteFile(line, []byte("transport_class: telnet\ntransport_name: line\ntelnet_port: ${SWITCHBOARD_TEST_NO_SUCH_PORT}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"test", dir}, {"route", "--transport", "line", dir}, {"graph", dir}} {
		if out, code, err := invoke(t, "", args...); code != exitOK {
			t.Errorf("%v: %d, %v\n%s", args, code, err, out)
		}
	}
	if target, err := queues.Find(routingClasses(), []string{dir}); err != nil || len(target.Queues()) != 9 {
		t.Errorf("queues: %v, %v", target.Queues(), err)
	}
	if out, code, _ := invoke(t, "", "check", dir); code != exitMisused || !strings.Contains(out, "SWITCHBOARD_TEST_NO_SUCH_PORT is not set") {
		t.Errorf("check: %d\n%s", code, out)
	}
}
