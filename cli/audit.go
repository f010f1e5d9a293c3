package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/persistence"
	"switchboard/store"
)

// The defaults of an audit.
const (
	defaultStuck    = 15 * time.Minute
	defaultMaxStuck = 100
)

// auditing is `switchboard audit`.
type auditing struct {
	operator
	database databaseFlag
	since    string
	limits   store.AuditLimits
}

// audited is what an audit found.
type audited struct {
	store.Audit
	Queues []queueStatus `json:"queues,omitempty"` // of the fleet that was named
}

func auditCommand(classes fleet.Classes, dial dialer) *cobra.Command {
	a := &auditing{operator: operator{classes: classes, dial: dial}}
	cmd := &cobra.Command{
		Use:   "audit [FILE|DIR|QUEUE…]",
		Short: "Prove from the record and the queues that no message is missing, and name those that are stuck",
		Long: `Count what was accepted and where it is now: queued, in flight or final, for each
transport and application. Messages that have not moved for longer than --stuck,
and events whose message never came, are named, and make the exit code 1.

With the fleet's files, what waits in its queues and dead letters is counted too: how
far the record is behind, and whether the queues hold as much as is open.`,
		Example: "  switchboard audit --stuck 5m\n  switchboard audit configs/production",
		RunE:    a.run,
	}
	a.add(cmd)
	a.addJSON(cmd)
	a.database.add(cmd)
	cmd.Flags().StringVar(&a.since, "since", "", "only what was created since: a date, a moment, or a time ago (24h)")
	cmd.Flags().DurationVar(&a.limits.Stuck, "stuck", defaultStuck, "a message that has not moved for so long is stuck")
	cmd.Flags().IntVar(&a.limits.MaxStuck, "max-stuck", defaultMaxStuck, "name at most so many stuck messages")
	return cmd
}

func (a *auditing) run(cmd *cobra.Command, args []string) (err error) {
	if a.limits.Since, err = parseWhen(a.since); err != nil {
		return misused(fmt.Errorf("--since: %w", err))
	}
	found := new(audited)
	// The queues first: what leaves them meanwhile is then in the record.
	if len(args) > 0 {
		if found.Queues, err = a.depths(cmd.Context(), args); err != nil {
			return err
		}
	}
	err = a.database.with(cmd.Context(), func(db store.Database) error {
		audit, err := db.Audit(cmd.Context(), a.limits)
		if err == nil {
			found.Audit = *audit
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case a.asJSON:
		err = printJSON(cmd, found)
	default:
		err = printAudit(cmd, found, a.limits.Stuck)
	}
	return errors.Join(err, found.missing())
}

func (a *auditing) depths(ctx context.Context, args []string) (depths []queueStatus, err error) {
	err = a.onQueues(ctx, args, func(b broker.Broker, queues []string) error {
		for _, queue := range queues {
			s, err := statusOf(ctx, b, queue)
			if err != nil {
				return err
			}
			depths = append(depths, s)
		}
		return nil
	})
	return depths, err
}

// balance is what became of the messages of one transport and application, one
// way.
type balance struct {
	transport, application    string
	direction                 store.Direction
	queued, inFlight, errored int64
	final                     int64 // of them errored
}

func (b *balance) add(status store.Status, n int64) {
	switch status {
	case store.StatusQueued:
		b.queued += n
	case store.StatusPassing:
		b.inFlight += n
	case store.StatusError:
		b.errored += n
		b.final += n
	default:
		b.final += n
	}
}

func (b *balance) accepted() int64 { return b.queued + b.inFlight + b.final }

// balances adds up counts that are sorted by transport, direction and
// application.
func balances(counts []store.Count) (all []*balance, total balance) {
	var b *balance
	for _, c := range counts {
		if b == nil || b.transport != c.Backend || b.application != c.Application || b.direction != c.Direction {
			b = &balance{transport: c.Backend, application: c.Application, direction: c.Direction}
			all = append(all, b)
		}
		b.add(c.Status, c.N)
		total.add(c.Status, c.N)
	}
	return all, total
}

func printAudit(cmd *cobra.Command, found *audited, stuck time.Duration) error {
	all, total := balances(found.Counts)
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "TRANSPORT\tAPPLICATION\tFLOW\tACCEPTED\t= QUEUED\t+ IN FLIGHT\t+ FINAL\t(ERRORS)")
	for _, b := range all {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\n", b.transport, b.application, direction(b.direction),
			b.accepted(), b.queued, b.inFlight, b.final, b.errored)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	cmd.Printf("\naccepted %d = queued %d + in flight %d + final %d\n", total.accepted(), total.queued, total.inFlight, total.final)
	printDepths(cmd, found.Queues)
	for _, r := range found.Stuck {
		cmd.Printf("stuck for %s: %s message %s on %s, state %s: %s\n", time.Since(r.Updated).Round(time.Second),
			direction(r.Direction), r.ID, r.Backend, r.Status, r.Missing())
	}
	if len(found.Stuck) == 0 {
		cmd.Printf("nothing has been waiting for longer than %s\n", stuck)
	}
	return nil
}

func printDepths(cmd *cobra.Command, queues []queueStatus) {
	if len(queues) == 0 {
		return
	}
	waiting, dead, behind := depth(queues)
	cmd.Printf("in the queues: %s, and %d set aside in dead letters\n", counted(waiting, "body waits", "bodies wait"), dead)
	for _, q := range queues {
		if q.Messages > 0 || q.Dead > 0 {
			cmd.Printf("  %s: %d waiting, %d set aside\n", q.Queue, q.Messages, q.Dead)
		}
	}
	if behind > 0 {
		cmd.Printf("the record is behind: %d are still to be written down\n", behind)
	}
}

// depth adds up queues; behind is what waits for being recorded.
func depth(queues []queueStatus) (waiting, dead, behind int) {
	for _, q := range queues {
		dead += q.Dead
		switch {
		case !strings.HasPrefix(q.Queue, persistence.TapQueue("")):
			waiting += q.Messages
		case !strings.HasSuffix(q.Queue, persistence.TaskQueue("")[len(persistence.TapQueue("")):]):
			behind += q.Messages
		}
	}
	return waiting, dead, behind
}

// missing is an error where something is missing.
func (a *audited) missing() error {
	_, _, behind := depth(a.Queues)
	later := ""
	if behind > 0 {
		later = " (the record is behind: look again when it has caught up)"
	}
	var errs []error
	if n := len(a.Stuck); n > 0 {
		errs = append(errs, fmt.Errorf("%s stuck; `switchboard trace ID` shows how far each came%s", counted(n, "message is", "messages are"), later))
	}
	if a.Orphan > 0 {
		errs = append(errs, fmt.Errorf("%s about messages that never came%s", counted(int(a.Orphan), "event is", "events are"), later))
	}
	return errors.Join(errs...)
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
