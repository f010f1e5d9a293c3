package cli

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"switchboard/fleet"
	"switchboard/operate"
	"switchboard/operate/chaos"
)

// A run that could not count is no success, in whatever form its result is printed, and what it
// found is said beside that.
func TestChaosSaysAllErrors(t *testing.T) {
	good := chaos.Result{Accepted: 1, Recorded: map[string]int{"I R": 1}}
	bad := good
	bad.Problems = []string{"a promise was broken"}
	unknown := operate.Unreachable{Err: errors.New("the audit never ran")}
	for _, asJSON := range []bool{false, true} {
		for _, c := range []struct {
			result *chaos.Result
			err    error
			says   []string
			code   int
		}{
			{&good, nil, nil, exitOK},
			{&good, unknown, []string{"the audit never ran"}, exitUnreachable},
			{&bad, nil, []string{"a promise was broken", "again: chaos"}, exitFailed},
			{&bad, unknown, []string{"a promise was broken", "the audit never ran"}, exitUnreachable},
			{nil, unknown, []string{"the audit never ran"}, exitUnreachable},
		} {
			cmd := chaosCommand(fleet.Classes{})
			var out bytes.Buffer
			cmd.SetOut(&out)
			a := &attacking{asJSON: asJSON}
			err := a.report(cmd, c.result, c.err, "chaos")
			if code := exitCode(err); code != c.code || (out.Len() > 0) != (c.result != nil) {
				t.Errorf("%d, want %d: %v; printed %s", code, c.code, err, out.String())
			}
			for _, text := range c.says {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("%v does not say %q", err, text)
				}
			}
		}
	}
}

// Servers that a run cannot put a proxy before are a slip, and neither asked nor changed.
func TestChaosRefusesServersWithoutAProxy(t *testing.T) {
	root := Root("test", fleet.Classes{})
	root.SetArgs([]string{"chaos", "--database-url", "sqlite:" + t.TempDir() + "/a.db", "--dir", t.TempDir()})
	root.SetOut(io.Discard)
	root.SetErr(io.Discard)
	if err := root.ExecuteContext(t.Context()); exitCode(err) != exitMisused || !strings.Contains(err.Error(), "proxy") {
		t.Errorf("got %v", err)
	}
}
