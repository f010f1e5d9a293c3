package queues

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"switchboard/broker"
	"switchboard/message"
)

// Injection publishes lines of JSON as messages.
type Injection struct {
	To        Address
	Broker    broker.Broker
	QueueType broker.QueueType // where no worker has declared the queue yet
	Strict    bool             // stop at the first line that makes no message
	// OnLine is called for each line, with its length in bytes and its number.
	OnLine func(bytes int64, line int)
	// OnBad is called for each line that makes no message, with how many there were.
	OnBad func(err error, n int)

	line    int // read so far
	pending sync.WaitGroup

	mu     sync.Mutex
	result Injected
	failed error // the first failure
}

// Injected counts lines.
type Injected struct{ Published, Invalid int }

// maxLine is the longest line that is read, in bytes.
const maxLine = 16 << 20

// Run publishes every line of in. It returns once the broker has confirmed or
// refused them all.
func (i *Injection) Run(ctx context.Context, in io.Reader) (Injected, error) {
	q := broker.Queue{Name: i.To.Key(), Keys: []string{i.To.Key()}, Type: i.QueueType}
	if err := i.Broker.Declare(ctx, q); err != nil && !errors.Is(err, broker.ErrQueueMismatch) {
		return Injected{}, err // a queue of another type is there already, which is all that is needed
	}
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
	return i.result, errors.Join(err, i.failure())
}

func (i *Injection) take(ctx context.Context, line []byte) error {
	i.line++
	i.OnLine(int64(len(line))+1, i.line)
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	e, err := parseLine(i.To, line)
	if err != nil {
		i.result.Invalid++
		err = fmt.Errorf("line %d: %w", i.line, err)
		if i.Strict {
			return err
		}
		i.OnBad(err, i.result.Invalid)
		return nil
	}
	i.publish(ctx, e)
	return nil
}

// publish hands a body over; the broker's window bounds those outstanding. One
// that a lost connection left in doubt is published again.
func (i *Injection) publish(ctx context.Context, e *message.Envelope) {
	p := broker.Publication{Key: i.To.Key(), Body: e.Encode()}
	line := i.line
	i.pending.Add(1)
	i.Broker.PublishAsync(ctx, p, func(err error) {
		if errors.Is(err, broker.ErrLost) {
			go func() { i.done(line, i.Broker.Publish(ctx, p)) }()
			return
		}
		i.done(line, err)
	})
}

func (i *Injection) done(line int, err error) {
	defer i.pending.Done()
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case err == nil:
		i.result.Published++
	case i.failed == nil:
		i.failed = fmt.Errorf("publishing line %d to %s: %w", line, i.To.Key(), err)
	}
}

func (i *Injection) failure() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.failed
}

// parseLine makes an envelope of a line, filling in what it leaves out.
func parseLine(to Address, line []byte) (*message.Envelope, error) {
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
	return message.DecodeEnvelope(to.Flow, to.Connector, []byte(o.String()))
}

func fill(o *message.Object, to Address) {
	missing := func(key string, value any) {
		if o.Raw(key) == "" {
			o.Set(key, value)
		}
	}
	id, kind := "message_id", "user_message"
	if to.Flow == message.EventFlow {
		id, kind = "event_id", "event"
	}
	missing(id, message.NewID())
	missing("message_type", kind)
	missing("message_version", message.Version)
	missing("timestamp", message.FormatTime(time.Now()))
	missing("transport_name", to.Connector)
	missing("transport_metadata", message.Object{})
}
