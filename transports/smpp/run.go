package smpp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/store"
	"switchboard/transports"
	"switchboard/transports/smpp/binds"
	"switchboard/transports/smpp/submissions"
	"switchboard/worker"
)

// shared is what the parts of a run work with.
type shared struct {
	options     *Options
	parsed      *parsed
	logger      *slog.Logger
	metrics     *metrics
	queue       *binds.Queue
	submissions *submissions.Store
}

// run is one run of a transport: its parts, and the goroutines that serve them.
type run struct {
	shared
	state    *store.Batcher
	statuses *transports.Statuses
	binds    *binds.Manager
	sender   *sender
	receiver *receiver
	querier  *querier

	stopping context.Context // of what the SMSC delivered: it ends after the binds
	stop     context.CancelFunc
	work     sync.WaitGroup // deliveries, and late answers that are being recorded
	sends    sync.RWMutex   // held for reading by each send, until what it leaves is recorded
}

func newRun(t *Transport, publisher transports.Publisher) (*run, error) {
	p, err := t.parse()
	if err != nil {
		return nil, err
	}
	r := &run{
		shared: shared{options: &t.Options, parsed: &p, logger: t.logger, metrics: t.metrics},
		state:  store.NewBatcher(t.state, store.BatchSettings{}), statuses: transports.NewStatuses(publisher, t.logger),
	}
	r.stopping, r.stop = context.WithCancel(context.Background())
	r.binds = binds.NewManager(binds.Settings{
		Options: &t.Options.Options, Status: r.tell, Pace: t.monitor.Pace,
		ProtocolError: t.metrics.protocolError, Metrics: t.metrics.binds, Logger: t.logger,
		Deliver: func(p *pdu.PDU, m *pdu.Message) func(context.Context) error { return r.receiver.accept(p, m) },
	})
	r.queue = r.binds.Queue
	settings := r.submissionSettings(publisher)
	settings.SentTTL = t.remember
	r.submissions = submissions.New(settings)
	r.receiver = &receiver{shared: r.shared, publisher: publisher, dedup: newDeliverDedup(r.stopping, &r.work)}
	r.receiver.parts = r.receiver.assembler(r.state)
	r.sender = &sender{shared: r.shared, work: &r.work}
	r.sender.longTexts.Store(rand.Uint32())
	r.querier = &querier{shared: r.shared, pace: rate.NewLimiter(r.options.queryRate(), 1)}
	return r, nil
}

// tell says how the binds are.
func (r *run) tell(health message.Health, kind, text string, reasons ...string) {
	r.statuses.Tell("smpp", health, kind, text, reasons...)
}

// statePrefix begins the keys of all that is kept in the state store.
func (o *Options) statePrefix() string {
	return "smpp/" + cmp.Or(o.SplitBindPrefix, o.TransportName) + "/"
}

func (r *run) submissionSettings(publisher transports.Publisher) submissions.Settings {
	o := r.options
	s := submissions.Settings{
		State: r.state, Prefix: o.statePrefix(), Logger: r.logger, Stopped: r.queue.Stopped(),
		CountReceipt: r.metrics.receipt, Guard: r.guard,
		SubmitFormat: o.SubmitIDFormat, ReceiptFormat: o.ReceiptIDFormat,
		OutcomeTTL: o.SubmitSMExpiry.Std(), IDTTL: o.ThirdPartyIDExpiry.Std(), FinalTTL: o.FinalDRThirdPartyIDExpiry.Std(),
		HeldTTL: o.HeldReceiptExpiry.Std(), QueryAfter: o.QueryAfter.Std(),
	}
	if !o.DisableDeliveryReport {
		s.Publish = publisher.Event
	}
	return s
}

// run keeps every bind until ctx ends and all are unbound.
func (r *run) run(ctx context.Context) error {
	defer r.close()
	if len(r.options.Password.Reveal()) > 8 {
		r.logger.Warn("the password is longer than the 8 characters SMPP allows (§5.2.2); some SMSCs cut it, some refuse it")
	}
	r.tell(message.Down, "starting", "SMPP is starting")
	var helpers sync.WaitGroup
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	helpers.Go(func() { r.statuses.Run(background) })
	helpers.Go(func() { r.every(background, submissions.SweepEvery, r.submissions.Sweep) })
	helpers.Go(func() { r.every(background, time.Second, r.receiver.parts.Sweep) })
	if r.options.QueryAfter > 0 && r.options.BindMode.Sends() {
		helpers.Go(func() { r.every(background, r.options.queryPause(), r.querier.sweep) })
	}
	err := r.binds.Run(ctx)
	stop()
	helpers.Wait()
	return err
}

func (r *run) close() {
	r.queue.Stop()
	r.stop()
	r.sends.Lock()
	defer r.sends.Unlock()
	r.work.Wait()
	r.receiver.parts.Flush()
	if err := r.state.Close(); err != nil {
		r.logger.Warn("closing the SMPP state failed", "error", err)
	}
}

// every does a chore again and again until ctx ends.
func (r *run) every(ctx context.Context, pause time.Duration, chore func(context.Context, time.Time)) {
	backoff.Every(ctx, pause, func(now time.Time) {
		_ = r.guard("housekeeping", func() error {
			chore(ctx, now)
			return nil
		})
	})
}

// guard does work on what came from outside. A panic in it is logged, with its
// stack, and is the work's error; it does not end the process.
func (s *shared) guard(what string, work func() error) error {
	err := worker.Protect(work)
	if panicked, is := errors.AsType[*worker.PanicError](err); is {
		s.logger.Error("SMPP panicked, and goes on without what it did; please report this",
			"at", what, "error", err, "stack", string(panicked.Stack))
	}
	return err
}
