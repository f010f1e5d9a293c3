package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"switchboard/operate/queues"
	"switchboard/persistence"
	"switchboard/store"
)

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

func printAudit(cmd *cobra.Command, found *queues.Audited, stuck time.Duration) error {
	forPeople(cmd)
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
	for _, r := range found.Lost {
		cmd.Printf("missing: %s\n", overdue(&r, r.Updated, "no queue holds it"))
	}
	if n := found.Missing - int64(len(found.Lost)); n > 0 {
		cmd.Printf("missing: %d more\n", n)
	}
	printStuck(cmd, found)
	if sum(found.StuckCounts) == 0 {
		cmd.Printf("nothing has been waiting for longer than %s\n", stuck)
	}
	for _, e := range found.Orphans {
		cmd.Printf("event of a message that never came: %s of %s message %s, %s\n",
			e.Type, direction(e.Direction), e.MessageID, e.Date.UTC().Format(time.RFC3339))
	}
	if n := found.Orphan - int64(len(found.Orphans)); n > 0 {
		cmd.Printf("events of messages that never came: %d more\n", n)
	}
	for _, r := range found.Unreported {
		cmd.Printf("waiting for a delivery report: %s\n", overdue(&r, r.Sent, "the transport reports on others"))
	}
	if n := sum(found.UnreportedCounts) - int64(len(found.Unreported)); n > 0 {
		cmd.Printf("waiting for a delivery report: %d more\n", n)
	}
	return nil
}

// printStuck names what is stuck and not missing.
func printStuck(cmd *cobra.Command, found *queues.Audited) {
	for _, r := range found.Stuck {
		why := r.Missing()
		if queue, aside := found.DeadLettered[r.ID]; aside {
			why = "dead-lettered in " + queue
		}
		cmd.Printf("stuck: %s\n", overdue(&r, r.Updated, why))
	}
	if n := sum(found.StuckCounts) - found.Missing - int64(len(found.Stuck)); n > 0 {
		cmd.Printf("stuck: %d more\n", n)
	}
}

// overdue says what is known of a message that should have moved.
func overdue(r *store.Record, since time.Time, why string) string {
	return fmt.Sprintf("%s message %s on %s, state %s for %s: %s", direction(r.Direction), r.ID, r.Backend, r.Status,
		time.Since(since).Round(time.Second), why)
}

func printDepths(cmd *cobra.Command, list []queues.Status) {
	if len(list) == 0 {
		return
	}
	waiting, dead, behind := depth(list)
	cmd.Printf("in the queues: %s, and %d in dead letters\n", counted(waiting, "body waits", "bodies wait"), dead)
	for _, q := range list {
		if q.Messages > 0 || q.Dead > 0 {
			cmd.Printf("  %s: %d waiting, %d dead\n", q.Queue, q.Messages, q.Dead)
		}
	}
	if behind > 0 {
		cmd.Printf("the record is behind: %d are still to be recorded\n", behind)
	}
}

func sum(counts []store.Count) (n int64) {
	for _, c := range counts {
		n += c.N
	}
	return n
}

// depth adds up queues; behind is what waits for being recorded.
func depth(list []queues.Status) (waiting, dead, behind int) {
	for _, q := range list {
		dead += q.Dead
		switch {
		case !strings.HasPrefix(q.Queue, persistence.RecordQueue("")):
			waiting += q.Messages
		case !strings.HasSuffix(q.Queue, persistence.TaskQueue("")[len(persistence.RecordQueue("")):]):
			behind += q.Messages
		}
	}
	return waiting, dead, behind
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
