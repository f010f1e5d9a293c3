package applications

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
)

// Options are what every application's file has beside the application's own.
type Options struct {
	worker.Settings `yaml:",inline"`
	// TransportName is the connector the application attaches to: one of a
	// dispatcher's exposed_names, or a transport's own name.
	TransportName string `yaml:"transport_name"`
}

// IgnoredKeys are those of Vumi's applications.
func (Options) IgnoredKeys() map[string]string {
	return map[string]string{"send_to": "what an application begins goes where its dispatcher routes it"}
}

// DefaultOptions are the options of an application whose file names none.
func DefaultOptions() Options { return Options{Settings: worker.DefaultSettings()} }

// Validate checks the options.
func (o *Options) Validate() error {
	errs := []error{o.Settings.Validate()}
	if err := worker.CheckConnector(o.TransportName); err != nil {
		errs = append(errs, options.Field(err, "transport_name"))
	}
	return errors.Join(errs...)
}

// Frame is the worker around an application.
type Frame struct {
	core    worker.Runtime
	options Options
	app     Application
}

// New makes the worker around an application.
func New(env worker.Dependencies, opts Options, app Application) *Frame {
	return &Frame{core: worker.Runtime{Dependencies: env, Settings: opts.Settings}, options: opts, app: app}
}

// Run answers messages until ctx ends.
func (f *Frame) Run(ctx context.Context) error {
	defer f.core.Close(f.app)
	if err := f.core.Provision(ctx, f.app, f.core.Env()); err != nil {
		return fmt.Errorf("starting application: %w", err)
	}
	if err := f.core.Declare(ctx, f.options.TransportName, message.Outbound); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	failed := f.speak(ctx, stop)
	inFlight := 0
	if w, can := f.app.(Windowed); can {
		inFlight = w.InFlight()
	}
	err := f.core.Serve(ctx,
		worker.Subscription{
			Connector: f.options.TransportName, Flow: message.Inbound,
			Handle:    f.core.Lanes(func(it *worker.Delivery) string { return it.Message.From }, f.receive),
			Prefetch:  inFlight,
			OnFailure: f.failed,
			OnDiscard: f.letGo,
		},
		worker.Subscription{
			Connector: f.options.TransportName, Flow: message.EventFlow,
			Handle:   f.core.Lanes(func(it *worker.Delivery) string { return it.Event.MessageID }, f.receiveEvent),
			Prefetch: inFlight,
		})
	stop()
	return errors.Join(err, <-failed)
}

// speak runs an application that speaks first beside its queues.
func (f *Frame) speak(ctx context.Context, stop func()) <-chan error {
	failed := make(chan error, 1)
	speaker, speaks := f.app.(Runner)
	if !speaks {
		close(failed)
		return failed
	}
	go func() {
		defer stop()
		err := worker.Protect(func() error { return speaker.Run(ctx, sender{f}) })
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		failed <- err
	}()
	return failed
}

func (f *Frame) receive(ctx context.Context, item *worker.Delivery) error {
	m := item.Message
	m.NameReplies(f.options.TransportName)
	if m.SessionEvent == message.SessionClose {
		return f.endSession(ctx, m)
	}
	replies, err := f.app.Receive(ctx, m)
	if err != nil {
		return err
	}
	var refused []string
	for _, reply := range replies {
		reason, err := f.send(ctx, reply)
		if err != nil {
			return err
		}
		if reason != "" {
			refused = append(refused, "a reply was refused: "+reason)
		}
	}
	return f.receipt(ctx, m, message.ReceiptProcessed, strings.Join(refused, "; "))
}

func (f *Frame) endSession(ctx context.Context, m *message.Message) error {
	if ender, wants := f.app.(SessionEnder); wants {
		if err := ender.EndSession(ctx, m); err != nil {
			return err
		}
	}
	return f.receipt(ctx, m, message.ReceiptProcessed, "")
}

func (f *Frame) receiveEvent(ctx context.Context, item *worker.Delivery) error {
	if receiver, wants := f.app.(EventReceiver); wants {
		return receiver.ReceiveEvent(ctx, item.Event)
	}
	return nil
}

func (f *Frame) failed(ctx context.Context, item *worker.Delivery, reason error) error {
	return f.receipt(ctx, item.Message, message.ReceiptErrored, reason.Error())
}

func (f *Frame) letGo(ctx context.Context, item *worker.Delivery, reason error) error {
	return f.receipt(ctx, item.Message, message.ReceiptProcessed, "let go on purpose: "+reason.Error())
}

// receipt tells the record what became of an inbound message.
func (f *Frame) receipt(ctx context.Context, m *message.Message, outcome, reason string) error {
	r := message.Receipt{
		MessageID: m.ID, Application: f.options.TransportName, Outcome: outcome, Reason: reason,
		Timestamp: message.FormatTime(time.Now()), Routing: m.RoutingMetadata,
	}
	return f.core.PublishBody(ctx, message.ReceiptKey(f.options.TransportName), r.Encode())
}

// sender publishes on the application's connector.
type sender struct{ f *Frame }

var _ Sender = sender{}

func (s sender) Send(ctx context.Context, m *message.Message) error {
	_, err := s.f.send(ctx, m)
	return err
}

// send publishes a message. What middleware refuses is no error: refused says
// why, and so does a nack to the application.
func (f *Frame) send(ctx context.Context, m *message.Message) (refused string, err error) {
	err = f.core.Publish(ctx, &message.Envelope{Flow: message.Outbound, Connector: f.options.TransportName, Message: m})
	reason, discarded := message.DiscardReason(err)
	switch {
	case message.IsRejection(err):
		f.core.Logger.Info("refused", "connector", f.options.TransportName, "message_id", m.ID, "error", err)
		nack := message.NewNack(m, reason)
		return reason, f.core.PublishBack(ctx, &message.Envelope{Flow: message.EventFlow, Connector: f.options.TransportName, Event: nack})
	case discarded:
		return "", nil // middleware let it go on purpose
	}
	return "", err
}
