package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"switchboard/operate"
	"switchboard/operate/processes"
	"switchboard/operate/send"
	"switchboard/store"
)

// sending is `switchboard send`.
type sending struct {
	databaseFlag
	request send.Request
	ask     asking
	anyway  bool // also where the link is down
	wait    bool
	asJSON  bool
}

func sendCommand() *cobra.Command {
	var s sending
	cmd := &cobra.Command{
		Use:   "send",
		Short: "Send a text to one person or to a million",
		Long: `Send a text to one person or to many. All of it is stored in the database first; the
persistence workers hand it over to the transports.

Lists come from --to, from a CSV file (or - for standard input) whose first line names
the columns, or from a SELECT on the same database. A column called address (or to,
to_addr, identity, msisdn, phone, number) holds the address, one called transport, where
there is one, the transport. Every column is a personal field for the text.

Who is on a list twice gets one message, and who opted out gets none. Lines without a
usable address are named and skipped; with --strict nothing is sent when there is one.

A transport that no persistence worker records is taken for a slip, also on a line of
the list: nobody would learn what became of its messages. --force sends all the same.

Where a link that the list goes by is known to be down, behind a dispatcher too (the
processes are asked), the broadcast is stored and paused; --even-if-down hands it over.`,
		Example: "  switchboard send --transport sms_za --to +27831234567 --text 'Hello'\n" +
			"  switchboard send --transport sms_za --from-file people.csv --text 'Hi {{name}}' --rate 50 --wait\n" +
			"  switchboard send --sql \"SELECT msisdn AS address, 'sms_za' AS transport, name FROM members\" --text 'Hi {{name}}'",
		Args: func(cmd *cobra.Command, args []string) error { return misused(cobra.NoArgs(cmd, args)) },
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd) },
	}
	s.add(cmd)
	s.flags(cmd)
	return cmd
}

func (s *sending) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.request.List.Transport, "transport", "", "the transport to send by, where the list does not say")
	flags.Var((*addresses)(&s.request.List.To), "to", "an address; several separated by commas, or --to again")
	flags.StringVar(&s.request.List.File, "from-file", "", "CSV file with a header, or - for standard input")
	flags.StringVar(&s.request.List.AddressColumn, "address-column", "", "the list's column of addresses, where several may be it")
	flags.StringVar(&s.request.List.Query, "sql", "", "a SELECT on the same database")
	flags.BoolVar(&s.request.List.Strict, "strict", false, "send nothing when a line of the list is bad")
	b := &s.request.Broadcast
	flags.StringVar(&b.Text, "text", "", "the text; {{name}} is the personal field name")
	flags.StringVar(&b.Name, "name", "", "a name for the broadcast, for people")
	flags.StringVar(&b.From, "from", "", "from_addr: the short code or number it comes from")
	flags.StringVar(&b.Endpoint, "endpoint", "", "the endpoint it is sent on, where not the default one")
	flags.StringVar(&s.request.Schedule, "schedule", "", "not before: 2026-11-21T08:00:00Z, '2026-11-21 08:00' (UTC), or how long from now (2h)")
	flags.Float64Var(&b.Rate, "rate", 0, "messages a second at most; 0 is as fast as it goes")
	flags.IntVar(&b.BatchSize, "batch-size", store.DefaultBatchSize, "messages that one worker hands over at a time")
	flags.IntVar(&b.Retries, "retries", store.DefaultRetries, "tries after a failed one")
	flags.DurationVar(&b.RetryAfter, "retry-after", store.DefaultRetryAfter, "the time between tries")
	flags.BoolVar(&s.request.Force, "force", false, "send also by a transport that no persistence worker has recorded yet")
	flags.StringSliceVar(&s.ask.processes, "process", strings.Fields(os.Getenv("SWITCHBOARD_PROCESSES")),
		"where processes serve /status, to ask whether links are up; those on this machine when empty (SWITCHBOARD_PROCESSES)")
	flags.BoolVar(&s.anyway, "even-if-down", false, "hand over although the transport's link is down: the messages wait at the transport")
	flags.BoolVar(&s.wait, "wait", false, "wait until every message is sent, delivered or given up")
	flags.BoolVar(&s.asJSON, "json", false, "print JSON")
}

// addresses is the value of --to. pflag's own lists are read as CSV, and lose
// what stands behind a line break.
type addresses []string

func (a *addresses) Set(text string) error {
	for address := range strings.SplitSeq(text, ",") {
		*a = append(*a, strings.TrimSpace(address))
	}
	return nil
}

func (a *addresses) String() string { return strings.Join(*a, ",") }

func (a *addresses) Type() string { return "addresses" }

func (s *sending) run(cmd *cobra.Command) error {
	if err := s.request.Check(); err != nil {
		return misused(err)
	}
	db, err := s.open(cmd.Context())
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	answers, err := s.answers(cmd)
	if err != nil {
		return err
	}
	if s.mayBeDown(answers) && s.request.Broadcast.Start.IsZero() {
		s.request.Broadcast.Start = time.Now().Add(pauseMargin)
	}
	bar := newProgress(cmd.ErrOrStderr(), 0)
	s.request.OnLine = func(bytes int64, lines int) { bar.advance(bytes-bar.done, lines) }
	s.request.OnBad = bar.namer(cmd.ErrOrStderr(), "bad lines")
	created, bad, err := s.request.Create(cmd.Context(), db, send.Source{DatabaseURL: s.url, Open: func(path string) (in io.ReadCloser, size int64, err error) {
		in, bar.size, err = openInput(cmd, path)
		return in, bar.size, err
	}})
	bar.end()
	if err != nil {
		return err
	}
	if !s.asJSON {
		printCreated(cmd, created, bad, s.request.Broadcast.Start)
	}
	down := s.linksDown(answers)
	switch {
	case len(down) > 0:
		err = s.pause(cmd, db, created.ID, down)
	case s.wait:
		err = awaitBroadcast(cmd, db, created.ID)
	}
	return errors.Join(err, s.summary(cmd, db, created, bad))
}

// pauseMargin keeps workers from a new broadcast until it is paused.
const pauseMargin = 10 * time.Second

// answers are those of the processes that know how links are.
func (s *sending) answers(cmd *cobra.Command) ([]processes.Answer, error) {
	if s.anyway {
		return nil, nil
	}
	answers, err := processes.Ask(cmd.Context(), s.ask.processes...)
	if wrong := (operate.Misuse{}); errors.As(err, &wrong) {
		return nil, err
	}
	if err != nil {
		cmd.PrintErrln(printableLines(err.Error()))
	}
	return answers, nil
}

// mayBeDown says whether the list may be for a transport whose link is down: by which
// transports its lines go is known when it is read.
func (s *sending) mayBeDown(answers []processes.Answer) bool {
	if len(s.request.List.To) > 0 {
		return processes.LinkDown(answers, s.request.List.Transport) != nil
	}
	return processes.AnyLinkDown(answers)
}

// linksDown says which of the transports that the list goes by have a link that is down.
func (s *sending) linksDown(answers []processes.Answer) (down []string) {
	for _, transport := range slices.Sorted(maps.Keys(s.request.Used)) {
		if link := processes.LinkDown(answers, transport); link != nil {
			down = append(down, fmt.Sprintf("transport %s, by which %s, has its %s",
				transport, counted(s.request.Used[transport], "address goes", "addresses go"), processes.Describe(*link)))
		}
	}
	return down
}

func (s *sending) pause(cmd *cobra.Command, db store.Broadcasts, id int64, down []string) error {
	if err := db.Pause(cmd.Context(), id); err != nil {
		return err
	}
	return fmt.Errorf("broadcast %d waits, paused: %s; `switchboard broadcasts resume %[1]d` lets it go, and --even-if-down does not ask",
		id, strings.Join(down, "; "))
}

func printCreated(cmd *cobra.Command, c store.Created, bad int, start time.Time) {
	cmd.Printf("broadcast %d: %s stored in %s", c.ID, plural(int(c.Total), "message"), batches(c.Batches))
	if c.Duplicates > 0 {
		cmd.Printf(", %s left out", plural(int(c.Duplicates), "duplicate"))
	}
	if c.OptedOut > 0 {
		cmd.Printf(", %d opted out", c.OptedOut)
	}
	if bad > 0 {
		cmd.Printf(", %s skipped", plural(bad, "bad line"))
	}
	if !start.IsZero() {
		cmd.Printf(", not before %s", start.UTC().Format(time.RFC3339))
	}
	cmd.Println()
}

func batches(n int64) string {
	if n == 1 {
		return "1 batch"
	}
	return fmt.Sprintf("%d batches", n)
}

// sent is what `send --json` prints.
type sent struct {
	told
	BadLines int `json:"bad_lines"`
}

// summary says where the broadcast stands at the end.
func (s *sending) summary(cmd *cobra.Command, db store.Broadcasts, c store.Created, bad int) error {
	if !s.wait && !s.asJSON {
		return nil
	}
	// The context may have ended: the operator has seen enough.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), summaryTimeout)
	defer cancel()
	info, err := db.Broadcast(ctx, c.ID)
	if err != nil {
		return err
	}
	if s.asJSON {
		err = printJSON(cmd, sent{tell(info), bad})
	} else {
		cmd.Printf("broadcast %d is %s: %s\n", info.ID, info.Phase(time.Now()), standing(info))
	}
	if s.wait && info.Error > 0 {
		return errors.Join(err, fmt.Errorf("%s failed; `switchboard messages --broadcast %d --state E` says why",
			plural(int(info.Error), "message"), info.ID))
	}
	return err
}

const summaryTimeout = 5 * time.Second

// standing counts a broadcast's messages by state.
func standing(i *store.BroadcastInfo) string {
	return fmt.Sprintf("%d delivered, %d sent, %d failed, %d open", i.Delivered, i.Sent, i.Error, i.Open)
}
