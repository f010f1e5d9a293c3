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
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

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
	only         []string // queues, of those the arguments name
	limit        int
	yes          bool
	filter       deadletter.Filter
	since, until string
	application  string // with --record

	again  deadletter.Again
	rate   float64 // a second; 0 is as fast as it goes
	dryRun bool
	each   bool // name each

	noted noted
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
	cmd.AddCommand(f.listCommand(), f.showCommand(), f.retryCommand(), f.dropCommand(), f.exportCommand(), f.historyCommand())
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
	f.addFilter(cmd)
	return cmd
}

func (f *failures) addFilter(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.only, "queue", nil, "only those of this queue; may be repeated, and needs no files")
	flags.StringVar(&f.filter.Reason, "reason", "", "only those with this reason: "+strings.Join(deadLetterReasons, ", ")+"; with --record a part of the recorded one: a code")
	flags.StringArrayVar(&f.filter.IDs, "id", nil, "only the one with this identifier, its own or its message's; may be repeated")
	flags.StringVar(&f.filter.Error, "error", "", "only those whose error has this text in it")
	flags.StringVar(&f.filter.Transport, "transport", "", "only messages and events of this transport")
	flags.StringVar(&f.filter.Text, "text", "", "only messages with this in their text")
	flags.StringVar(&f.since, "since", "", "only those that failed last since: 2026-11-21, 2026-11-21T08:00:00Z (UTC), or for how long (24h)")
	flags.StringVar(&f.until, "until", "", "only those that failed last before: as --since")
	complete(cmd, "reason", deadLetterReasons...)
}

// chosen are the queues the arguments name, narrowed by --queue.
func (f *failures) chosen(args []string) (target queues.Target, err error) {
	if reason := f.filter.Reason; reason != "" && !slices.Contains(deadLetterReasons, reason) {
		return target, misused(fmt.Errorf("--reason %s is none of %s%s", reason, strings.Join(deadLetterReasons, ", "),
			options.DidYouMean(reason, deadLetterReasons)))
	}
	if f.filter.Since, err = parseWhen(f.since); err != nil {
		return target, misused(fmt.Errorf("--since: %w", err))
	}
	if f.filter.Until, err = parseWhen(f.until); err != nil {
		return target, misused(fmt.Errorf("--until: %w", err))
	}
	if target, err = queues.Find(f.classes, args); err != nil {
		return target, err
	}
	return target.Only(f.only)
}

func (f *failures) listCommand() *cobra.Command {
	cmd := f.command("list FILE|DIR|QUEUE…", "List dead letters, the oldest failure first", f.list)
	cmd.Flags().IntVar(&f.limit, "limit", defaultListed, "list no more than this many of each queue")
	return f.orOfRecord(cmd, f.checkListed, f.listRecord)
}

func (f *failures) list(cmd *cobra.Command, b broker.Broker, names []string) error {
	if err := f.checkListed(); err != nil {
		return err
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

func (f *failures) checkListed() error {
	if f.limit < 1 {
		return misused(errors.New("--limit must be at least 1"))
	}
	return nil
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
	return found, more, errors.Join(append(errs, f.notFound(ctx, b, names, len(found)+more))...)
}

// notFound is an error where identifiers or a transport were given and nothing has them.
func (f *failures) notFound(ctx context.Context, b broker.Admin, names []string, n int) error {
	if n == 0 && f.filter.Transport != "" {
		return f.noSuchTransport(ctx, b, names)
	}
	if n > 0 || len(f.filter.IDs) == 0 {
		return nil
	}
	return fmt.Errorf("no dead letter has the identifier %s", f.identifiers())
}

func (f *failures) identifiers() string {
	return printable(short(strings.Join(f.filter.IDs, ", "), idWidth))
}

// noSuchTransport is an error where there are dead letters, and all of other transports.
func (f *failures) noSuchTransport(ctx context.Context, b broker.Admin, names []string) error {
	var seen []string
	for _, queue := range names {
		all, _, err := deadletter.List(ctx, b, queue, math.MaxInt, deadletter.Filter{})
		if err != nil {
			return err
		}
		for _, l := range all {
			seen = append(seen, l.Transport)
		}
	}
	slices.Sort(seen)
	if seen = slices.Compact(seen); len(seen) == 0 || slices.Contains(seen, f.filter.Transport) {
		return nil
	}
	return misused(fmt.Errorf("--transport: no dead letter is of transport %q%s", f.filter.Transport, options.DidYouMean(f.filter.Transport, seen)))
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
	cmd.Long = `Put dead letters back on their queues, or on another with --to, in their order and as if
they had never been tried. Each is safe on its queue before it is taken from the
dead letters: ended in the middle, it loses none and repeats one at most.

--dry-run counts those that would go, and those that would not, by what leaves them out.
With --record they are outbound messages that the record has as failed: each is sent as its next
attempt, by its own transport or by the one that --to names, and gets a line that says where it
is or why not. Ended in the middle and run again, it passes over those that were sent.

At a --rate the dead letters of a queue are held meanwhile, so that it may take
` + longestRetry.String() + ` at most; --limit lets fewer go.`
	flags := cmd.Flags()
	flags.StringVar(&f.again.To, "to", "", "the queue to put them on, where not on their own; with --record the transport")
	flags.IntVar(&f.again.Limit, "limit", 0, "no more than this many of each queue; 0 is all")
	flags.Float64Var(&f.rate, "rate", 0, "so many a second at most; 0 is as fast as it goes")
	flags.BoolVar(&f.dryRun, "dry-run", false, "do nothing, and count what would go")
	flags.BoolVarP(&f.each, "each", "v", false, "name each, and where it went")
	f.noted.add(cmd)
	return f.orOfRecord(cmd, f.checkRate, f.retryRecord)
}

// longestRetry is how long the dead letters of a queue are held at most: RabbitMQ ends a
// channel that holds a body for half an hour (consumer_timeout).
const longestRetry = 20 * time.Minute

func (f *failures) retry(cmd *cobra.Command, b broker.Broker, names []string) error {
	if err := f.checkRate(); err != nil {
		return err
	}
	if f.again.To != "" {
		if err := queues.CheckQueue(cmd.Context(), b, f.again.To, nil); err != nil {
			return misused(fmt.Errorf("--to: %w", err))
		}
	}
	if f.dryRun || f.rate > 0 {
		surveys, err := f.survey(cmd.Context(), b, names)
		if err != nil || f.dryRun {
			return errors.Join(f.printSurveys(cmd, surveys), err)
		}
		for _, s := range surveys {
			if took := time.Duration(float64(f.limited(s.Chosen)) / f.rate * float64(time.Second)); took > longestRetry {
				return misused(fmt.Errorf("at %g a second the %s of %s take %s, more than %s: raise --rate, or let fewer go with --limit",
					f.rate, plural(s.Chosen, "dead letter"), s.Queue, took.Round(time.Second), longestRetry))
			}
		}
		f.again.Before = rate.NewLimiter(rate.Limit(f.rate), 1).Wait
	}
	if f.each {
		f.again.Done = func(l deadletter.DeadLetter, queue string) {
			cmd.PrintErrf("%s  %s  → %s\n", l.ID, cell(l.MessageID), queue)
		}
	}
	return f.onEach(cmd, b, names, "put back", func(ctx context.Context, queue string) (int, error) {
		return f.again.Retry(ctx, b, queue, f.filter)
	})
}

func (f *failures) checkRate() error {
	switch {
	case f.again.Limit < 0:
		return misused(errors.New("--limit must not be negative; 0 is all"))
	case f.rate < 0 || math.IsNaN(f.rate) || math.IsInf(f.rate, 0):
		return misused(errors.New("--rate must be a number a second, or 0 for no limit"))
	}
	return nil
}

// limited is how many of n go.
func (f *failures) limited(n int) int {
	if f.again.Limit > 0 {
		return min(n, f.again.Limit)
	}
	return n
}

// survey is what a retry of a queue's dead letters would do.
type survey struct {
	Queue  string         `json:"queue"`
	Chosen int            `json:"chosen"`
	Left   map[string]int `json:"left_out,omitempty"` // by what leaves them out
}

func (f *failures) survey(ctx context.Context, b broker.Admin, names []string) (all []survey, err error) {
	all = []survey{}
	for _, queue := range names {
		chosen, left, err := deadletter.Survey(ctx, b, queue, f.filter)
		if err != nil {
			return all, err
		}
		if chosen > 0 || len(left) > 0 {
			all = append(all, survey{queue, chosen, left})
		}
	}
	return all, nil
}

func (f *failures) printSurveys(cmd *cobra.Command, all []survey) error {
	if f.asJSON {
		return printJSON(cmd, all)
	}
	for _, s := range all {
		to := ""
		if f.again.To != "" {
			to = " on " + f.again.To
		}
		cmd.Printf("%s: %s would be put back%s", s.Queue, plural(f.limited(s.Chosen), "dead letter"), to)
		if over := s.Chosen - f.limited(s.Chosen); over > 0 {
			cmd.Printf(", %d more are over --limit", over)
		}
		for _, why := range slices.Sorted(maps.Keys(s.Left)) {
			cmd.Printf(", %d left out by their %s", s.Left[why], why)
		}
		cmd.Println()
	}
	if len(all) == 0 {
		cmd.Println("no dead letters")
	}
	return nil
}

func (f *failures) dropCommand() *cobra.Command {
	cmd := f.command("drop FILE|DIR|QUEUE…", "Delete dead letters for ever", f.drop)
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do it")
	f.noted.add(cmd)
	return f.orOfRecord(cmd, f.refuseToDrop, nil)
}

func (f *failures) drop(cmd *cobra.Command, b broker.Broker, names []string) error {
	if f.yes {
		deletions := queues.NewDeletions(b, "dropped from the dead letters by an operator")
		err := f.onEach(cmd, b, names, "deleted", func(ctx context.Context, queue string) (int, error) {
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

// onEach does something to every queue's dead letters, says how many they were, also when
// it ends with an error, and notes it.
func (f *failures) onEach(cmd *cobra.Command, b broker.Broker, names []string, done string, do func(ctx context.Context, queue string) (int, error)) error {
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
	err := errors.Join(append(errs, f.notFound(cmd.Context(), b, names, queues.Sum(counts)), f.noted.note(cmd, counts))...)
	if f.asJSON {
		return errors.Join(printJSON(cmd, counts), err)
	}
	printCounts(cmd.OutOrStdout(), counts, "dead letter", done)
	return err
}

func (f *failures) showCommand() *cobra.Command {
	return f.orOfRecord(f.command("show --id ID FILE|DIR|QUEUE…", "Show dead letters in full: headers and body", f.show), f.checkShown, f.exportRecord)
}

// shownDeadLetter is a dead letter as `show --json` prints it.
type shownDeadLetter struct {
	deadletter.DeadLetter
	Headers broker.Headers  `json:"headers"`
	Body    json.RawMessage `json:"body,omitempty"`      // where it is JSON
	Text    string          `json:"body_text,omitempty"` // where it is not
	Bytes   []byte          `json:"body_base64,omitempty"`
}

var errShowWhich = misused(errors.New("say which with --id, --reason, --error or another filter; `switchboard failures list` has the identifiers"))

func (f *failures) show(cmd *cobra.Command, b broker.Broker, names []string) error {
	if reflect.DeepEqual(f.filter, deadletter.Filter{}) {
		return errShowWhich
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

// exportCommand writes dead letters as JSON lines, for other programs to keep or read.
func (f *failures) exportCommand() *cobra.Command {
	cmd := f.command("export FILE|DIR|QUEUE…", "Print dead letters in full, as JSON, one a line", func(cmd *cobra.Command, b broker.Broker, names []string) error {
		lines := json.NewEncoder(cmd.OutOrStdout())
		lines.SetEscapeHTML(false)
		found, _, err := f.find(cmd.Context(), b, names, math.MaxInt)
		for _, l := range found {
			err = errors.Join(err, lines.Encode(inFull(l)))
		}
		return err
	})
	return f.orOfRecord(cmd, func() error { return nil }, f.exportRecord)
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
