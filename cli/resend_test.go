package cli

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/store"
)

func TestResend(t *testing.T) {
	a := newAudits(t)
	a.must(a.broker.Declare(t.Context(), broker.Queue{Name: "sms.outbound", Keys: []string{"sms.outbound"}}))
	a.handedOver("failed")
	a.handedOver("waits")
	_, err := a.db.Record(t.Context(), []store.Envelope{{Backend: "sms", Event: message.NewNack(a.message("failed"), "congested")}})
	a.must(err)
	run := func(ids ...string) (string, int) {
		root := &cobra.Command{SilenceUsage: true, SilenceErrors: true}
		root.AddCommand(resendCommand(func(context.Context, string) (broker.Broker, error) { return a.broker.Connect(), nil }))
		var o output
		root.SetOut(&o)
		root.SetArgs(append([]string{"resend", "--database-url", "sqlite:" + filepath.Join(a.dir, "record.db")}, ids...))
		if err := root.ExecuteContext(t.Context()); err != nil {
			return o.String() + err.Error(), exitCode(err)
		}
		return o.String(), exitOK
	}
	for _, c := range []struct {
		ids  []string
		code int
		text string
	}{
		{[]string{"failed"}, exitOK, "1 message sent again"},
		{[]string{"waits"}, exitFailed, "only failed messages"},
		{[]string{"nosuch"}, exitFailed, "not in the record"},
		{nil, exitMisused, ""},
	} {
		if out, code := run(c.ids...); code != c.code || !strings.Contains(out, c.text) {
			t.Errorf("resend %v: exit code %d, want %d: %s", c.ids, code, c.code, out)
		}
	}
	if info, err := a.broker.Inspect(t.Context(), "sms.outbound"); err != nil || info.Messages != 1 {
		t.Errorf("sms.outbound has %+v, %v; want the one message", info, err)
	}
}
