package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/operate"
	"switchboard/operate/failed"
	"switchboard/operate/queues"
	"switchboard/store"
	"switchboard/worker/deadletter"
)

// orOfRecord has a command do something else, with --record: to the messages that the
// record has as failed. check says whether its other flags are wrong.
func (f *failures) orOfRecord(cmd *cobra.Command, check func() error, do func(cmd *cobra.Command, db store.Database, found []store.Record) error) *cobra.Command {
	var record bool
	flags, args, run := cmd.Flags(), cmd.Args, cmd.RunE
	flags.BoolVar(&record, "record", false, "of the messages that the record has as failed (state E), instead of dead letters; needs no files")
	flags.StringVar(&f.application, "application", "", "with --record: only those of this exposed name")
	if flags.Lookup("database-url") == nil {
		f.noted.database.add(cmd)
	}
	cmd.Args = func(cmd *cobra.Command, names []string) error {
		switch {
		case record && len(names) > 0:
			return misused(errors.New("--record is of the whole record: choose with --queue, --transport and the other flags"))
		case record:
			return nil
		case f.application != "":
			return misused(fmt.Errorf("--application %s is for --record: a dead letter's queue says where it is", f.application))
		}
		return args(cmd, names)
	}
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if !record {
			return run(cmd, names)
		}
		if err := check(); err != nil {
			return err
		}
		filter, err := f.ofRecord()
		if err != nil {
			return err
		}
		return f.noted.database.with(cmd.Context(), func(db store.Database) error {
			found, err := failed.Find(cmd.Context(), db, filter)
			if err == nil && len(found) == 0 {
				err = f.notRecorded(cmd.Context(), db, filter)
			}
			if err != nil {
				return err
			}
			return do(cmd, db, found)
		})
	}
	return cmd
}

// notRecorded is an error where names were given and nothing has them.
func (f *failures) notRecorded(ctx context.Context, db store.Database, filter failed.Filter) error {
	if err := (&messagesFlags{filter: filter.Filter}).checkNames(ctx, db); err != nil || len(filter.IDs) == 0 {
		return err
	}
	return fmt.Errorf("no failed message has the identifier %s", f.identifiers())
}

func (f *failures) ofRecord() (filter failed.Filter, err error) {
	filter.Backend, filter.Application, filter.Text, filter.IDs, filter.Queues = f.filter.Transport, f.application, f.filter.Text, f.filter.IDs, f.only
	filter.Reasons = []string{f.filter.Reason, f.filter.Error}
	if filter.Since, err = parseWhen(f.since); err != nil {
		return filter, misused(fmt.Errorf("--since: %w", err))
	}
	if filter.Until, err = parseWhen(f.until); err != nil {
		return filter, misused(fmt.Errorf("--until: %w", err))
	}
	return filter, nil
}

func (f *failures) listRecord(cmd *cobra.Command, _ store.Database, found []store.Record) error {
	if more := len(found) - f.limit; more > 0 {
		cmd.PrintErrf("%s more; raise --limit to list them\n", plural(more, "failed message"))
		found = found[:f.limit]
	}
	if f.asJSON {
		return printJSON(cmd, append([]store.Record{}, found...))
	}
	if len(found) == 0 {
		cmd.Println("no failed messages")
		return nil
	}
	table := newTable(cmd.OutOrStdout())
	_, _ = fmt.Fprintln(table, "CREATED (UTC)\tTRANSPORT\tADDRESS\tAPPLICATION\tTRIES\tMESSAGE\tREASON")
	for _, r := range found {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", r.Date.UTC().Format(shownTime), cell(r.Backend), cell(r.Address), cell(r.Application), r.Attempts,
			cell(r.ID), printable(short(r.Reason, errorWidth)))
	}
	return table.Flush()
}

// exportRecord prints each with its body, as JSON, one a line.
func (f *failures) exportRecord(cmd *cobra.Command, db store.Database, found []store.Record) error {
	lines := json.NewEncoder(cmd.OutOrStdout())
	lines.SetEscapeHTML(false)
	for _, r := range found {
		trace, err := db.Trace(cmd.Context(), r.ID)
		if err != nil {
			return fmt.Errorf("reading %s: %w", r.ID, err)
		}
		for _, full := range trace.Records {
			if full.ID == r.ID && full.Direction == r.Direction {
				if err := lines.Encode(full); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// checkShown refuses to show all that has failed.
func (f *failures) checkShown() error {
	if reflect.DeepEqual(f.filter, deadletter.Filter{}) && f.application == "" && f.since == "" && f.until == "" {
		return errShowWhich
	}
	return nil
}

func (f *failures) refuseToDrop() error {
	return misused(errors.New("the record keeps what failed, and nothing of it waits anywhere: there is nothing to drop"))
}

func (f *failures) retryRecord(cmd *cobra.Command, db store.Database, found []store.Record) error {
	unfit := map[string]int{}
	var fit []store.Record
	for _, r := range found {
		why, err := failed.Unfit(cmd.Context(), db, &r)
		switch {
		case err != nil:
			return err
		case why != "":
			unfit[why]++
		default:
			fit = append(fit, r)
		}
	}
	fit = fit[:f.limited(len(fit))]
	if f.dryRun {
		return f.printFit(cmd, len(fit), unfit)
	}
	if len(fit) == 0 {
		return f.printNothing(cmd, unfit)
	}
	return f.with(cmd.Context(), func(b broker.Broker) error { return f.resend(cmd, db, b, fit) })
}

func (f *failures) resend(cmd *cobra.Command, db store.Database, b broker.Broker, fit []store.Record) error {
	again := failed.Again{To: f.again.To, Who: whoami(), Why: f.noted.why}
	if again.To != "" {
		if err := queues.CheckQueue(cmd.Context(), b, message.Key(again.To, message.Outbound), nil); err != nil {
			return operate.Misused(fmt.Errorf("--to, which names a transport: %w", err))
		}
	}
	if f.rate > 0 {
		again.Before = rate.NewLimiter(rate.Limit(f.rate), 1).Wait
	}
	all, sent, counts := []failed.Outcome{}, 0, map[string]int{}
	err := again.Retry(cmd.Context(), db, b, fit, func(o failed.Outcome) {
		all = append(all, o)
		if o.Error == "" {
			sent++
			counts[o.Key]++
		}
		switch {
		case f.asJSON:
		case o.Error != "":
			cmd.Printf("%s  failed: %s\n", o.ID, printable(o.Error))
		default:
			cmd.Printf("%s  → %s, attempt %d\n", o.ID, o.Key, o.Attempt)
		}
	})
	if f.asJSON {
		err = errors.Join(err, printJSON(cmd, all))
	} else {
		cmd.Printf("%s sent again\n", plural(sent, "message"))
	}
	noted := []queues.Count{}
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		noted = append(noted, queues.Count{Queue: key, Messages: counts[key]})
	}
	if len(all) > sent {
		err = errors.Join(err, coded{fmt.Errorf("%s could not be sent again", plural(len(all)-sent, "message")), exitFailed})
	}
	return errors.Join(err, f.noted.note(cmd, noted))
}

// printFit says how many messages would be sent again, and how many not, and why.
func (f *failures) printFit(cmd *cobra.Command, fit int, unfit map[string]int) error {
	if f.asJSON {
		return printJSON(cmd, struct {
			Chosen int            `json:"chosen"`
			Left   map[string]int `json:"left_out,omitempty"`
		}{fit, unfit})
	}
	cmd.Printf("%s would be sent again%s\n", plural(fit, "failed message"), strings.Repeat(" by "+f.again.To, min(1, len(f.again.To))))
	printUnfit(cmd, unfit)
	return nil
}

// printNothing says that no message was sent again, and why.
func (f *failures) printNothing(cmd *cobra.Command, unfit map[string]int) error {
	if f.asJSON {
		return printJSON(cmd, []failed.Outcome{})
	}
	cmd.Println("0 messages sent again")
	printUnfit(cmd, unfit)
	return nil
}

func printUnfit(cmd *cobra.Command, unfit map[string]int) {
	for _, why := range slices.Sorted(maps.Keys(unfit)) {
		cmd.Printf("%d not: %s\n", unfit[why], why)
	}
}
