package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/worker"
)

// inject is `switchboard inject`.
type inject struct {
	operator
	transport, direction string // as Vumi's inject_messages names them
	strict               bool
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
			"to_addr. Lines that make no message are named and skipped, and make the exit code 1.",
		Example: "  switchboard inject sms.inbound messages.jsonl\n" +
			`  echo '{"from_addr": "+27821234567", "to_addr": "12345", "content": "hello"}' | switchboard inject sms.inbound`,
		Args: func(cmd *cobra.Command, args []string) error { return misused(cobra.MaximumNArgs(2)(cmd, args)) },
		RunE: i.run,
	}
	i.add(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&i.strict, "strict", false, "stop at the first line that makes no message")
	flags.StringVar(&i.queueType, "queue-type", string(broker.Classic), "type of the queue where no worker has made it yet: classic or quorum")
	flags.StringVar(&i.transport, "transport-name", "", "Vumi's way to name the transport")
	flags.StringVar(&i.direction, "direction", string(message.Inbound), "Vumi's way to name the flow; with --transport-name")
	return cmd
}

func (i *inject) run(cmd *cobra.Command, args []string) error {
	to, args, err := i.destination(args)
	if err != nil {
		return misused(err)
	}
	in, size, closeIn, err := openInput(cmd, args)
	if err != nil {
		return err
	}
	defer closeIn()
	return i.with(cmd.Context(), func(b broker.Broker) error {
		q := broker.Queue{Name: to.key(), Keys: []string{to.key()}, Type: broker.QueueType(i.queueType)}
		if err := b.Declare(cmd.Context(), q); err != nil && !errors.Is(err, broker.ErrQueueMismatch) {
			return err // a queue of another type is there already, which is all that is needed
		}
		injection := &injection{to: to, broker: b, strict: i.strict, warn: cmd.ErrOrStderr(), progress: newProgress(cmd.ErrOrStderr(), size)}
		return injection.run(cmd.Context(), in)
	})
}

func (a queueAddress) key() string { return message.Key(a.connector, a.flow) }

// destination is what the first argument names, or Vumi's flags.
func (i *inject) destination(args []string) (to queueAddress, rest []string, err error) {
	to = queueAddress{i.transport, message.Flow(i.direction)}
	if i.transport == "" {
		if len(args) == 0 {
			return to, nil, errors.New("say where the messages are to go: switchboard inject sms.inbound messages.jsonl")
		}
		at := strings.LastIndexByte(args[0], '.')
		if at < 0 {
			return to, nil, fmt.Errorf("%q names no flow; write %s.inbound, %[1]s.outbound or %[1]s.event", args[0], args[0])
		}
		to, args = queueAddress{args[0][:at], message.Flow(args[0][at+1:])}, args[1:]
	}
	switch to.flow {
	case message.Inbound, message.Outbound, message.EventFlow:
	default:
		return to, nil, fmt.Errorf("%q is no flow; write inbound, outbound or event", to.flow)
	}
	if len(args) > 1 {
		return to, nil, errors.New("name one file")
	}
	return to, args, worker.CheckConnector(to.connector)
}

// openInput opens the file, or standard input; size is 0 where it is unknown.
func openInput(cmd *cobra.Command, args []string) (in io.Reader, size int64, closeIn func(), err error) {
	if len(args) == 0 || args[0] == "-" {
		return cmd.InOrStdin(), 0, func() {}, nil
	}
	file, err := os.Open(args[0])
	if err != nil {
		return nil, 0, nil, misused(err) // it says which file
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return file, size, func() { _ = file.Close() }, nil
}

// injection is one input on its way to the broker.
type injection struct {
	to       queueAddress
	broker   broker.Publisher
	strict   bool
	warn     io.Writer
	progress *progress

	line    int // read so far
	invalid int
	pending sync.WaitGroup

	mu     sync.Mutex
	sent   int
	failed error // the first failure
}

// maxLine is the longest line that is read.
const maxLine = 16 << 20

// maxNamed is how many invalid lines are named one by one.
const maxNamed = 20

func (i *injection) run(ctx context.Context, in io.Reader) error {
	began := time.Now()
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	var err error
	for err == nil && i.failure() == nil && lines.Scan() {
		err = i.take(ctx, lines.Bytes())
	}
	if err == nil && lines.Err() != nil {
		err = fmt.Errorf("reading line %d: %w", i.line+1, lines.Err())
	}
	i.pending.Wait()
	i.progress.end()
	err = errors.Join(err, i.failure())
	took := time.Since(began)
	_, _ = fmt.Fprintf(i.warn, "%s published to %s in %s, %s skipped\n",
		plural(i.sent, "message"), i.to.key(), took.Round(time.Millisecond), plural(i.invalid, "line"))
	if err == nil && i.invalid > 0 {
		err = fmt.Errorf("%s made no message", plural(i.invalid, "line"))
	}
	return err
}

func (i *injection) take(ctx context.Context, line []byte) error {
	i.line++
	i.progress.advance(int64(len(line))+1, i.line)
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	e, err := parseLine(i.to, line)
	if err != nil {
		i.invalid++
		err = fmt.Errorf("line %d: %w", i.line, err)
		if i.strict {
			return err
		}
		i.name(err)
		return nil
	}
	i.publish(ctx, e)
	return nil
}

func (i *injection) name(err error) {
	switch {
	case i.invalid <= maxNamed:
		i.progress.clear()
		_, _ = fmt.Fprintln(i.warn, err)
	case i.invalid == maxNamed+1:
		i.progress.clear()
		_, _ = fmt.Fprintln(i.warn, "… further lines that make no message are only counted")
	}
}

// publish hands a body over; the broker's window bounds those outstanding. One
// that a lost connection left in doubt is published again.
func (i *injection) publish(ctx context.Context, e *message.Envelope) {
	p := broker.Publication{Key: i.to.key(), Body: e.Encode()}
	line := i.line
	i.pending.Add(1)
	i.broker.PublishAsync(ctx, p, func(err error) {
		if errors.Is(err, broker.ErrLost) {
			go func() { i.done(line, i.broker.Publish(ctx, p)) }()
			return
		}
		i.done(line, err)
	})
}

func (i *injection) done(line int, err error) {
	defer i.pending.Done()
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case err == nil:
		i.sent++
	case i.failed == nil:
		i.failed = fmt.Errorf("publishing line %d to %s: %w", line, i.to.key(), err)
	}
}

func (i *injection) failure() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.failed
}

// parseLine makes an envelope of a line, filling in what it leaves out.
func parseLine(to queueAddress, line []byte) (*message.Envelope, error) {
	line = bytes.TrimSpace(line)
	if !json.Valid(line) {
		return nil, errors.New("it is not valid JSON")
	}
	var o message.Object
	if err := o.UnmarshalJSON(line); err != nil {
		return nil, fmt.Errorf("it %w", err)
	}
	if o.IsNull() {
		return nil, errors.New("it is null, not an object")
	}
	fill(&o, to)
	return message.DecodeEnvelope(to.flow, to.connector, []byte(o.String()))
}

func fill(o *message.Object, to queueAddress) {
	missing := func(key string, value any) {
		if o.Raw(key) == "" {
			o.Set(key, value)
		}
	}
	id, kind := "message_id", "user_message"
	if to.flow == message.EventFlow {
		id, kind = "event_id", "event"
	}
	missing(id, message.NewID())
	missing("message_type", kind)
	missing("message_version", message.Version)
	missing("timestamp", message.FormatTime(time.Now()))
	missing("transport_name", to.connector)
	missing("transport_metadata", message.Object{})
}
