package xmpp

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"switchboard/internal/backoff"
	"switchboard/internal/lanes"
	"switchboard/message"
	"switchboard/store"
	"switchboard/transports"
	"switchboard/worker"
	"switchboard/xmpp"
)

const (
	// dialTimeout is how long negotiating a session may take.
	dialTimeout = 30 * time.Second
	minDelay    = time.Second
	maxDelay    = time.Minute
	// stableAfter is how long a session must have lasted for the delays to begin anew.
	stableAfter = 30 * time.Second
	// conflictDelay is the least wait after another connection took the address: two
	// that do not wait throw each other out for ever.
	conflictDelay = time.Minute
	// permanentDelay is the wait after a refusal that only an operator can mend.
	permanentDelay = 5 * time.Minute
)

// run is one run of a transport.
type run struct {
	options   *Options
	jid       xmpp.JID // bare; of a component, its domain
	logger    *slog.Logger
	metrics   *metrics
	publisher transports.Publisher
	state     *store.Batcher
	sent      *sent
	presence  *presence
	rooms     *rooms
	about     *about
	copies    *copies
	loops     *loops
	statuses  *transports.Statuses

	work  context.Context // of what was received: it ends after the session
	stop  context.CancelFunc
	lanes lanes.Lanes[string]
	group sync.WaitGroup // work in the lanes, and helpers
	sends sync.RWMutex   // held for reading by each send, until what it leaves is recorded

	mu      sync.Mutex
	session *xmpp.Session // nil while there is none
	changed chan struct{} // closed when session is set
	since   time.Time     // when it was set
}

func newRun(t *Transport, publisher transports.Publisher) (*run, error) {
	r := &run{
		options: &t.Options, jid: t.jid(), logger: t.logger, metrics: t.metrics, publisher: publisher,
		state: store.NewBatcher(t.state, store.BatchSettings{}), copies: newCopies(), loops: newLoops(t.MaxEqualReplies),
		statuses: transports.NewStatuses(publisher, t.logger),
		changed:  make(chan struct{}),
	}
	r.work, r.stop = context.WithCancel(context.Background())
	r.sent = &sent{
		run: r, prefix: t.TransportName + "/sent/", ttl: max(t.RememberReceipts.Std(), t.remember), inFlight: map[string]*outgoing{},
	}
	r.presence = newPresence(r)
	r.rooms = newRooms(r, t.selfPing)
	var err error
	r.about, err = newAbout(&t.Options)
	return r, err
}

// run keeps a session until ctx ends.
func (r *run) run(ctx context.Context) error {
	defer r.close()
	r.group.Go(func() { r.statuses.Run(r.work) })
	r.tell(message.Down, "starting", "XMPP is starting")
	delays := backoff.Backoff{Min: minDelay, Max: maxDelay}
	var prior *xmpp.Resumption
	defer func() { prior.Abandon() }()
	for ctx.Err() == nil {
		began := time.Now()
		s, err := r.dial(ctx, prior)
		if err == nil {
			prior = nil
			err = r.serve(ctx, s)
			prior = s.Resumption()
		}
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(began) > stableAfter {
			delays.Reset()
		}
		backoff.Sleep(ctx, r.lost(err, delays.Next()))
	}
	return nil
}

func (r *run) dial(ctx context.Context, prior *xmpp.Resumption) (*xmpp.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	settings := r.options.settings()
	settings.Logger, settings.Handle, settings.Serve = r.logger, r.handle, r.answer
	s, err := xmpp.Dial(ctx, settings, prior)
	switch {
	case err != nil:
		r.metrics.connects.WithLabelValues("failed").Inc()
	case s.Resumed():
		r.metrics.connects.WithLabelValues("resumed").Inc()
	default:
		r.metrics.connects.WithLabelValues("bound").Inc()
	}
	return s, err
}

// serve runs a session, beside those who speak first in it.
func (r *run) serve(ctx context.Context, s *xmpp.Session) error {
	r.logger.Info("connected to XMPP", "jid", s.JID().String(), "resumed", s.Resumed(), "acknowledged", s.Managed())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var helpers sync.WaitGroup
	helpers.Go(func() {
		if err := r.presence.begin(ctx, s); err != nil && ctx.Err() == nil {
			r.logger.Warn("the roster cannot be read; who wants to see the account is answered all the same", "error", err)
		}
		r.set(s)
		r.tell(message.OK, "connected", "connected as "+s.JID().String())
		r.presence.keep(ctx, s)
	})
	helpers.Go(func() { r.rooms.keep(ctx, s) })
	err := s.Run(r.beforeEnd(ctx, s))
	r.set(nil)
	cancel()
	helpers.Wait()
	return err
}

// beforeEnd is a context that ends after ctx, once people were told that a component
// leaves.
func (r *run) beforeEnd(ctx context.Context, s *xmpp.Session) context.Context {
	session, end := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		r.presence.leave(s)
		end()
	})
	return session
}

// lost tells why there is no session, and returns how long to wait.
func (r *run) lost(err error, delay time.Duration) time.Duration {
	kind := "connection_lost"
	switch {
	case xmpp.IsConflict(err):
		kind, delay = "replaced", max(delay, backoff.Jitter(2*conflictDelay))
		err = errors.Join(err, errReplaced)
	case xmpp.IsPermanent(err):
		kind, delay = "refused", permanentDelay
	}
	r.logger.Warn("there is no XMPP session", "error", err, "again_in", delay.Round(time.Millisecond).String())
	r.tell(message.Down, kind, "no XMPP session: "+err.Error())
	return delay
}

var errReplaced = errors.New("another process uses the same address")

func (r *run) close() {
	r.stop()
	r.sends.Lock()
	defer r.sends.Unlock()
	r.group.Wait()
	if err := r.state.Close(); err != nil {
		r.logger.Warn("closing the XMPP state failed", "error", err)
	}
}

// tell tells how the transport is, without waiting for the broker.
func (r *run) tell(health message.Health, kind, text string) {
	r.statuses.Tell("xmpp", health, kind, text)
}

// inLane does work after all of the same key. A panic in it is logged, and does not
// end the process.
func (r *run) inLane(key string, work func()) {
	r.group.Add(1)
	r.lanes.Go(key, func() {
		defer r.group.Done()
		err := worker.Protect(func() error {
			work()
			return nil
		})
		if panicked, is := errors.AsType[*worker.PanicError](err); is {
			r.logger.Error("XMPP panicked, and goes on without what it did; please report this", "error", err, "stack", string(panicked.Stack))
		}
	})
}

func (r *run) set(s *xmpp.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.session, r.since = s, time.Now()
	close(r.changed)
	r.changed = make(chan struct{})
}

// current is the session; nil while there is none.
func (r *run) current() *xmpp.Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session
}

// await waits for a session other than one that has ended.
func (r *run) await(ctx context.Context, ended *xmpp.Session) (*xmpp.Session, error) {
	for {
		r.mu.Lock()
		s, changed := r.session, r.changed
		r.mu.Unlock()
		if err := ctx.Err(); err != nil || s != nil && s != ended {
			return s, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-r.work.Done():
			return nil, errStopped
		}
	}
}

var errStopped = errors.New("the XMPP transport has stopped")
