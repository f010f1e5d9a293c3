package transports

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/worker"
)

// Options are what every transport's file has beside the transport's own.
type Options struct {
	worker.Settings `yaml:",inline"`
	// TransportName is the transport's connector.
	TransportName string `yaml:"transport_name"`
	// RememberSent is how long a message that was sent is remembered, so that a
	// second copy of it is not sent again.
	RememberSent options.Duration `yaml:"remember_sent"`
}

// IgnoredKeys are those of Vumi's transports.
func (Options) IgnoredKeys() map[string]string {
	return map[string]string{"publish_status": "a transport here always publishes how it is"}
}

const defaultRememberSent = 24 * time.Hour

// DefaultOptions are the options of a transport whose file names none.
func DefaultOptions() Options {
	return Options{Settings: worker.DefaultSettings(), RememberSent: options.Duration(defaultRememberSent)}
}

// Validate checks the options.
func (o *Options) Validate() error {
	errs := []error{o.Settings.Validate()}
	if err := worker.CheckConnector(o.TransportName); err != nil {
		errs = append(errs, options.Field(err, "transport_name"))
	}
	if o.RememberSent < 0 {
		errs = append(errs, options.Fieldf("remember_sent", "must not be negative"))
	}
	return errors.Join(errs...)
}

// Frame is the worker around a transport.
type Frame struct {
	runtime   worker.Runtime
	options   Options
	transport Transport
	sent      *worker.Handled // while it runs
	bulk      *gatherer       // nil where the transport takes one at a time
	publisher publisher
	acks      bool
}

// New makes the worker around a transport.
func New(env worker.Dependencies, opts Options, t Transport) *Frame {
	f := &Frame{
		runtime: worker.Runtime{Dependencies: env, Settings: opts.Settings}, options: opts, transport: t, acks: true,
		bulk: newGatherer(t),
	}
	if a, ok := t.(Acknowledger); ok {
		f.acks = !a.AcksItself()
	}
	f.publisher = publisher{f}
	return f
}

// Run carries messages until ctx ends or the transport fails.
func (f *Frame) Run(ctx context.Context) error {
	defer f.runtime.Close(f.transport)
	remember := f.options.RememberSent.Std()
	if r, can := f.transport.(Rememberer); can {
		r.Remember(remember)
		remember = 0
	}
	env := f.runtime.Env()
	env.Stopping = ctx.Done()
	if err := f.runtime.Provision(ctx, f.transport, env); err != nil {
		return fmt.Errorf("starting transport: %w", err)
	}
	for _, flow := range [...]message.Flow{message.Inbound, message.EventFlow} {
		if err := f.runtime.Declare(ctx, f.options.TransportName, flow); err != nil {
			return err
		}
	}
	f.sent = f.runtime.NewHandled("sent/"+f.options.TransportName+"/", remember)
	defer f.sent.Close()
	return f.serve(ctx)
}

// serve runs the transport beside its outbound queue. The transport stops last,
// so that what is in flight can still be sent.
func (f *Frame) serve(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	outside, disconnect := context.WithCancel(context.WithoutCancel(ctx))
	defer disconnect()
	ended := make(chan error, 1)
	go func() {
		ended <- worker.Protect(func() error { return f.transport.Run(outside, f.publisher) })
		stop()
	}()
	err := f.runtime.Serve(ctx, worker.Subscription{
		Connector: f.options.TransportName, Flow: message.Outbound,
		Handle:    f.runtime.Lanes(func(d *worker.Delivery) string { return d.Message.To }, f.send),
		Prefetch:  f.prefetch(),
		OnFailure: f.reportFailure,
	})
	disconnect()
	return errors.Join(err, f.awaitTransport(ended))
}

// disconnectTimeout is how long a transport may take to end its Run.
const disconnectTimeout = 10 * time.Second

func (f *Frame) awaitTransport(ended <-chan error) error {
	select {
	case err := <-ended:
		if err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("transport %s: %w", f.options.TransportName, err)
		}
		return nil
	case <-time.After(disconnectTimeout):
		return fmt.Errorf("transport %s did not stop within %s", f.options.TransportName, disconnectTimeout)
	}
}

func (f *Frame) send(ctx context.Context, d *worker.Delivery) error {
	if d.Lost() { // it waited behind another for the same person
		return worker.ErrLost
	}
	key := sentKey(d.Message)
	providerID, sent, err := f.sent.Recall(ctx, d, key)
	if err != nil {
		return err
	}
	if !sent {
		if providerID, err = f.callTransport(ctx, d); err != nil {
			return err
		}
		f.sent.Remember(ctx, d, key, providerID)
	}
	if !f.acks {
		return nil
	}
	if d.Lost() { // the copy that follows says what became of it
		return worker.ErrLost
	}
	return f.publisher.Event(ctx, repeatable(message.NewAck(d.Message, providerID), d.Message))
}

// prefetch is the transport's choice; 0 is the worker's own.
func (f *Frame) prefetch() int {
	if w, can := f.transport.(Windowed); can {
		return w.InFlight()
	}
	if f.bulk != nil {
		return 2 * f.bulk.transport.MaxMany()
	}
	return 0
}

func (f *Frame) callTransport(ctx context.Context, d *worker.Delivery) (providerID string, err error) {
	if r, can := f.transport.(Resender); can && d.Redelivered() {
		return r.SendAgain(ctx, d.Message)
	}
	if f.bulk != nil {
		return f.bulk.send(ctx, d.Message)
	}
	return f.transport.Send(ctx, d.Message)
}

// sentKey is what a message is remembered by. Each of a broadcast's attempts at it
// is sent.
func sentKey(m *message.Message) string {
	if attempt := store.Attempt(m); attempt > 1 {
		return m.ID + "/" + strconv.Itoa(attempt)
	}
	return m.ID
}

// repeatable names an event after what it says, so that one outcome is one event
// however many copies of the message there are: a broker that waits no longer for
// an acknowledgement (consumer_timeout) makes one each time.
func repeatable(e *message.Event, m *message.Message) *message.Event {
	sum := sha256.Sum256([]byte(strings.Join([]string{sentKey(m), string(e.Type), e.SentMessageID, e.NackReason}, "\x00")))
	e.ID = hex.EncodeToString(sum[:16])
	return e
}

// reportFailure tells the application, and whoever listens for failures, that a
// message will not be sent.
func (f *Frame) reportFailure(ctx context.Context, d *worker.Delivery, reason error) error {
	if err := f.publisher.Event(ctx, repeatable(message.NewNack(d.Message, reason.Error()), d.Message)); err != nil {
		return err
	}
	failure := message.NewFailure(d.Message, message.FailurePermanent, reason.Error())
	failure.HelperMetadata.Set(message.DeadLetteredKey, true)
	return f.runtime.PublishBody(ctx, f.options.TransportName+".failures", failure.Encode())
}

// publisher is the Publisher that the transport gets.
type publisher struct{ f *Frame }

var _ Publisher = publisher{}

func (p publisher) Inbound(ctx context.Context, m *message.Message) error {
	m.TransportName = p.f.options.TransportName
	return p.publish(ctx, &message.Envelope{Flow: message.Inbound, Message: m})
}

func (p publisher) Event(ctx context.Context, e *message.Event) error {
	e.TransportName = p.f.options.TransportName
	return p.publish(ctx, &message.Envelope{Flow: message.EventFlow, Event: e})
}

func (p publisher) publish(ctx context.Context, e *message.Envelope) error {
	e.Connector = p.f.options.TransportName
	err := p.f.runtime.Publish(ctx, e)
	if _, discarded := message.DiscardReason(err); discarded {
		return nil // middleware dropped it on purpose
	}
	return err
}

func (p publisher) Status(ctx context.Context, s *message.Status) error {
	p.f.runtime.Monitor.Report(worker.DependsOnLink, s.Component, s.Health, s.Text)
	return p.f.runtime.PublishBody(ctx, p.f.options.TransportName+".status.status", s.Encode())
}
