package applications

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"switchboard/internal/lanes"
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
	// RememberHandled is how long a message or event that was handled is
	// remembered, so that a second copy of it is not handled again. 0 remembers
	// nothing.
	RememberHandled options.Duration `yaml:"remember_handled"`
}

const defaultRememberHandled = 24 * time.Hour

// IgnoredKeys are those of Vumi's applications.
func (Options) IgnoredKeys() map[string]string {
	return map[string]string{"send_to": "what an application begins goes where its dispatcher routes it"}
}

// DefaultOptions are the options of an application whose file names none.
func DefaultOptions() Options {
	return Options{Settings: worker.DefaultSettings(), RememberHandled: options.Duration(defaultRememberHandled)}
}

// Validate checks the options.
func (o *Options) Validate() error {
	errs := []error{o.Settings.Validate()}
	if err := worker.CheckConnector(o.TransportName); err != nil {
		errs = append(errs, options.Field(err, "transport_name"))
	}
	if o.RememberHandled < 0 {
		errs = append(errs, options.Fieldf("remember_handled", "must not be negative"))
	}
	return errors.Join(errs...)
}

// Frame is the worker around an application.
type Frame struct {
	runtime worker.Runtime
	options Options
	app     Application
	handled *worker.Handled     // while it runs
	lanes   lanes.Lanes[string] // of a Relay
}

// New makes the worker around an application.
func New(env worker.Dependencies, opts Options, app Application) *Frame {
	return &Frame{runtime: worker.Runtime{Dependencies: env, Settings: opts.Settings}, options: opts, app: app}
}

// Run answers messages until ctx ends.
func (f *Frame) Run(ctx context.Context) error {
	defer f.runtime.Close(f.app)
	env := f.runtime.Env()
	if w, wants := f.app.(ChannelWatcher); wants && len(w.Channels()) > 0 {
		health := worker.NewHealthTracker(&f.runtime)
		if err := health.Follow(ctx, w.Channels()); err != nil {
			return err
		}
		defer health.Track(ctx)()
		env.Health = func() worker.Health { return health }
	}
	if err := f.runtime.Provision(ctx, f.app, env); err != nil {
		return fmt.Errorf("starting application: %w", err)
	}
	if err := f.runtime.Declare(ctx, f.options.TransportName, message.Outbound); err != nil {
		return err
	}
	if owner, has := f.app.(QueueOwner); has {
		for _, name := range owner.Queues() {
			if err := f.runtime.Declare(ctx, f.queueName(name), ""); err != nil {
				return err
			}
		}
	}
	f.handled = f.runtime.NewHandled("handled/"+f.options.TransportName+"/", f.rememberFor())
	defer f.handled.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := f.runPlugin(ctx, stop)
	receive := f.runtime.Lanes(func(d *worker.Delivery) string { return d.Message.From }, f.receive)
	receiveEvent := f.runtime.Lanes(func(d *worker.Delivery) string { return d.Event.MessageID }, f.receiveEvent)
	if _, relays := f.app.(Relay); relays {
		receive, receiveEvent = f.relay, f.relay
	}
	inFlight := 0
	if w, can := f.app.(Windowed); can {
		inFlight = w.InFlight()
	}
	err := f.runtime.Serve(ctx,
		worker.Subscription{
			Connector: f.options.TransportName, Flow: message.Inbound,
			Handle:    receive,
			Prefetch:  inFlight,
			OnFailure: f.recordFailure,
			OnDiscard: f.recordDiscard,
		},
		worker.Subscription{
			Connector: f.options.TransportName, Flow: message.EventFlow,
			Handle:   receiveEvent,
			Prefetch: inFlight,
		})
	stop()
	return errors.Join(err, <-ended)
}

func (f *Frame) rememberFor() time.Duration {
	if d, can := f.app.(Deduplicator); can && d.Deduplicates() {
		return 0
	}
	return f.options.RememberHandled.Std()
}

// runPlugin runs an application that speaks first beside its queues.
func (f *Frame) runPlugin(ctx context.Context, stop func()) <-chan error {
	ended := make(chan error, 1)
	runner, runs := f.app.(Runner)
	if !runs {
		close(ended)
		return ended
	}
	go func() {
		defer stop()
		err := worker.Protect(func() error { return runner.Run(ctx, sender{f}) })
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		ended <- err
	}()
	return ended
}

func (f *Frame) receive(ctx context.Context, d *worker.Delivery) error {
	m := d.Message
	m.NameReplies(f.options.TransportName)
	rejections, handled, err := f.handled.Recall(ctx, d, m.ID)
	if err != nil {
		return err
	}
	replied := false
	if !handled {
		if replied, rejections, err = f.answer(ctx, m); err != nil {
			return err
		}
		f.handled.Remember(ctx, d, m.ID, rejections)
	}
	if replied && rejections == "" && !d.FailedBefore() && !d.Redelivered() {
		return nil // the record learns of it from the reply, unless it may have heard of a failure
	}
	return f.receipt(ctx, m, message.ReceiptProcessed, rejections)
}

// answer has the application answer a message. It says whether a reply that names the
// message went out, and which replies middleware rejected.
func (f *Frame) answer(ctx context.Context, m *message.Message) (replied bool, rejections string, err error) {
	if m.SessionEvent == message.SessionClose {
		if ender, wants := f.app.(SessionEnder); wants {
			return false, "", ender.EndSession(ctx, m)
		}
		return false, "", nil
	}
	replies, err := f.app.Receive(ctx, m)
	if err != nil {
		return false, "", err
	}
	var rejected []string
	for _, reply := range replies {
		answers := reply.InReplyTo == m.ID
		if answers && !replied {
			message.NoteAnswered(reply, m)
		}
		published, reason, err := f.send(ctx, reply)
		if err != nil {
			return false, "", err
		}
		replied = replied || published && answers
		if reason != "" {
			rejected = append(rejected, "a reply was rejected: "+reason)
		}
	}
	return replied, strings.Join(rejected, "; "), nil
}

func (f *Frame) receiveEvent(ctx context.Context, d *worker.Delivery) error {
	receiver, wants := f.app.(EventReceiver)
	if !wants {
		return nil
	}
	key := "event/" + d.Event.ID
	_, handled, err := f.handled.Recall(ctx, d, key)
	if err != nil || handled {
		return err
	}
	if err := receiver.ReceiveEvent(ctx, d.Event); err != nil {
		return err
	}
	f.handled.Remember(ctx, d, key, "")
	return nil
}

func (f *Frame) recordFailure(ctx context.Context, d *worker.Delivery, reason error) error {
	return f.receipt(ctx, d.Message, message.ReceiptErrored, reason.Error())
}

func (f *Frame) recordDiscard(ctx context.Context, d *worker.Delivery, reason error) error {
	return f.receipt(ctx, d.Message, message.ReceiptProcessed, "dropped: "+reason.Error())
}

// receipt tells the record what became of an inbound message.
func (f *Frame) receipt(ctx context.Context, m *message.Message, outcome, reason string) error {
	r := message.Receipt{
		MessageID: m.ID, Application: f.options.TransportName, Outcome: outcome, Reason: reason,
		Timestamp: message.FormatTime(time.Now()), Routing: m.RoutingMetadata,
	}
	return f.runtime.PublishBody(ctx, message.ReceiptKey(f.options.TransportName), r.Encode())
}

// sender publishes on the application's connector.
type sender struct{ f *Frame }

var _ Sender = sender{}

func (s sender) Send(ctx context.Context, m *message.Message) error {
	_, _, err := s.f.send(ctx, m)
	return err
}

// send publishes a message. What middleware rejects is no error: rejected says
// why, and so does a nack to the application.
func (f *Frame) send(ctx context.Context, m *message.Message) (published bool, rejected string, err error) {
	err = f.runtime.Publish(ctx, &message.Envelope{Flow: message.Outbound, Connector: f.options.TransportName, Message: m})
	reason, discarded := message.DiscardReason(err)
	switch {
	case message.IsRejection(err):
		f.runtime.Logger.Info("rejected", "connector", f.options.TransportName, "message_id", m.ID, "error", err)
		nack := message.NewNack(m, reason)
		return false, reason, f.runtime.PublishBack(ctx, &message.Envelope{Flow: message.EventFlow, Connector: f.options.TransportName, Event: nack})
	case discarded:
		return false, "", nil // middleware dropped it on purpose
	}
	return err == nil, "", err
}
