package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"switchboard/fleet"
	"switchboard/operate/explain"
)

func diffCommand(classes fleet.Classes) *cobra.Command {
	var sample string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diff OLD NEW --messages SAMPLE.jsonl",
		Short: "Say how many messages of a sample another configuration would send elsewhere",
		Long: `Say how many messages of a sample would go elsewhere with the files of NEW than
with those of OLD, from where to where, and which would have no way. Nothing is
sent and no server is needed.

Each line of the sample is a message or event as it is on the wire; events are
taken as events and messages as inbound, from their transport_name. Other ways in
are written {"flow": "outbound", "connector": "jokes", "body": {…}}.

What routers remember begins empty and is forgotten every 10,000 messages, on
both sides alike. The exit code is 0 when nothing changes, 1 when something does,
and 2 when the question cannot be answered.`,
		Example: "  switchboard diff configs/production configs/next --messages yesterday.jsonl",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			difference, err := compareFiles(cmd, classes, args[0], args[1], sample)
			if err != nil {
				return misused(err)
			}
			if asJSON {
				err = printJSON(cmd, difference)
			} else {
				err = printDifference(cmd.OutOrStdout(), difference)
			}
			if difference.Messages == 0 {
				return misused(errors.Join(err, errEmptySample))
			}
			return errors.Join(err, changed(difference))
		},
	}
	cmd.Flags().StringVar(&sample, "messages", "", "file of JSON lines; - reads them from standard input")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func compareFiles(cmd *cobra.Command, classes fleet.Classes, old, fresh, sample string) (explain.Difference, error) {
	classes.WithoutSecrets = true
	before, err := classes.Load(old)
	if err != nil {
		return explain.Difference{}, err
	}
	after, err := classes.Load(fresh)
	if err != nil {
		return explain.Difference{}, err
	}
	in := cmd.InOrStdin()
	switch sample {
	case "":
		return explain.Difference{}, errors.New("--messages is missing; name a file of JSON lines, or - for standard input")
	case "-":
	default:
		file, err := os.Open(sample)
		if err != nil {
			return explain.Difference{}, fmt.Errorf("opening the sample: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	return explain.NewComparer(classes, before, after).Compare(cmd.Context(), explain.NewSample(in))
}

func printDifference(w io.Writer, d explain.Difference) error {
	_, _ = fmt.Fprintf(w, "%s: %d go where they went, %d elsewhere, %d have no way any more, %d have one now that had none\n",
		plural(d.Messages, "message"), d.Same, d.Elsewhere, d.Stuck, d.Freed)
	if d.StuckBefore > 0 {
		_, _ = fmt.Fprintf(w, "%s had no way before and have none now\n", plural(d.StuckBefore, "message"))
	}
	if d.Unreadable > 0 {
		_, _ = fmt.Fprintf(w, "%s could not be read, the first: %s\n", plural(d.Unreadable, "line"), d.WhyUnreadable)
	}
	if len(d.Moves) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "\nMESSAGES\tCOME BY\tWENT TO\tWOULD GO TO\tFOR EXAMPLE")
	for _, m := range d.Moves {
		_, _ = fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", m.Count, m.By, m.From, m.To, m.Example)
	}
	if d.MoreMoves > 0 {
		_, _ = fmt.Fprintf(table, "%d\tin other ways\t\t\t\n", d.MoreMoves)
	}
	return table.Flush()
}

// errEmptySample keeps a script from taking a sample in another form, or an empty
// one, for proof that nothing changes.
var errEmptySample = errors.New("the sample has no message that can be read, so there is nothing to compare")

// errChanged is for the exit code; the listing has said it all.
var errChanged = errors.New("messages would go elsewhere")

func changed(d explain.Difference) error {
	if d.Same == d.Messages {
		return nil
	}
	return errChanged
}
