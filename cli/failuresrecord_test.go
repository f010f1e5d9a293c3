package cli

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/persistence"
	"switchboard/store"
)

func TestFailuresOfTheRecord(t *testing.T) {
	a := newAudits(t)
	a.must(persistence.Recorded{Transports: []string{"sms", "other"}, Applications: []string{"survey"}}.Note(t.Context(), a.db))
	dial := func(context.Context, string) (broker.Broker, error) { return a.broker.Connect(), nil }
	run := func(args ...string) (string, int) {
		root := &cobra.Command{SilenceUsage: true, SilenceErrors: true}
		root.AddCommand(failuresCommand(testClasses(), dial))
		var o output
		root.SetOut(&o)
		root.SetErr(&o)
		root.SetArgs(append([]string{"failures", args[0], "--record", "--database-url", "sqlite:" + filepath.Join(a.dir, "record.db")}, args[1:]...))
		if err := root.ExecuteContext(t.Context()); err != nil {
			return o.String() + err.Error(), exitCode(err)
		}
		return o.String(), exitOK
	}
	a.handedOver("waits")
	if out, code := run("retry"); code != exitOK || out != "0 messages sent again\n" {
		t.Errorf("a retry of nothing ends with %d: %s", code, out)
	}
	for _, id := range []string{"failed", "too"} {
		a.handedOver(id)
		_, err := a.db.Record(t.Context(), []store.Envelope{{Backend: "sms", Event: message.NewNack(a.message(id), "congested")}})
		a.must(err)
	}
	for _, c := range []struct {
		args string
		code int
		text string
	}{
		{"list", exitOK, "congested"},
		{"list --limit 1", exitOK, "1 failed message more"},
		{"list --limit 0", exitMisused, "--limit must be at least 1"},
		{"list --limit -1", exitMisused, "--limit must be at least 1"},
		{"list --transport other", exitOK, "no failed messages"},
		{"list --transport smss", exitMisused, `did you mean "sms"?`},
		{"list --application survy", exitMisused, `did you mean "survey"?`},
		{"list --id nosuch", exitFailed, "no failed message has the identifier nosuch"},
		{"retry --id waits", exitFailed, "no failed message has the identifier waits"},
		{"retry --dry-run", exitOK, "2 failed messages would be sent again"},
		{"show", exitMisused, "say which with --id"},
		{"show --id failed", exitOK, `"failed"`},
		{"export", exitOK, `"failed"`},
		{"drop --yes", exitMisused, "nothing to drop"},
	} {
		if out, code := run(strings.Fields(c.args)...); code != c.code || !strings.Contains(out, c.text) {
			t.Errorf("%s ends with %d, want %d and %q: %s", c.args, code, c.code, c.text, out)
		}
	}
}
