package cli

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"switchboard/internal/redact"
	"switchboard/operate/history"
	"switchboard/operate/queues"
	"switchboard/store"
)

// noted are the flags of commands that note who did what.
type noted struct {
	database databaseFlag // optional
	why      string
}

func (f *noted) add(cmd *cobra.Command) {
	f.database.add(cmd)
	cmd.Flags().StringVar(&f.why, "why", "", "why, for `switchboard failures history`")
}

// note notes who did what, where there is a database.
func (f *noted) note(cmd *cobra.Command, counts []queues.Count) error {
	if len(counts) == 0 || f.database.url == "" {
		return nil
	}
	action := history.Action{
		At: time.Now().UTC(), Who: whoami(), Why: f.why, Command: redact.Text(strings.Join(os.Args[1:], " ")), Counts: counts,
	}
	err := f.database.with(cmd.Context(), func(db store.Database) error { return history.Note(cmd.Context(), db, action) })
	if err != nil {
		return coded{fmt.Errorf("it is done, and not in the history: %w", err), exitFailed}
	}
	return nil
}

// whoami is the user on this machine, and who became it.
func whoami() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if before := os.Getenv("SUDO_USER"); before != "" {
		name = before + " as " + name
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

func (f *failures) historyCommand() *cobra.Command {
	var database databaseFlag
	var asJSON bool
	cmd := &cobra.Command{
		Use: "history", Short: "Show who retried or dropped dead letters, or moved messages, how many, and why", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return database.with(cmd.Context(), func(db store.Database) error {
				all, err := history.Read(cmd.Context(), db)
				if asJSON {
					return errors.Join(printJSON(cmd, all), err)
				}
				table := tabwriter.NewWriter(newEscaped(cmd.OutOrStdout()), 0, 0, 2, ' ', 0)
				_, _ = fmt.Fprintln(table, "WHEN (UTC)\tWHO\tMESSAGES\tQUEUES\tWHY\tCOMMAND")
				for _, a := range slices.Backward(all) {
					_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\n", a.At.Format(shownTime), cell(a.Who), queues.Sum(a.Counts), a.Queues(), cell(a.Why), printable(short(a.Command, errorWidth)))
				}
				return errors.Join(err, table.Flush())
			})
		},
	}
	database.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
