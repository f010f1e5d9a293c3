package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/message"
	"switchboard/operate"
	"switchboard/operate/queues"
	"switchboard/worker"

	"github.com/spf13/cobra"
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
	complete(cmd, "flow", "inbound", "outbound", "event")
	cmd.Flags().BoolVar(&t.content, "content", false, "show what people write")
	return cmd
}

func (t *tail) run(cmd *cobra.Command, args []string) error {
	target, err := queues.Find(t.classes, args)
	if err != nil {
		return err
	}
	addresses, err := queues.Addresses(target.Connectors(), t.flows)
	if err != nil {
		return err
	}
	return t.with(cmd.Context(), func(b broker.Broker) error {
		if err := target.CheckConnectors(cmd.Context(), b); err != nil {
			return err
		}
		tail := &queues.Tail{Broker: b, Content: t.content, Body: t.asJSON}
		followed, left, err := tail.Open(cmd.Context(), addresses)
		for _, key := range left {
			cmd.PrintErrf("%s has no queue yet and is left out\n", key)
		}
		if err != nil {
			return err
		}
		cmd.PrintErrf("following %s; Ctrl-C ends it\n", strings.Join(followed, " "))
		return tail.Follow(cmd.Context(), func(p queues.Passing) { t.print(cmd.OutOrStdout(), p) })
	})
}

func (t *tail) print(out io.Writer, p queues.Passing) {
	if t.asJSON {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(p)
		return
	}
	_, _ = fmt.Fprintln(out, passingLine(p, time.Now()))
}

func passingLine(p queues.Passing, now time.Time) string {
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

// inject is `switchboard inject`.
type inject struct {
	operator
	transport, direction string // as Vumi's inject_messages names them
	strict, force        bool
	queueType            string
}

func injectCommand(dial dialer) *cobra.Command {
	i := &inject{operator: operator{dial: dial}}
	cmd := &cobra.Command{
		Use:     "inject TRANSPORT.DIRECTION [FILE|-]",
		Aliases: []string{"inject_messages"},
		Short:   "Publish messages from a file of JSON lines, or from standard input",
		Long: "Publish messages from a file of JSON lines, or from standard input: one message a line, in the wire's own\n" +
			"form. What a line leaves out (message_id, timestamp, transport_name, …) is filled in; it needs from_addr and\n" +
			"to_addr. Lines that make no message are named and skipped, and make the exit code 1. A queue that no worker has\n" +
			"made is taken for a slip; --force makes it.",
		Example: "  switchboard inject sms.inbound messages.jsonl\n" +
			`  echo '{"from_addr": "+27821234567", "to_addr": "12345", "content": "hello"}' | switchboard inject sms.inbound`,
		Args: func(cmd *cobra.Command, args []string) error { return misused(cobra.MaximumNArgs(2)(cmd, args)) },
		RunE: i.run,
	}
	i.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&i.strict, "strict", false, "stop at the first line that makes no message")
	flags.BoolVar(&i.force, "force", false, "make the queue where no worker has made it yet")
	flags.StringVar(&i.queueType, "queue-type", string(broker.Classic), "type of the queue that --force makes: classic or quorum")
	complete(cmd, "queue-type", string(broker.Classic), string(broker.Quorum))
	flags.StringVar(&i.transport, "transport-name", "", "Vumi's way to name the transport")
	flags.StringVar(&i.direction, "direction", string(message.Inbound), "Vumi's way to name the flow; with --transport-name")
	complete(cmd, "direction", "inbound", "outbound", "event")
	return cmd
}

func (i *inject) run(cmd *cobra.Command, args []string) error {
	to, args, err := i.destination(args)
	if err != nil {
		return misused(err)
	}
	in, size, err := openInput(cmd, cmp.Or(strings.Join(args, ""), "-"))
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	bar := newProgress(cmd.ErrOrStderr(), size)
	return i.with(cmd.Context(), func(b broker.Broker) error {
		if err := i.checkQueue(cmd.Context(), b, to.Key()); err != nil {
			return err
		}
		began := time.Now()
		done, err := (&queues.Injection{
			To: to, Broker: b, QueueType: broker.QueueType(i.queueType), Strict: i.strict,
			OnLine: bar.advance, OnBad: bar.namer(cmd.ErrOrStderr(), "lines that make no message"),
		}).Run(cmd.Context(), in)
		bar.end()
		cmd.PrintErrf("%s published to %s in %s, %s skipped\n", plural(done.Published, "message"), to.Key(),
			time.Since(began).Round(time.Millisecond), plural(done.Invalid, "line"))
		if err == nil && done.Invalid > 0 {
			err = fmt.Errorf("%s made no message", plural(done.Invalid, "line"))
		}
		return err
	})
}

// checkQueue refuses a queue that nobody has made.
func (i *inject) checkQueue(ctx context.Context, b broker.Admin, queue string) error {
	if i.force {
		return nil
	}
	err := queues.CheckQueue(ctx, b, queue, nil)
	if wrong := (operate.Misuse{}); errors.As(err, &wrong) {
		return misused(fmt.Errorf("%w; start the worker that reads it, or make the queue with --force", err))
	}
	return err
}

// destination is what the first argument names, or Vumi's flags.
func (i *inject) destination(args []string) (to queues.Address, rest []string, err error) {
	to = queues.Address{Connector: i.transport, Flow: message.Flow(i.direction)}
	if i.transport == "" {
		if len(args) == 0 {
			return to, nil, errors.New("say where the messages are to go: switchboard inject sms.inbound messages.jsonl")
		}
		at := strings.LastIndexByte(args[0], '.')
		if at < 0 {
			return to, nil, fmt.Errorf("%q names no flow; write %s.inbound, %[1]s.outbound or %[1]s.event", args[0], args[0])
		}
		to, args = queues.Address{Connector: args[0][:at], Flow: message.Flow(args[0][at+1:])}, args[1:]
	}
	if t := broker.QueueType(i.queueType); t != broker.Classic && t != broker.Quorum {
		return to, nil, fmt.Errorf("--queue-type is %q; write classic or quorum", i.queueType)
	}
	switch to.Flow {
	case message.Inbound, message.Outbound, message.EventFlow:
	default:
		return to, nil, fmt.Errorf("%q is no flow; write inbound, outbound or event", to.Flow)
	}
	if len(args) > 1 {
		return to, nil, errors.New("name one file")
	}
	return to, args, worker.CheckConnector(to.Connector)
}

// openInput opens a file, or standard input for "-"; size is 0 where it is unknown.
func openInput(cmd *cobra.Command, path string) (in io.ReadCloser, size int64, err error) {
	if path == "-" {
		return io.NopCloser(cmd.InOrStdin()), 0, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, misused(err) // it says which file
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return file, size, nil
}
