package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/message"
)

// tail is `switchboard tail`.
type tail struct {
	operator
	flows   []string
	content bool
}

func tailCommand(classes fleet.Classes, dial dialer) *cobra.Command {
	t := &tail{operator: operator{classes: classes, dial: dial}}
	cmd := &cobra.Command{
		Use:   "tail FILE|DIR|CONNECTOR…",
		Short: "Follow what passes, without touching it",
		Long: "Follow the messages and events that pass connectors: those of a fleet's files, or some by name. Nothing is\n" +
			"taken from anybody: the broker copies what passes to a queue that goes with this command, and drops what it\n" +
			"prints too slowly. What people write is not shown without --content.",
		Args: someTarget,
		RunE: func(cmd *cobra.Command, args []string) error { return t.run(cmd, args) },
	}
	t.add(cmd)
	t.addJSON(cmd)
	cmd.Flags().StringSliceVar(&t.flows, "flow", []string{"inbound", "outbound", "event"}, "only these flows")
	cmd.Flags().BoolVar(&t.content, "content", false, "show what people write")
	return cmd
}

func (t *tail) run(cmd *cobra.Command, args []string) error {
	keys, err := t.keys(args)
	if err != nil {
		return err
	}
	return t.with(cmd.Context(), func(b broker.Broker) error {
		there, err := existing(cmd, b, slices.Sorted(maps.Keys(keys)))
		if err != nil {
			return err
		}
		cmd.PrintErrf("following %s; Ctrl-C ends it\n", strings.Join(there, " "))
		return t.follow(cmd.Context(), b, there, func(d *broker.Delivery) {
			t.print(cmd.OutOrStdout(), keys[d.Key], d, time.Now())
		})
	})
}

// queueAddress is what a routing key stands for.
type queueAddress struct {
	connector string
	flow      message.Flow
}

func (t *tail) keys(args []string) (map[string]queueAddress, error) {
	paths, names := split(args)
	defs, err := t.load(paths)
	if err != nil {
		return nil, err
	}
	keys := map[string]queueAddress{}
	for _, connector := range append(names, connectors(defs)...) {
		for _, flow := range t.flows {
			f := message.Flow(flow)
			if f != message.Inbound && f != message.Outbound && f != message.EventFlow {
				return nil, misused(fmt.Errorf("--flow %s is none of inbound, outbound, event", flow))
			}
			keys[message.Key(connector, f)] = queueAddress{connector, f}
		}
	}
	return keys, nil
}

// existing leaves out the keys without a queue: what was published to such a
// key while somebody looks on would be taken for delivered.
func existing(cmd *cobra.Command, b broker.Admin, keys []string) (there []string, err error) {
	for _, key := range keys {
		_, found, err := inspect(cmd.Context(), b, key)
		if err != nil {
			return nil, err
		}
		if found {
			there = append(there, key)
			continue
		}
		cmd.PrintErrf("%s has no queue yet and is left out\n", key)
	}
	if len(there) == 0 {
		return nil, errors.New("none of the connectors has a queue yet; start the workers first")
	}
	return there, nil
}

// tailPrefetch is how many bodies are on their way to the terminal at once.
const tailPrefetch = 100

// follow looks on until ctx ends. After a lost connection the broker may still
// hold the queue for the old one, so each try has a name of its own.
func (t *tail) follow(ctx context.Context, b broker.Broker, keys []string, show func(*broker.Delivery)) error {
	for {
		q := broker.Queue{Name: "switchboard.tail." + strings.ToLower(rand.Text()), Keys: keys, Temporary: true}
		err := b.Consume(ctx, q, tailPrefetch, func(d *broker.Delivery) {
			show(d)
			d.Ack()
		})
		if !errors.Is(err, broker.ErrQueueMismatch) {
			return err
		}
	}
}

// passing is a line of `tail --json`.
type passing struct {
	Time      string          `json:"time"`
	Connector string          `json:"connector"`
	Flow      message.Flow    `json:"flow"`
	MessageID string          `json:"message_id,omitempty"`
	From      string          `json:"from_addr,omitempty"`
	To        string          `json:"to_addr,omitempty"`
	Session   string          `json:"session_event,omitempty"`
	Event     string          `json:"event_type,omitempty"`
	Outcome   string          `json:"outcome,omitempty"` // a nack's reason, a delivery report's status
	Invalid   string          `json:"invalid,omitempty"` // why it is no message of its flow
	Content   *string         `json:"content,omitempty"` // only with --content
	Body      json.RawMessage `json:"body,omitempty"`    // only with --content
}

func (t *tail) print(out io.Writer, from queueAddress, d *broker.Delivery, now time.Time) {
	p := t.describe(from, d, now)
	if t.asJSON {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(p)
		return
	}
	_, _ = fmt.Fprintln(out, p.line(now))
}

func (t *tail) describe(from queueAddress, d *broker.Delivery, now time.Time) passing {
	p := passing{Time: now.UTC().Format(time.RFC3339Nano), Connector: from.connector, Flow: from.flow}
	e, err := message.DecodeEnvelope(from.flow, from.connector, d.Body)
	switch {
	case err != nil:
		p.Invalid = err.Error()
	case e.Event != nil:
		p.MessageID, p.Event, p.Outcome = e.Event.MessageID, string(e.Event.Type), e.Event.NackReason+string(e.Event.DeliveryStatus)
	default:
		m := e.Message
		p.MessageID, p.From, p.To, p.Session = m.ID, m.From, m.To, string(m.SessionEvent)
		if t.content {
			p.Content = &m.Content
		}
	}
	if t.content && t.asJSON && json.Valid(d.Body) {
		p.Body = d.Body
	}
	return p
}

func (p passing) line(now time.Time) string {
	head := fmt.Sprintf("%s  %-28s  %s", now.Format("15:04:05.000"), message.Key(p.Connector, p.Flow), printable(p.MessageID))
	switch {
	case p.Invalid != "":
		return head + "  INVALID " + printable(p.Invalid)
	case p.Event != "":
		return strings.TrimRight(fmt.Sprintf("%s  %s %s", head, p.Event, optional(p.Outcome)), " ")
	}
	line := fmt.Sprintf("%s  %s → %s", head, printable(p.From), printable(p.To))
	if p.Session != "" {
		line += "  session " + p.Session
	}
	if p.Content != nil {
		line += fmt.Sprintf("  %q", *p.Content)
	}
	return line
}

// optional is printable, and nothing for nothing.
func optional(text string) string {
	if text == "" {
		return ""
	}
	return printable(text)
}
