// Package receivers lets a program run its own functions on queues of the broker: a function
// is registered on a queue, and called with each message that is sent to it.
//
// A Receivers is a worker that stands alone: a fleet runs it as a class of the program's
// own, or the program calls Run.
package receivers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"switchboard/broker"
	"switchboard/internal/current"
	"switchboard/options"
	"switchboard/worker"
)

// Receivers is a set of queues with their functions, and the options of the worker that
// calls them. Make one with New.
type Receivers struct {
	worker.Settings `yaml:",inline"`
	// QueuePrefix begins the names of all queues, so that developers and stages who share
	// a broker do not share queues. Example: staging.
	QueuePrefix string `yaml:"queue_prefix"`
	// VisibilityTimeout is how long a function may take, where its queue says nothing
	// else: then its context ends, and the message is received again.
	VisibilityTimeout options.Duration `yaml:"visibility_timeout"`
	// QueueNames are the queues to receive from, as they are registered; default all that
	// have a function.
	QueueNames options.Names `yaml:"queue_names"`
	// Suffix receives from the queues with this suffix.
	Suffix string `yaml:"suffix"`
	// MessageLimit ends the worker after so many messages; 0 is no limit.
	MessageLimit int `yaml:"message_limit"`

	queues []*registered
	broker current.Value[broker.Broker]
	log    *slog.Logger

	mu       sync.Mutex
	declared map[string]bool // queues, by name
}

// registered is a queue whose type of message is not known any more.
type registered struct {
	name, problem string
	handle        func(ctx context.Context, body []byte) error // nil: nothing is received
	visibility    time.Duration
	deleteOnStart bool
	suffixes      []string
	concurrency   int
}

// defaultVisibility is how long a function may take.
const defaultVisibility = 60 * time.Second

// RestartLater says why a function leaves its message in the queue: it is received again
// when its visibility timeout is over. That is no failure, and never makes a dead letter.
func RestartLater(why error) error { return restartError{why} }

type restartError struct{ error }

func (e restartError) Unwrap() error { return e.error }

// New makes an empty set with the default options.
func New() *Receivers {
	return &Receivers{
		Settings: worker.DefaultSettings(), VisibilityTimeout: options.Duration(defaultVisibility),
		log: slog.Default(), declared: map[string]bool{},
	}
}

// Common are the settings every worker has.
func (r *Receivers) Common() *worker.Settings { return &r.Settings }

// Validate checks the options, and what was registered.
func (r *Receivers) Validate() error {
	errs := []error{
		r.Settings.Validate(), options.Positive("visibility_timeout", r.VisibilityTimeout), options.NotNegative("message_limit", r.MessageLimit),
	}
	fail := func(key, format string, args ...any) { errs = append(errs, options.Fieldf(key, format, args...)) }
	for _, q := range r.queues {
		err := worker.CheckConnector(r.fullName(q.name, r.Suffix))
		switch {
		case q.problem != "":
			errs = append(errs, fmt.Errorf("queue %q: %s", q.name, q.problem))
		case err != nil:
			errs = append(errs, fmt.Errorf("queue %q: %w", q.name, err))
		}
	}
	for _, name := range r.QueueNames {
		if i := slices.IndexFunc(r.queues, func(q *registered) bool { return q.name == name }); i < 0 {
			fail("queue_names", "has %q, which this program does not register", name)
		} else if r.queues[i].handle == nil {
			fail("queue_names", "has %q, which has no function to receive with", name)
		}
	}
	if len(r.received()) == 0 {
		errs = append(errs, errors.New("no queue has a function to receive with"))
	}
	return errors.Join(errs...)
}

// Queues are the names of all queues on the broker, with and without the suffixes.
func (r *Receivers) Queues() (names []string) {
	for _, q := range r.queues {
		for _, suffix := range append([]string{"", r.Suffix}, q.suffixes...) {
			if name := r.fullName(q.name, suffix); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

func (r *Receivers) fullName(name, suffix string) string {
	if suffix != "" {
		name += "." + suffix
	}
	return r.QueuePrefix + name
}

// received are the queues that this process receives from.
func (r *Receivers) received() (list []*registered) {
	for _, q := range r.queues {
		if q.handle != nil && (len(r.QueueNames) == 0 || slices.Contains(r.QueueNames, q.name)) {
			list = append(list, q)
		}
	}
	return list
}

// Use gives the set the broker that Send publishes to. Run and a fleet do it by themselves:
// it is for programs that only send.
func (r *Receivers) Use(b broker.Broker) { r.broker.Set(b) }

// Run receives, outside a fleet, until ctx ends or MessageLimit messages were received. The
// caller opens and closes the broker.
func (r *Receivers) Run(ctx context.Context, b broker.Broker) error {
	if err := r.Validate(); err != nil {
		return err
	}
	w, err := r.Worker(worker.Dependencies{Name: cmp.Or(r.Name, "receivers"), Kind: worker.KindWorker, Broker: b, Logger: r.log})
	if err != nil {
		return err
	}
	return w.Run(ctx)
}

// Worker makes the worker, for a fleet.
func (r *Receivers) Worker(env worker.Dependencies) (worker.Worker, error) {
	r.mu.Lock()
	r.log = env.Logger
	r.mu.Unlock()
	r.Use(env.Broker)
	return &running{Receivers: r, runtime: worker.Runtime{Dependencies: env, Settings: r.Settings}}, nil
}

// warnOf warns of a suffix that a queue does not know.
func (r *Receivers) warnOf(queue, suffix string, known []string) {
	if suffix != "" && !slices.Contains(known, suffix) {
		r.mu.Lock()
		log := r.log
		r.mu.Unlock()
		log.Warn("a queue is used with a suffix that it does not know", "queue", queue, "suffix", suffix, "known", strings.Join(known, " "))
	}
}

// running is one run of the worker.
type running struct {
	*Receivers
	runtime   worker.Runtime
	stop      func()          // receives nothing more
	taken     atomic.Int64    // messages
	ending    <-chan struct{} // closed when the worker is told to stop
	life      context.Context
	functions sync.WaitGroup
}

// Run receives until ctx ends.
func (w *running) Run(ctx context.Context) error {
	for _, name := range w.Queues() {
		if err := w.runtime.Declare(ctx, name, ""); err != nil {
			return fmt.Errorf("declaring %s: %w", name, err)
		}
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	w.ending = ctx.Done()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w.life, w.stop = life, stop
	group := w.runtime.Consumers(ctx)
	for _, q := range w.received() {
		w.warnOf(q.name, w.Suffix, q.suffixes)
		group.Start(w.subscription(q))
	}
	err := group.Wait()
	return errors.Join(err, w.awaitFunctions())
}

// awaitFunctions waits for functions whose messages are deleted already, as long as for
// others.
func (w *running) awaitFunctions() error {
	finished := make(chan struct{})
	go func() {
		w.functions.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return nil
	case <-time.After(w.StopTimeout.Std()):
		return fmt.Errorf("a function whose message was deleted did not end: %w", worker.ErrStopTimeout)
	}
}

func (w *running) subscription(q *registered) worker.Subscription {
	slots := make(chan struct{}, q.concurrency)
	return worker.Subscription{
		Connector: w.fullName(q.name, w.Suffix), Raw: true, Prefetch: q.concurrency,
		Handle: func(ctx context.Context, d *worker.Delivery) {
			if !w.mayReceive() {
				d.Settle(context.Canceled)
				return
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				d.Settle(ctx.Err())
				return
			}
			free := func() { <-slots }
			select {
			case <-w.ending: // while it waited for its place
				free()
				d.Settle(context.Canceled)
				return
			default:
			}
			if q.deleteOnStart {
				d.Settle(nil)
				w.functions.Go(func() { w.callDeleted(q, d.Body(), free) })
				return
			}
			w.functions.Go(func() { w.call(ctx, q, d, free) })
		},
	}
}

// mayReceive counts one more message; false when there were message_limit.
func (w *running) mayReceive() bool {
	n := w.taken.Add(1)
	if w.MessageLimit > 0 && n >= int64(w.MessageLimit) {
		w.stop()
	}
	return w.MessageLimit == 0 || n <= int64(w.MessageLimit)
}

// callDeleted calls the function with a message that is on no queue any more.
func (w *running) callDeleted(q *registered, body []byte, free func()) {
	defer free()
	if err := worker.Protect(func() error { return q.handle(w.life, body) }); err != nil {
		w.runtime.Logger.Error("a receiver failed; its message was deleted when it was received", "queue", q.name, "error", err)
	}
}

// call calls the function, and settles the message by what it returns. After the visibility
// timeout it does not wait any longer; the function keeps its place among those that may
// run at once until it returns.
func (w *running) call(ctx context.Context, q *registered, d *worker.Delivery, free func()) {
	began, visible := time.Now(), cmp.Or(q.visibility, w.VisibilityTimeout.Std())
	late, cancel := context.WithTimeoutCause(ctx, visible, fmt.Errorf("the receiver has not returned within visibility_timeout (%s)", visible))
	defer cancel()
	returned := make(chan error, 1)
	go func() {
		defer free()
		returned <- worker.Protect(func() error { return q.handle(late, d.Body()) })
	}()
	var err error
	select {
	case err = <-returned:
	case <-late.Done():
		select {
		case err = <-returned:
		default:
			err = context.Cause(late)
		}
	}
	if _, restart := errors.AsType[restartError](err); restart {
		w.runtime.Logger.Info("a receiver leaves its message in the queue", "queue", q.name, "reason", err)
		err = d.Move(ctx, w.fullName(q.name, w.Suffix), max(visible-time.Since(began), worker.RequeueDelay))
	}
	d.Settle(err)
}
