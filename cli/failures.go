package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/operate/queues"
	"switchboard/options"
	"switchboard/worker"
	"switchboard/worker/deadletter"
)

// failures are the flags of the commands that look after dead letters.
type failures struct {
	operator
	only   []string // queues, of those the arguments name
	limit  int
	yes    bool
	filter deadletter.Filter
}

// defaultListed is how many dead letters of each queue are listed.
const defaultListed = 1000

var deadLetterReasons = []string{worker.ReasonInvalid, worker.ReasonPermanent, worker.ReasonExhausted, worker.ReasonPanic}

func failuresCommand(classes fleet.Classes, dial dialer) *cobra.Command {
	f := &failures{operator: operator{classes: classes, dial: dial}}
	cmd := &cobra.Command{
		Use:   "failures",
		Short: "Look after the dead letters: what workers could not handle",
		Args:  noSuchCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.add(cmd)
	flags := cmd.PersistentFlags()
	flags.StringArrayVar(&f.only, "queue", nil, "only those of this queue; may be repeated, and needs no files")
	flags.StringVar(&f.filter.Reason, "reason", "", "only those with this reason: "+strings.Join(deadLetterReasons, ", "))
	flags.StringArrayVar(&f.filter.IDs, "id", nil, "only the one with this identifier, its own or its message's; may be repeated")
	flags.StringVar(&f.filter.Error, "error", "", "only those whose error has this text in it")
	complete(cmd, "reason", deadLetterReasons...)
	cmd.AddCommand(f.listCommand(), f.showCommand(), f.retryCommand(), f.dropCommand())
	return cmd
}

func (f *failures) command(use, short string, do func(cmd *cobra.Command, b broker.Broker, names []string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(f.only) > 0 {
				return nil
			}
			return someTarget(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := f.chosen(args)
			if err != nil {
				return err
			}
			return f.with(cmd.Context(), func(b broker.Broker) error {
				if err := target.CheckQueues(cmd.Context(), b); err != nil {
					return err
				}
				return do(cmd, b, target.Queues())
			})
		},
	}
	f.addJSON(cmd)
	return cmd
}

// chosen are the queues the arguments name, narrowed by --queue.
func (f *failures) chosen(args []string) (target queues.Target, err error) {
	if reason := f.filter.Reason; reason != "" && !slices.Contains(deadLetterReasons, reason) {
		return target, misused(fmt.Errorf("--reason %s is none of %s%s", reason, strings.Join(deadLetterReasons, ", "),
			options.DidYouMean(reason, deadLetterReasons)))
	}
	if target, err = queues.Find(f.classes, args); err != nil {
		return target, err
	}
	return target.Only(f.only)
}

func (f *failures) listCommand() *cobra.Command {
	cmd := f.command("list FILE|DIR|QUEUE…", "List dead letters, the oldest failure first", f.list)
	cmd.Flags().IntVar(&f.limit, "limit", defaultListed, "list no more than this many of each queue")
	return cmd
}

func (f *failures) list(cmd *cobra.Command, b broker.Broker, names []string) error {
	if f.limit < 1 {
		return misused(errors.New("--limit must be at least 1"))
	}
	found, more, err := f.find(cmd.Context(), b, names, f.limit)
	if more > 0 {
		cmd.PrintErrf("%s more; raise --limit to list them\n", plural(more, "dead letter"))
	}
	if f.asJSON {
		return errors.Join(printJSON(cmd, found), err)
	}
	if len(found) == 0 && err != nil {
		return err
	}
	return errors.Join(printDeadLetters(cmd.OutOrStdout(), found, time.Now()), err)
}

// find lists dead letters of queues; it goes on after one that was seen in part.
func (f *failures) find(ctx context.Context, b broker.Broker, names []string, limit int) (found []deadletter.DeadLetter, more int, err error) {
	found = []deadletter.DeadLetter{}
	var errs []error
	for _, queue := range names {
		some, beyond, err := deadletter.List(ctx, b, queue, limit, f.filter)
		found, more, errs = append(found, some...), more+beyond, append(errs, err)
		if partial := (*deadletter.PartialError)(nil); err != nil && !errors.As(err, &partial) {
			break
		}
	}
	return found, more, errors.Join(append(errs, f.notFound(len(found)))...)
}

// notFound is an error where identifiers were given and nothing has them.
func (f *failures) notFound(n int) error {
	if n > 0 || len(f.filter.IDs) == 0 {
		return nil
	}
	return fmt.Errorf("no dead letter has the identifier %s", printable(short(strings.Join(f.filter.IDs, ", "), idWidth)))
}

// errorWidth is how much of an error a line of the list shows.
const errorWidth = 120

func printDeadLetters(out io.Writer, list []deadletter.DeadLetter, now time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "no dead letters")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tQUEUE\tREASON\tTRIES\tAGE\tWORKER\tMESSAGE\tERROR")
	for _, l := range list {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n",
			l.ID, l.Queue, printable(l.Reason), l.Attempts, age(l.FirstFailed, now), printable(l.Worker), cell(l.MessageID), printable(short(l.Error, errorWidth)))
	}
	return table.Flush()
}

func (f *failures) retryCommand() *cobra.Command {
	cmd := f.command("retry FILE|DIR|QUEUE…", "Put dead letters back on their queues, as if never tried", f.retry)
	cmd.Long = "Put dead letters back on their queues, as if they had never been tried. Each is safe on its queue\nbefore it is taken from the dead letters."
	return cmd
}

func (f *failures) retry(cmd *cobra.Command, b broker.Broker, names []string) error {
	return f.each(cmd, names, "put back", func(ctx context.Context, queue string) (int, error) {
		return deadletter.Retry(ctx, b, queue, f.filter)
	})
}

func (f *failures) dropCommand() *cobra.Command {
	cmd := f.command("drop FILE|DIR|QUEUE…", "Delete dead letters for ever", f.drop)
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do it")
	return cmd
}

func (f *failures) drop(cmd *cobra.Command, b broker.Broker, names []string) error {
	if f.yes {
		deletions := queues.NewDeletions(b, "dropped from the dead letters by an operator")
		err := f.each(cmd, names, "deleted", func(ctx context.Context, queue string) (int, error) {
			return deadletter.Drop(ctx, b, queue, f.filter, func(l deadletter.DeadLetter) { deletions.Record(ctx, queue, l.Body) })
		})
		return errors.Join(err, deletions.Wait())
	}
	found, more, err := f.find(cmd.Context(), b, names, 0)
	if err != nil {
		return err
	}
	return misused(fmt.Errorf("%s would be deleted for ever; say --yes if that is meant", plural(len(found)+more, "dead letter")))
}

// each does something to every queue's dead letters and says how many they were,
// also when it ends with an error.
func (f *failures) each(cmd *cobra.Command, names []string, done string, do func(ctx context.Context, queue string) (int, error)) error {
	counts := []queues.Count{}
	var errs []error
	for _, name := range names {
		n, err := do(cmd.Context(), name)
		if n > 0 {
			counts = append(counts, queues.Count{Queue: name, Messages: n})
		}
		errs = append(errs, err)
		if partial := (*deadletter.PartialError)(nil); err != nil && !errors.As(err, &partial) {
			break
		}
	}
	err := errors.Join(append(errs, f.notFound(queues.Sum(counts)))...)
	if f.asJSON {
		return errors.Join(printJSON(cmd, counts), err)
	}
	printCounts(cmd.OutOrStdout(), counts, "dead letter", done)
	return err
}

func (f *failures) showCommand() *cobra.Command {
	return f.command("show --id ID FILE|DIR|QUEUE…", "Show dead letters in full: headers and body", f.show)
}

// shownDeadLetter is a dead letter as `show --json` prints it.
type shownDeadLetter struct {
	deadletter.DeadLetter
	Headers broker.Headers  `json:"headers"`
	Body    json.RawMessage `json:"body,omitempty"`      // where it is JSON
	Text    string          `json:"body_text,omitempty"` // where it is not
	Bytes   []byte          `json:"body_base64,omitempty"`
}

func (f *failures) show(cmd *cobra.Command, b broker.Broker, names []string) error {
	if len(f.filter.IDs) == 0 && f.filter.Reason == "" && f.filter.Error == "" {
		return misused(errors.New("say which with --id, --reason or --error; `switchboard failures list` has the identifiers"))
	}
	shown := []shownDeadLetter{}
	found, _, err := f.find(cmd.Context(), b, names, math.MaxInt)
	for _, l := range found {
		shown = append(shown, inFull(l))
	}
	if f.asJSON {
		return errors.Join(printJSON(cmd, shown), err)
	}
	for _, l := range shown {
		printDeadLetter(cmd.OutOrStdout(), l)
	}
	if len(shown) == 0 && err == nil {
		cmd.Println("no dead letters")
	}
	return err
}

func inFull(l deadletter.DeadLetter) shownDeadLetter {
	s := shownDeadLetter{DeadLetter: l, Headers: l.Headers}
	switch {
	case json.Valid(l.Body):
		s.Body = l.Body
	case utf8.Valid(l.Body):
		s.Text = string(l.Body)
	default:
		s.Bytes = l.Body
	}
	return s
}

func printDeadLetter(out io.Writer, l shownDeadLetter) {
	_, _ = fmt.Fprintf(out, "dead letter %s of queue %s\n\n", l.ID, l.Queue)
	for _, name := range slices.Sorted(maps.Keys(l.Headers)) {
		_, _ = fmt.Fprintf(out, "%s: %s\n", printable(name), printable(l.Headers[name]))
	}
	var indented bytes.Buffer
	switch {
	case l.Body != nil && json.Indent(&indented, l.Body, "", "  ") == nil:
		_, _ = fmt.Fprintf(out, "\n%s\n\n", indented.String())
	default:
		_, _ = fmt.Fprintf(out, "\n%d bytes that are no JSON: %q\n\n", len(l.DeadLetter.Body), l.DeadLetter.Body)
	}
}
