// Package stdio is a transport that is a pipe into anything: a JSON object a line
// for each message in, and for each message out. The other end is this process's own
// standard input and output, or a program that the transport runs.
package stdio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"switchboard/internal/backoff"
	"switchboard/internal/current"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/transports"
)

// Transport is the pipe.
type Transport struct {
	// TransportName is the transport's connector.
	TransportName string `yaml:"transport_name"`
	// Command is a program and its arguments: what it prints is what people send, what
	// people are sent is what it reads. It is started again when it ends. Default: this
	// process's own standard input and output. Example: [python3, gateway.py].
	Command []string `yaml:"command"`
	// FromAddr is the address that lines come from which name none; without it they are
	// refused.
	FromAddr string `yaml:"from_addr"`
	// ToAddr is the address that lines go to which name none; default stdio.
	ToAddr string `yaml:"to_addr"`
	// TransportType is the messages' transport_type; default stdio.
	TransportType string `yaml:"transport_type"`
	// AnswerLines writes a line out for each line in: its number and the ID of its
	// message once the broker has it, or what is wrong with it.
	AnswerLines bool `yaml:"answer_lines"`
	// AnswerTimeout is how long the other end may take to answer a message with an
	// event of its own, ack or nack. 0 waits for none: a message is sent when its line
	// is written.
	AnswerTimeout options.Duration `yaml:"answer_timeout"`
	// MaxLineBytes is the longest line in; a longer one is refused. Default 1048576.
	MaxLineBytes int `yaml:"max_line_bytes"`
	// StopAtEOF ends the worker when the input ends and all of it is published. Without
	// it the worker goes on sending; a program that ends is started again either way.
	StopAtEOF bool `yaml:"stop_at_eof"`
	// RememberReceived is how long the message_id of a line is remembered, so that the
	// same line makes one message however often it comes. Lines without one are always new.
	RememberReceived options.Duration `yaml:"remember_received"`

	logger  *slog.Logger
	state   store.State
	open    func(context.Context) (*ends, error) // the other end
	ends    current.Value[*ends]
	answers answers
}

var _ transports.Transport = (*Transport)(nil)

const (
	defaultName         = "stdio"
	defaultMaxLineBytes = 1 << 20
	leastMaxLineBytes   = 1 << 10
	defaultRemember     = 24 * time.Hour
)

// New makes a transport with its defaults.
func New() *Transport {
	t := &Transport{
		ToAddr: defaultName, TransportType: defaultName, MaxLineBytes: defaultMaxLineBytes,
		RememberReceived: options.Duration(defaultRemember), logger: slog.New(slog.DiscardHandler),
	}
	t.open = t.openEnds
	return t
}

// Validate checks the options.
func (t *Transport) Validate() error {
	var errs []error
	if t.ToAddr == "" {
		errs = append(errs, options.Fieldf("to_addr", "must not be empty: replies come from it"))
	}
	if t.MaxLineBytes < leastMaxLineBytes {
		errs = append(errs, options.Fieldf("max_line_bytes", "must be at least %d", leastMaxLineBytes))
	}
	if t.AnswerTimeout < 0 || t.RememberReceived < 0 {
		errs = append(errs, options.Fieldf("answer_timeout", "must not be negative, and neither must remember_received"))
	}
	if len(t.Command) > 0 && t.Command[0] == "" {
		errs = append(errs, options.Fieldf("command", "must begin with a program"))
	}
	return errors.Join(errs...)
}

// Provision takes the logger and the state store.
func (t *Transport) Provision(_ context.Context, env transports.Env) error {
	t.logger, t.state = env.Logger, env.State
	return nil
}

// How long a program that ended waits before it is started again.
const (
	restartMin = 100 * time.Millisecond
	restartMax = 30 * time.Second
	// ranWell is how long it must have run for the wait to begin anew.
	ranWell = time.Minute
	// stopGrace is how long a stop waits for lines on their way to the broker.
	stopGrace = 3 * time.Second
)

// component is the transport's only one in its status events.
const component = "pipe"

// Run reads lines until ctx ends.
func (t *Transport) Run(ctx context.Context, out transports.Publisher) error {
	statuses := transports.NewStatuses(out, t.logger)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { statuses.Run(background) })
	defer func() {
		stop()
		helpers.Wait()
	}()
	restart := backoff.Backoff{Min: restartMin, Max: restartMax}
	for {
		began := time.Now()
		err := t.converse(ctx, out, statuses)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		statuses.Tell(component, message.Down, "ended", "The other end is gone.", err.Error())
		if len(t.Command) == 0 || message.IsPermanent(err) {
			return err
		}
		if time.Since(began) > ranWell {
			restart.Reset()
		}
		wait := restart.Next()
		t.logger.Warn("the program has ended; starting it again", "program", t.Command[0], "error", err, "in", wait)
		if !backoff.Sleep(ctx, wait) {
			return nil
		}
	}
}

// converse serves one other end. It returns nil when ctx has ended, or the input has
// and that is to end the worker.
func (t *Transport) converse(ctx context.Context, out transports.Publisher, statuses *transports.Statuses) error {
	e, err := t.open(ctx)
	if err != nil {
		return err
	}
	work, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		e.write(work)
	}()
	unblock := context.AfterFunc(ctx, func() {
		_ = e.in.Close()
		time.AfterFunc(stopGrace, giveUp)
	})
	t.ends.Set(e)
	statuses.Tell(component, message.OK, "open", "Lines are read and written.")
	r := &reader{Transport: t, ends: e, out: out, work: work, deliveries: transports.NewDeliveries(work, t.state, t.RememberReceived.Std(), t.logger)}
	err = r.read()
	if errors.Is(err, io.EOF) && e.own {
		err = nil
		if ctx.Err() == nil && !t.StopAtEOF {
			statuses.Tell(component, message.Degraded, "eof", "The input has ended; messages are still sent.")
			err = e.awaitBroken(ctx)
		}
	}
	t.ends.Clear()
	unblock()
	giveUp()
	return errors.Join(err, e.close(wrote))
}

var errNoAnswer = errors.New("the other end did not answer in time; whether it sent the message is unknown, so it is not written again")

// Send writes a message as a line, and waits for the answer where one is to come.
func (t *Transport) Send(ctx context.Context, m *message.Message) (providerID string, err error) {
	e, err := t.ends.Get(ctx)
	if err != nil {
		return "", err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, m.Encode()); err != nil {
		return "", message.Permanent(fmt.Errorf("writing the message as a line: %w", err))
	}
	answer := t.answers.expect(m.ID)
	defer t.answers.forget(m.ID)
	if err := e.writeLine(ctx, line.Bytes()); err != nil || t.AnswerTimeout == 0 {
		return "", err
	}
	patience := time.NewTimer(t.AnswerTimeout.Std())
	defer patience.Stop()
	select {
	case a := <-answer:
		return a.providerID, a.err
	case <-patience.C:
		return "", message.Permanent(errNoAnswer)
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
