package transports

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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
	// RememberSent is how long a message that was sent is remembered, so that
	// it is not sent again when it is delivered again.
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
	core      worker.Runtime
	options   Options
	transport Transport
	state     store.State // while it runs
	bulk      *gatherer   // nil where the transport takes one at a time
	line      line
	acks      bool
}

// New makes the worker around a transport.
func New(env worker.Dependencies, opts Options, t Transport) *Frame {
	f := &Frame{
		core: worker.Runtime{Dependencies: env, Settings: opts.Settings}, options: opts, transport: t, acks: true,
		bulk: newGatherer(t),
	}
	if a, ok := t.(Acknowledger); ok {
		f.acks = !a.AcksItself()
	}
	f.line = line{f}
	return f
}

// Run carries messages until ctx ends or the transport fails.
func (f *Frame) Run(ctx context.Context) error {
	defer f.core.Close(f.transport)
	if err := f.core.Provision(ctx, f.transport, f.core.Env()); err != nil {
		return fmt.Errorf("starting transport: %w", err)
	}
	for _, flow := range [...]message.Flow{message.Inbound, message.EventFlow} {
		if err := f.core.Declare(ctx, f.options.TransportName, flow); err != nil {
			return err
		}
	}
	// Many lanes remember at once what they sent: their writes go together.
	state := store.NewBatcher(f.core.State, store.BatchSettings{})
	defer func() { _ = state.Close() }() // the lanes have ended, so nothing waits in it
	f.state = state
	return f.serve(ctx)
}

// serve runs the transport beside its outbound queue. The outside is let go
// last, so that what is in hand can still be sent.
func (f *Frame) serve(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	outside, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	failed := make(chan error, 1)
	go func() {
		failed <- worker.Protect(func() error { return f.transport.Run(outside, f.line) })
		stop()
	}()
	err := f.core.Serve(ctx, worker.Subscription{
		Connector: f.options.TransportName, Flow: message.Outbound,
		Handle:    f.core.Lanes(func(it *worker.Delivery) string { return it.Message.To }, f.send),
		Prefetch:  f.prefetch(),
		OnFailure: f.fail,
	})
	hangUp()
	return errors.Join(err, f.awaitTransport(failed))
}

// hangUpTimeout is how long a transport may take to end its Run.
const hangUpTimeout = 10 * time.Second

func (f *Frame) awaitTransport(failed <-chan error) error {
	select {
	case err := <-failed:
		if err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("transport %s: %w", f.options.TransportName, err)
		}
		return nil
	case <-time.After(hangUpTimeout):
		return fmt.Errorf("transport %s did not stop within %s", f.options.TransportName, hangUpTimeout)
	}
}

func (f *Frame) send(ctx context.Context, item *worker.Delivery) error {
	providerID, sent, err := f.alreadySent(ctx, item)
	if err != nil {
		return err
	}
	if !sent {
		if providerID, err = f.hand(ctx, item); err != nil {
			return err
		}
		f.remember(ctx, item.Message, providerID)
	}
	if !f.acks {
		return nil
	}
	return f.line.Event(ctx, message.NewAck(item.Message, providerID))
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

func (f *Frame) hand(ctx context.Context, item *worker.Delivery) (providerID string, err error) {
	if r, can := f.transport.(Resender); can && item.Redelivered() {
		return r.SendAgain(ctx, item.Message)
	}
	if f.bulk != nil {
		return f.bulk.send(ctx, item.Message)
	}
	return f.transport.Send(ctx, item.Message)
}

// sentKey is where a message is remembered; each of a broadcast's attempts at it
// is sent.
func (f *Frame) sentKey(m *message.Message) string {
	key := "sent/" + f.options.TransportName + "/" + m.ID
	if attempt := store.Attempt(m); attempt > 1 {
		key += "/" + strconv.Itoa(attempt)
	}
	return key
}

// alreadySent asks whether a message that was handed out before has been sent.
func (f *Frame) alreadySent(ctx context.Context, item *worker.Delivery) (providerID string, sent bool, err error) {
	if !item.Redelivered() || f.options.RememberSent == 0 {
		return "", false, nil
	}
	key := f.sentKey(item.Message)
	found, err := f.state.Get(ctx, key)
	if err != nil {
		return "", false, fmt.Errorf("asking whether message %s was sent: %w", item.Message.ID, err)
	}
	providerID, sent = found[key]
	return providerID, sent, nil
}

// remember is not worth losing a message over: without it the message may be
// sent twice, if the worker dies before the ack is published.
func (f *Frame) remember(ctx context.Context, m *message.Message, providerID string) {
	if f.options.RememberSent == 0 {
		return
	}
	err := f.state.Set(ctx, store.Entry{Key: f.sentKey(m), Value: providerID, TTL: f.options.RememberSent.Std()})
	if err != nil {
		f.core.Logger.Warn("remembering a sent message failed; it may be sent twice if it is delivered again",
			"transport", f.options.TransportName, "message_id", m.ID, "error", err)
	}
}

// fail tells the application, and whoever listens for failures, that a message
// will not be sent.
func (f *Frame) fail(ctx context.Context, item *worker.Delivery, reason error) error {
	if err := f.line.Event(ctx, message.NewNack(item.Message, reason.Error())); err != nil {
		return err
	}
	failure := message.NewFailure(item.Message, message.FailurePermanent, reason.Error())
	return f.core.PublishBody(ctx, f.options.TransportName+".failures", failure.Encode())
}

// line is the transport's way into the fleet.
type line struct{ f *Frame }

var _ Publisher = line{}

func (l line) Inbound(ctx context.Context, m *message.Message) error {
	m.TransportName = l.f.options.TransportName
	return l.publish(ctx, &message.Envelope{Flow: message.Inbound, Message: m})
}

func (l line) Event(ctx context.Context, e *message.Event) error {
	e.TransportName = l.f.options.TransportName
	return l.publish(ctx, &message.Envelope{Flow: message.EventFlow, Event: e})
}

func (l line) publish(ctx context.Context, e *message.Envelope) error {
	e.Connector = l.f.options.TransportName
	err := l.f.core.Publish(ctx, e)
	if _, discarded := message.DiscardReason(err); discarded {
		return nil // middleware let it go on purpose
	}
	return err
}

func (l line) Status(ctx context.Context, s *message.Status) error {
	l.f.core.Monitor.Report(worker.DependsOnLink, s.Component, s.Health, s.Text)
	return l.f.core.PublishBody(ctx, l.f.options.TransportName+".status.status", s.Encode())
}
