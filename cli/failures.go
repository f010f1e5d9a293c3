package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/fleet"
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

// defaultListed is how many dead letters of each queue are looked at.
const defaultListed = 1000

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
	flags.StringVar(&f.filter.Reason, "reason", "", "only those with this reason: invalid, permanent, exhausted or panic")
	flags.StringArrayVar(&f.filter.IDs, "id", nil, "only the one with this identifier, its own or its message's; may be repeated")
	flags.StringVar(&f.filter.Error, "error", "", "only those whose error has this text in it")
	cmd.AddCommand(f.listCommand(), f.showCommand(), f.retryCommand(), f.dropCommand())
	return cmd
}

func (f *failures) command(use, short string, do func(cmd *cobra.Command, b broker.Broker, queues []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(f.only) > 0 {
				return nil
			}
			return someTarget(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			queues, err := f.chosen(args)
			if err != nil {
				return err
			}
			return f.with(cmd.Context(), func(b broker.Broker) error { return do(cmd, b, queues) })
		},
	}
}

// chosen are the queues the arguments name, narrowed by --queue.
func (f *failures) chosen(args []string) ([]string, error) {
	_, only := split(f.only)
	if len(args) == 0 {
		return unique(only), nil
	}
	queues, err := f.queues(args)
	if err != nil || len(only) == 0 {
		return queues, err
	}
	for _, name := range only {
		if !slices.Contains(queues, name) {
			return nil, misused(fmt.Errorf("--queue %s is none of the queues of what is named", name))
		}
	}
	return only, nil
}

func (f *failures) listCommand() *cobra.Command {
	cmd := f.command("list FILE|DIR|QUEUE…", "List dead letters, the oldest failure first", f.list)
	f.addJSON(cmd)
	cmd.Flags().IntVar(&f.limit, "limit", defaultListed, "look at no more than this many of each queue")
	return cmd
}

func (f *failures) list(cmd *cobra.Command, b broker.Broker, queues []string) error {
	letters := []deadletter.DeadLetter{}
	beyond := 0
	for _, queue := range queues {
		found, all, err := deadletter.List(cmd.Context(), b, queue, f.limit, f.filter)
		if err != nil {
			return err
		}
		letters = append(letters, found...)
		beyond += max(0, all-f.limit)
	}
	if beyond > 0 {
		cmd.PrintErrf("%s more are not looked at; raise --limit\n", plural(beyond, "letter"))
	}
	if f.asJSON {
		return printJSON(cmd, letters)
	}
	return printLetters(cmd.OutOrStdout(), letters, time.Now())
}

// errorWidth is how much of an error a line of the list shows.
const errorWidth = 120

func printLetters(out io.Writer, letters []deadletter.DeadLetter, now time.Time) error {
	if len(letters) == 0 {
		_, err := fmt.Fprintln(out, "no dead letters")
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tQUEUE\tREASON\tTRIES\tAGE\tWORKER\tMESSAGE\tERROR")
	for _, l := range letters {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n",
			l.ID, l.Queue, printable(l.Reason), l.Attempts, age(l.FirstFailed, now), printable(l.Worker), printable(l.MessageID), printable(short(l.Error, errorWidth)))
	}
	return table.Flush()
}

// printable keeps what came from outside on its line and in its column.
func printable(text string) string {
	if text == "" {
		return "-"
	}
	var line strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			line.WriteRune(r)
			continue
		}
		line.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return line.String()
}

func short(text string, width int) string {
	if runes := []rune(text); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return text
}

// age is how long ago t was, to two digits or so.
func age(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "-"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func (f *failures) retryCommand() *cobra.Command {
	cmd := f.command("retry FILE|DIR|QUEUE…", "Put dead letters back on their queues, as if never tried", f.retry)
	cmd.Long = "Put dead letters back on their queues, as if they had never been tried. Each is safe on its queue\nbefore it is taken from the dead letters."
	return cmd
}

func (f *failures) retry(cmd *cobra.Command, b broker.Broker, queues []string) error {
	return f.each(cmd, queues, "put back", func(ctx context.Context, queue string) (int, error) {
		return deadletter.Retry(ctx, b, queue, f.filter)
	})
}

func (f *failures) dropCommand() *cobra.Command {
	cmd := f.command("drop FILE|DIR|QUEUE…", "Delete dead letters for ever", f.drop)
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do it")
	return cmd
}

func (f *failures) drop(cmd *cobra.Command, b broker.Broker, queues []string) error {
	if f.yes {
		return f.each(cmd, queues, "deleted", func(ctx context.Context, queue string) (int, error) {
			return deadletter.Drop(ctx, b, queue, f.filter)
		})
	}
	n := 0
	for _, queue := range queues {
		found, _, err := deadletter.List(cmd.Context(), b, queue, maxShownFrom, f.filter)
		if err != nil {
			return err
		}
		n += len(found)
	}
	return misused(fmt.Errorf("%s would be deleted for ever; say --yes if that is meant", plural(n, "dead letter")))
}

// each does something to every queue's letters and says how many they were,
// also when it ends with an error.
func (f *failures) each(cmd *cobra.Command, queues []string, done string, do func(ctx context.Context, queue string) (int, error)) error {
	total, some := 0, 0
	for _, queue := range queues {
		n, err := do(cmd.Context(), queue)
		if n > 0 {
			total, some = total+n, some+1
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s %s\n", queue, plural(n, "dead letter"), done)
		}
		if err != nil {
			return err
		}
	}
	if some == 1 {
		return nil // its line has said it
	}
	_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", plural(total, "dead letter"), done)
	return nil
}
