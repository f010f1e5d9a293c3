package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// printJSON prints a listing for machines.
func printJSON(cmd *cobra.Command, v any) error {
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
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

// forPeople makes what a command prints from here on safe to show at a terminal:
// what came from outside may hold control characters, which would move the
// cursor, change colours or worse.
func forPeople(cmd *cobra.Command) { cmd.SetOut(newEscaped(cmd.OutOrStdout())) }

// forTerminal is forPeople for what programs read, too: files and pipes get all as it is.
func forTerminal(out io.Writer) io.Writer {
	if file, is := out.(*os.File); is && isTerminal(file) {
		return newEscaped(out)
	}
	return out
}

// escaped shows control characters, but line breaks and tabs, as Go writes them.
type escaped struct {
	io.Writer
	begun []byte // of a character that the next Write completes
}

func newEscaped(out io.Writer) *escaped { return &escaped{Writer: out} }

func (e *escaped) Write(text []byte) (int, error) {
	var safe strings.Builder
	all := append(e.begun, text...)
	e.begun = nil
	for len(all) > 0 {
		if !utf8.FullRune(all) {
			e.begun = all
			break
		}
		r, size := utf8.DecodeRune(all)
		all = all[size:]
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			safe.WriteRune(r)
			continue
		}
		safe.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	if _, err := io.WriteString(e.Writer, safe.String()); err != nil {
		return 0, err
	}
	return len(text), nil
}

// printableLines is printable for a text of several lines.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = optional(strings.ReplaceAll(line, "\t", "    "))
	}
	return strings.Join(lines, "\n")
}

// optional is printable, and nothing for nothing.
func optional(text string) string {
	if text == "" {
		return ""
	}
	return printable(text)
}

// idWidth is how much of an identifier a column shows, in characters.
const idWidth = 64

// cell is a name or identifier from outside in a column of a table.
func cell(text string) string { return printable(short(text, idWidth)) }

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

// plural is "1 message", "2 messages".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func newTable(out io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(out, 0, 0, 2, ' ', 0) }

// The colours of a terminal.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint colours a text where out is a terminal that shows colours. In a table it may
// only be the last column: the codes would count as width.
func paint(out io.Writer, colour, text string) string {
	file, is := out.(*os.File)
	if !is || !isTerminal(file) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
