package cli

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"switchboard/store"
)

// The defaults of an audit.
const (
	defaultStuck    = 15 * time.Minute
	defaultMaxStuck = 100
)

func auditCommand() *cobra.Command {
	var flag databaseFlag
	var since string
	var asJSON bool
	limits := store.AuditLimits{}
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Prove from the record that no message is missing, and name those that are stuck",
		Long: `Count what was accepted and where it is now: queued, in flight or final, for each
transport and application. Messages that have not moved for longer than --stuck,
and events whose message never came, are named, and make the exit code 1.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if limits.Since, err = parseWhen(since); err != nil {
				return misused(fmt.Errorf("--since: %w", err))
			}
			db, err := flag.open(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer func() { _ = db.Close() }()
			audit, err := db.Audit(cmd.Context(), limits)
			if err != nil {
				return fmt.Errorf("auditing: %w", err)
			}
			if asJSON {
				err = printJSON(cmd, audit)
			} else {
				err = printAudit(cmd, audit, limits.Stuck)
			}
			return errors.Join(err, missing(audit))
		},
	}
	flag.add(cmd)
	cmd.Flags().StringVar(&since, "since", "", "only what was created since: a date, a moment, or a time ago (24h)")
	cmd.Flags().DurationVar(&limits.Stuck, "stuck", defaultStuck, "a message that has not moved for so long is stuck")
	cmd.Flags().IntVar(&limits.MaxStuck, "max-stuck", defaultMaxStuck, "name at most so many stuck messages")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printAudit(cmd *cobra.Command, audit *store.Audit, stuck time.Duration) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "TRANSPORT\tAPPLICATION\tFLOW\tSTATE\tMESSAGES")
	var total, open int64
	for _, c := range audit.Counts {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\n", c.Backend, c.Application, direction(c.Direction), c.Status, c.N)
		total += c.N
		if c.Status == store.StatusQueued || c.Status == store.StatusPassing {
			open += c.N
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	cmd.Printf("\naccepted %d = queued or in flight %d + final %d\n", total, open, total-open)
	for _, r := range audit.Stuck {
		cmd.Printf("stuck for %s: %s message %s on %s, state %s: %s\n", time.Since(r.Updated).Round(time.Second),
			direction(r.Direction), r.ID, r.Backend, r.Status, r.Missing())
	}
	if len(audit.Stuck) == 0 {
		cmd.Printf("nothing has been waiting for longer than %s\n", stuck)
	}
	return nil
}

// missing is an error where something is missing.
func missing(audit *store.Audit) error {
	var errs []error
	if n := len(audit.Stuck); n > 0 {
		errs = append(errs, fmt.Errorf("%d messages are stuck; `switchboard trace ID` shows how far each came", n))
	}
	if audit.Orphan > 0 {
		errs = append(errs, fmt.Errorf("%d events are about messages that never came", audit.Orphan))
	}
	return errors.Join(errs...)
}
