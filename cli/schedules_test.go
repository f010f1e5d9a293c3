package cli

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"switchboard/internal/testutil"
	"switchboard/operate/scheduler"
	"switchboard/options"
	"switchboard/store/sqlite"
	"switchboard/worker"
)

func TestSchedules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.db")
	db, err := sqlite.Open(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := scheduler.New()
	s.Timezone = "Africa/Johannesburg"
	s.Schedules = options.Map[scheduler.Schedule]{{Key: "morning", Value: scheduler.Schedule{
		Cron: "0 8 29 2 *", Transport: "sms", To: []string{"+27831234567"}, Text: "Good morning",
	}}}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	w, err := s.Worker(worker.Dependencies{Name: "times", Record: db, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	testutil.Eventually(t, "the scheduler says what it has", func() bool {
		list, err := scheduler.Book{DB: db}.List(t.Context())
		return err == nil && len(list) == 1
	})
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"list"}, exitOK, "times/morning  0 8 29 2 *  Africa/Johannesburg  "},
		{[]string{"list"}, exitOK, "-02-29 06:00:00"},
		{[]string{"pause", "morning"}, exitMisused, `no scheduler has a schedule "morning"`},
		{[]string{"pause", "times/morning"}, exitOK, "times/morning: paused"},
		{[]string{"list"}, exitOK, "paused"},
		{[]string{"list", "--json"}, exitOK, `"paused": true`},
		{[]string{"resume", "times/morning"}, exitOK, "times/morning: resumed"},
		{[]string{"list", "--json"}, exitOK, `"paused": false`},
		{[]string{"resume"}, exitMisused, ""},
	} {
		root := &cobra.Command{SilenceUsage: true, SilenceErrors: true}
		root.AddCommand(schedulesCommand())
		var o output
		root.SetOut(&o)
		root.SetArgs(append(append([]string{"schedules"}, c.args...), "--database-url", "sqlite:"+path))
		code, text := exitOK, ""
		if err := root.ExecuteContext(t.Context()); err != nil {
			code, text = exitCode(err), err.Error()
		}
		if text = o.String() + text; code != c.code || !strings.Contains(text, c.want) {
			t.Errorf("schedules %v: exit code %d: %s; want %d, %q", c.args, code, text, c.code, c.want)
		}
	}
}
