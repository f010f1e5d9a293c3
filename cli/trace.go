package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"switchboard/message"
	"switchboard/store"
	"switchboard/transports/http"
)

func traceCommand() *cobra.Command {
	var flag databaseFlag
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "trace ID|PROVIDER-ID|ADDRESS",
		Short:   "Show every hop of a message or conversation, and what is still missing",
		Example: "  switchboard trace 5a74f074bafd4c2f895f8a377021ebfb\n  switchboard trace +27831234567",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(args[0]) == "" {
				return misused(errors.New("the identifier is empty; `switchboard messages` lists identifiers"))
			}
			db, err := flag.open(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { _ = db.Close() }()
			trace, err := db.Trace(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			logged, err := channelLog(cmd.Context(), db, trace)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, struct {
					*store.Trace
					ChannelLog []http.Logged `json:"channel_log,omitempty"`
				}{trace, logged})
			}
			if err := printTrace(cmd, trace); err != nil {
				return err
			}
			printChannelLog(cmd, logged)
			return nil
		},
	}
	flag.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// maxLogTraced is of how many messages of a trace the channels' log is shown.
const maxLogTraced = 20

// channelLog is what HTTP channels logged of a trace's messages, the oldest first.
func channelLog(ctx context.Context, state store.State, trace *store.Trace) (all []http.Logged, err error) {
	for _, r := range trace.Records[:min(len(trace.Records), maxLogTraced)] {
		logged, err := http.Log(ctx, state, r.ID)
		if err != nil {
			return nil, err
		}
		all = append(all, logged...)
	}
	slices.SortStableFunc(all, func(a, b http.Logged) int { return a.At.Compare(b.At) })
	return all, nil
}

func printChannelLog(cmd *cobra.Command, logged []http.Logged) {
	for _, e := range logged {
		who := "asked the provider"
		if e.Direction == "in" {
			who = "was asked by the provider"
		}
		cmd.Printf("\n%s %s %s", e.At.UTC().Format("2006-01-02 15:04:05.000000"), e.Transport, who)
		if e.Took != "" {
			cmd.Printf(" (%s)", e.Took)
		}
		cmd.Println("\n" + indent("> ", e.Request))
		if e.Answer != "" {
			cmd.Println(indent("< ", e.Answer))
		}
		if e.Outcome != "" {
			cmd.Println("understood as " + e.Outcome)
		}
	}
}

// traced is one line of a trace.
type traced struct {
	at   time.Time
	what string
	how  string
	id   string
}

func printTrace(cmd *cobra.Command, trace *store.Trace) error {
	forPeople(cmd)
	var lines []traced
	for _, step := range trace.Steps {
		lines = append(lines, hops(step)...)
		lines = append(lines, describe(step))
	}
	slices.SortStableFunc(lines, func(a, b traced) int { return cmp.Or(a.at.Compare(b.at)) })
	lines = slices.Compact(lines) // a receipt repeats its message's hops
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "WHEN (UTC)\tWHAT\tDETAILS\tMESSAGE")
	for _, l := range lines {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", l.at.UTC().Format("2006-01-02 15:04:05.000000"), l.what, optional(l.how), optional(l.id))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, r := range trace.Records {
		cmd.Printf("%s %s is %s (%s)%s%s\n", direction(r.Direction), r.ID, r.Status, r.Progress, attempts(&r), because(r.Reason))
	}
	for _, missing := range trace.Missing {
		cmd.Println("missing: " + missing)
	}
	if slices.ContainsFunc(trace.Records, held) {
		cmd.Println("what is held up may be dead-lettered: `switchboard failures list` names the dead letters")
	}
	if trace.Truncated {
		cmd.Println("there is more than this; trace a message's ID instead of an address")
	}
	return nil
}

// held says that a message should have moved on by now.
func held(r store.Record) bool {
	begun := r.Status == store.StatusPassing || r.Status == store.StatusQueued && r.Direction == store.Inbound
	return begun && time.Since(r.Updated) > time.Minute
}

func direction(d store.Direction) string {
	if d == store.Outbound {
		return "outbound"
	}
	return "inbound"
}

// attempts says at which attempt a broadcast's message is, where it was tried again.
func attempts(r *store.Record) string {
	if r.Attempts < 2 {
		return ""
	}
	return fmt.Sprintf(" at attempt %d of %d", r.Attempts, max(r.Attempts, r.Tries))
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func describe(step store.Step) traced {
	line := traced{at: step.At, what: step.What}
	if r := step.Record; r != nil {
		line.id = r.ID
		text := strconv.Quote(shorten(r.Text))
		if r.Text == "" {
			text = cmp.Or(shortText(r), text)
		}
		line.how = fmt.Sprintf("transport %s, %s, %s", r.Backend, r.Address, text)
		if r.Broadcast != 0 {
			line.how = fmt.Sprintf("broadcast %d, %s", r.Broadcast, line.how)
		}
		if r.Application != "" && r.Direction == store.Outbound {
			line.how += ", from application " + r.Application
		}
		return line
	}
	e := step.Event
	line.id = e.MessageID
	var details []string
	if e.Attempt > 0 && !strings.Contains(step.What, "attempt") {
		details = append(details, fmt.Sprintf("attempt %d", e.Attempt))
	}
	for _, d := range [...]struct{ name, value string }{
		{"transport", e.Backend}, {"application", e.Application}, {"provider id", e.ProviderID}, {"reason", e.Reason},
	} {
		if d.value != "" {
			details = append(details, d.name+" "+d.value)
		}
	}
	line.how = strings.Join(details, ", ")
	return line
}

// hops are the dispatchers a step's body has passed.
func hops(step store.Step) (lines []traced) {
	body, id := "", ""
	switch {
	case step.Record != nil:
		body, id = step.Record.Body, step.Record.ID
	case step.Event != nil && step.Event.Type != string(message.Ack):
		body, id = step.Event.Body, step.Event.MessageID
	}
	var routed struct {
		InReplyTo string         `json:"in_reply_to"`
		Routing   message.Object `json:"routing_metadata"`
	}
	if json.Unmarshal([]byte(body), &routed) != nil {
		return nil
	}
	return append(hopLines(message.AnsweredHops(&routed.Routing), routed.InReplyTo), hopLines(message.Hops(&routed.Routing), id)...)
}

func hopLines(hops []message.Hop, id string) (lines []traced) {
	for _, hop := range hops {
		how := "dispatcher " + hop.Dispatcher
		if hop.Rule != "" {
			how += ", rule " + hop.Rule
		}
		lines = append(lines, traced{hop.At, "routed", how, id})
	}
	return lines
}
