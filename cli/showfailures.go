package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/worker/deadletter"
)

func (f *failures) showCommand() *cobra.Command {
	cmd := f.command("show --id ID FILE|DIR|QUEUE…", "Show dead letters whole: headers and body", f.show)
	f.addJSON(cmd)
	return cmd
}

// shownLetter is a letter as `show --json` prints it.
type shownLetter struct {
	deadletter.DeadLetter
	Headers broker.Headers  `json:"headers"`
	Body    json.RawMessage `json:"body,omitempty"`      // where it is JSON
	Text    string          `json:"body_text,omitempty"` // where it is not
	Bytes   []byte          `json:"body_base64,omitempty"`
}

func (f *failures) show(cmd *cobra.Command, b broker.Broker, queues []string) error {
	if len(f.filter.IDs) == 0 {
		return misused(errors.New("say which with --id; `switchboard failures list` has the identifiers"))
	}
	shown := []shownLetter{}
	for _, queue := range queues {
		found, _, err := deadletter.List(cmd.Context(), b, queue, maxShownFrom, f.filter)
		if err != nil {
			return err
		}
		for _, l := range found {
			shown = append(shown, whole(l))
		}
	}
	if len(shown) == 0 {
		return fmt.Errorf("no dead letter has the identifier %s", f.filter.IDs[0])
	}
	if f.asJSON {
		return printJSON(cmd, shown)
	}
	for _, l := range shown {
		printLetter(cmd.OutOrStdout(), l)
	}
	return nil
}

// maxShownFrom is among how many letters of a queue one is looked for.
const maxShownFrom = 1_000_000

func whole(l deadletter.DeadLetter) shownLetter {
	s := shownLetter{DeadLetter: l, Headers: l.Headers}
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

func printLetter(out io.Writer, l shownLetter) {
	_, _ = fmt.Fprintf(out, "letter %s of queue %s\n\n", l.ID, l.Queue)
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
