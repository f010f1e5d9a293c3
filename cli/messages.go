package cli

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"switchboard/operate"
	"switchboard/options"
	"switchboard/persistence"
	"switchboard/store"
)

// messagesFlags choose what `switchboard messages` lists, and how.
type messagesFlags struct {
	databaseFlag
	filter           store.Filter
	since, until     string
	state, direction string
	asJSON, asCSV    bool
}

// defaultMessages is how many messages are listed where nobody says otherwise.
const defaultMessages = 50

func messagesCommand() *cobra.Command {
	var f messagesFlags
	cmd := &cobra.Command{
		Use:   "messages",
		Short: "List recorded messages, newest first",
		Long: `List recorded messages, newest first, with what is known of them.

STATE is the way (I: from a person, O: to a person) and how far it came: Q queued,
P passed to the transport, S sent, D delivered; R processed by an application; E an
error, with its reason. ` + "`switchboard trace ID`" + ` shows every step of one.`,
		Example: "  switchboard messages --address +27831234567 --since 24h\n" +
			"  switchboard messages --state E --transport smpp_za --limit 0 --csv > errors.csv",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.filter.Address, "address", "", "only those from or to this person's address")
	flags.StringVar(&f.filter.Backend, "transport", "", "only those of this transport")
	flags.StringVar(&f.filter.Application, "application", "", "only those of this exposed name")
	flags.StringVar(&f.state, "state", "", "only those in this state: Q R P S D E")
	flags.StringVar(&f.direction, "direction", "", "only inbound (I) or outbound (O) ones")
	flags.StringVar(&f.since, "since", "", "only those created since: 2026-11-21, 2026-11-21T08:00:00Z (UTC), or for how long (24h)")
	flags.StringVar(&f.until, "until", "", "only those created before: as --since")
	flags.StringVar(&f.filter.Text, "text", "", "only those with this in their text")
	flags.Int64Var(&f.filter.Broadcast, "broadcast", 0, "only those of this broadcast")
	flags.IntVar(&f.filter.Limit, "limit", defaultMessages, "at most so many; 0 is all")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON, one message a line")
	flags.BoolVar(&f.asCSV, "csv", false, "print CSV")
	complete(cmd, "state", "Q", "R", "P", "S", "D", "E")
	complete(cmd, "direction", "I", "O")
	return cmd
}

func (f *messagesFlags) run(cmd *cobra.Command) (err error) {
	f.filter.Status, f.filter.Direction = store.Status(f.state), store.Direction(f.direction)
	if f.filter.Since, err = parseWhen(f.since); err != nil {
		return misused(fmt.Errorf("--since: %w", err))
	}
	if f.filter.Until, err = parseWhen(f.until); err != nil {
		return misused(fmt.Errorf("--until: %w", err))
	}
	if err := f.check(); err != nil {
		return misused(err)
	}
	db, err := f.open(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	out := f.lister(cmd.OutOrStdout())
	limit, n := f.filter.Limit, 0
	if limit > 0 {
		f.filter.Limit++ // one more says that there are more
	}
	for record, err := range db.Messages(cmd.Context(), f.filter) {
		if err != nil {
			return fmt.Errorf("listing messages: %w", err)
		}
		if n++; limit > 0 && n > limit {
			cmd.PrintErrf("there are more than these %d; --limit 0 lists all\n", limit)
			break
		}
		if err := out.add(record); err != nil {
			return err
		}
	}
	if n == 0 {
		if err := f.checkNames(cmd.Context(), db); err != nil {
			return err
		}
	}
	return out.end()
}

// checkNames refuses names that are not in the record, where nothing was found.
func (f *messagesFlags) checkNames(ctx context.Context, db store.Database) error {
	known, err := persistence.ReadRecorded(ctx, db)
	if err != nil {
		return err
	}
	for _, c := range [...]struct {
		flag, name string
		known      []string
		filter     store.Filter
	}{
		{"transport", f.filter.Backend, known.Transports, store.Filter{Backend: f.filter.Backend, Limit: 1}},
		{"application", f.filter.Application, known.Applications, store.Filter{Application: f.filter.Application, Limit: 1}},
	} {
		if c.name == "" || slices.Contains(c.known, c.name) {
			continue
		}
		there := false
		for _, err := range db.Messages(ctx, c.filter) {
			if there = err == nil; err != nil {
				return fmt.Errorf("looking for %s %s: %w", c.flag, c.name, err)
			}
		}
		if !there {
			return misused(fmt.Errorf("--%s: the record has no %[1]s %[2]q%[3]s", c.flag, c.name, options.DidYouMean(c.name, c.known)))
		}
	}
	if f.filter.Broadcast != 0 {
		_, err = db.Broadcast(ctx, f.filter.Broadcast)
		if errors.Is(err, store.ErrNotFound) {
			err = misused(fmt.Errorf("--broadcast: %w; `switchboard broadcasts list` shows them", err))
		}
	}
	return err
}

func (f *messagesFlags) check() error {
	switch {
	case f.asCSV && f.asJSON:
		return errors.New("--csv and --json exclude each other")
	case f.filter.Since.After(time.Now()):
		return errors.New("--since is in the future")
	case f.filter.Limit < 0:
		return errors.New("--limit must not be negative; 0 is all")
	}
	return f.filter.Check()
}

// parseWhen reads a date, a moment, or how long ago.
func parseWhen(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		if ago < 0 {
			return time.Time{}, fmt.Errorf("%s would be in the future; %s is that long ago", text, -ago)
		}
		return time.Now().Add(-ago), nil
	}
	for _, layout := range [...]string{time.RFC3339, "2006-01-02 15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a date (2026-11-21), a moment (2026-11-21T08:00:00Z) nor a time ago (24h)", text)
}

// lister prints records as they come, holding none.
type lister interface {
	add(r store.Record) error
	end() error
}

func (f *messagesFlags) lister(out io.Writer) lister {
	switch {
	case f.asCSV:
		return newCSVLister(forTerminal(out))
	case f.asJSON:
		return jsonLister{json.NewEncoder(out)}
	}
	table := tabwriter.NewWriter(newEscaped(out), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "CREATED (UTC)\tSTATE\tTRANSPORT\tADDRESS\tAPPLICATION\tTEXT\tREASON\tID")
	return tableLister{table}
}

type jsonLister struct{ *json.Encoder }

func (l jsonLister) add(r store.Record) error { return l.Encode(r) }

func (l jsonLister) end() error { return nil }

type tableLister struct{ *tabwriter.Writer }

// shownTime is a time in a table; its column says UTC.
const shownTime = "2006-01-02 15:04:05"

// shownText is how much of a text a table shows, in characters.
const shownText = 40

func (l tableLister) add(r store.Record) error {
	arrow := "←" // from the person
	if r.Direction == store.Outbound {
		arrow = "→"
	}
	_, err := fmt.Fprintf(l, "%s\t%s %s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Date.UTC().Format(shownTime), r.Direction, r.Status,
		optional(r.Backend), arrow+" "+optional(r.Address), optional(r.Application), shortText(&r), shorten(r.Reason), optional(r.ID))
	return err
}

func (l tableLister) end() error { return l.Flush() }

// shortText is a record's text for people; a session may begin or end without.
func shortText(r *store.Record) string {
	if r.Text == "" && r.SessionEvent != "" {
		return "(session " + r.SessionEvent + ")"
	}
	return shorten(r.Text)
}

func shorten(text string) string {
	runes := []rune(store.Printable(text))
	for i, r := range runes {
		if r < ' ' {
			runes[i] = ' ' // a table's row is one line
		}
	}
	if len(runes) > shownText {
		return string(runes[:shownText-1]) + "…"
	}
	return string(runes)
}

type csvLister struct{ *csv.Writer }

func newCSVLister(out io.Writer) csvLister {
	l := csvLister{csv.NewWriter(out)}
	_ = l.Write([]string{
		"id", "created", "direction", "state", "reason", "transport", "address", "own_address",
		"application", "text", "in_response_to", "provider_id", "sent", "delivered",
	}) // an error stays with the writer, and is met at the end
	return l
}

func (l csvLister) add(r store.Record) error {
	cells := []string{
		r.ID, when(r.Date), string(r.Direction), string(r.Status), r.Reason, r.Backend, r.Address, r.OwnAddress,
		r.Application, r.Text, r.InResponseTo, r.ProviderID, when(r.Sent), when(r.Delivered),
	}
	for i, cell := range cells {
		cells[i] = operate.EscapeCell(cell)
	}
	return l.Write(cells)
}

func (l csvLister) end() error {
	l.Flush()
	return l.Error()
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
