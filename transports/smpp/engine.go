package smpp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"switchboard/message"
	"switchboard/smpp"
	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
	"switchboard/store"
	"switchboard/transports"
	"switchboard/transports/smpp/submissions"
)

// engine is one run of a transport.
type engine struct {
	options *Options
	logger  *slog.Logger
	metrics *metrics
	line    transports.Publisher
	state   *store.Batcher
	keys    keys

	gate             *gate
	concatReferences *concatReferences
	parser           receipt.Parser
	codings          smpp.Codings
	submissions      *submissions.Store
	concat           *smpp.Assembler
	dedup            *deliverDedup

	up   atomic.Int32 // binds that are bound
	kept int          // binds that are to be

	stopping context.Context // ends when deliveries must be let go of
	letGo    context.CancelFunc
	news     chan *message.Status
	work     sync.WaitGroup // late answers being written down
	sending  sync.RWMutex   // held for reading by each send, until what it leaves is written down
}

func newEngine(t *Transport, line transports.Publisher) (*engine, error) {
	parser, err := t.parser()
	if err != nil {
		return nil, err
	}
	codings, err := t.codingOverrides()
	if err != nil {
		return nil, err
	}
	e := &engine{
		options: &t.Options, logger: t.logger, metrics: t.metrics, line: line, parser: parser, codings: codings,
		keys: newKeys(&t.Options),
		news: make(chan *message.Status, maxNews),
	}
	e.state = store.NewBatcher(t.state, store.BatchSettings{})
	e.gate = newGate(t.metrics, e.rateNews, func(p submissions.Part, id string) bool { return e.submissions.Given(p, id) })
	e.gate.version.Store(uint32(t.InterfaceVersion))
	e.concatReferences = newConcatReferences()
	e.submissions = submissions.New(e.submissionSettings())
	e.concat = newConcat(e)
	return e, nil
}

// keys are the names under which things are stored.
type keys struct{ prefix string }

func newKeys(o *Options) keys {
	return keys{"smpp/" + cmp.Or(o.SplitBindPrefix, o.TransportName) + "/"}
}

func (e *engine) submissionSettings() submissions.Settings {
	o := e.options
	s := submissions.Settings{
		State: e.state, Prefix: e.keys.prefix, Logger: e.logger, Stopped: e.gate.done,
		CountReceipt: e.metrics.receipt, ProtocolError: e.metrics.protocolError, Guard: e.guard,
		DetectIDFormat: o.SubmitIDFormat.auto(), SubmitFormat: o.SubmitIDFormat.format(), ReceiptFormat: o.ReceiptIDFormat.format(),
		OutcomeTTL: o.SubmitSMExpiry.Std(), IDTTL: o.ThirdPartyIDExpiry.Std(), FinalTTL: o.FinalDRThirdPartyIDExpiry.Std(),
		HeldTTL: o.HeldReceiptExpiry.Std(), QueryAfter: o.QueryAfter.Std(),
	}
	if !o.DisableDeliveryReport {
		s.Publish = e.line.Event
	}
	return s
}

// run keeps every bind until ctx ends and all are unbound.
func (e *engine) run(ctx context.Context) error {
	e.stopping, e.letGo = context.WithCancel(context.WithoutCancel(ctx))
	e.dedup = newDeliverDedup(e.stopping, &e.work)
	defer e.close()
	if e.options.longPassword() {
		e.logger.Warn("the password is longer than the 8 characters SMPP allows (§5.2.2); some SMSCs cut it, some refuse it")
	}
	e.tell(message.Down, "starting", "SMPP is starting")
	var binds, helpers sync.WaitGroup
	background, quiet := context.WithCancel(context.WithoutCancel(ctx))
	binders := e.binders() // before the helpers, who look at their lanes
	e.kept = len(binders)
	helpers.Go(func() { e.publishNews(background) })
	helpers.Go(func() { e.housekeep(background, e.showRates) })
	helpers.Go(func() { e.housekeep(background, func(ctx context.Context) { e.submissions.Sweep(ctx, time.Now()) }) })
	helpers.Go(func() {
		if err := e.concat.Load(background); err != nil && !errors.Is(err, context.Canceled) {
			e.logger.Warn("finding unfinished messages failed; their parts may go unreported", "error", err)
		}
		e.housekeep(background, func(ctx context.Context) { e.concat.Sweep(ctx, time.Now()) })
	})
	if e.options.QueryAfter > 0 && e.options.BindMode.sends() {
		helpers.Go(func() { e.queryLoop(background) })
	}
	for _, b := range binders {
		binds.Go(func() { b.keep(ctx) })
	}
	if e.options.OutbindEndpoint != "" {
		if err := e.listenOutbind(ctx, &binds); err != nil {
			quiet()
			helpers.Wait()
			return err
		}
	}
	binds.Wait()
	quiet()
	helpers.Wait()
	return nil
}

func (e *engine) close() {
	e.gate.close()
	e.letGo()
	e.sending.Lock()
	defer e.sending.Unlock()
	e.work.Wait()
	if err := e.state.Close(); err != nil {
		e.logger.Warn("closing the SMPP state failed", "error", err)
	}
}

func (o *Options) longPassword() bool { return len(o.Password.Reveal()) > 8 }

// binders are all the binds to be kept.
func (e *engine) binders() (list []*binder) {
	for n := range e.options.Binds {
		for _, command := range e.options.BindMode.commands() {
			list = append(list, e.newBinder(command, n))
		}
	}
	return list
}

func (e *engine) newBinder(command pdu.CommandID, n int) *binder {
	name := map[pdu.CommandID]string{
		pdu.CmdBindTransceiver: "transceiver", pdu.CmdBindTransmitter: "transmitter", pdu.CmdBindReceiver: "receiver",
	}[command]
	if n > 0 {
		name = fmt.Sprintf("%s %d", name, n+1)
	}
	b := &binder{engine: e, name: name, command: command, oddities: map[string]time.Time{}}
	if command != pdu.CmdBindReceiver {
		b.lane = &lane{
			name: name, window: e.options.Window, pending: map[uint32]*ticket{}, late: b.keepLate,
			pace: pacer{limit: e.options.MTTPS, delay: e.options.ThrottleDelay.Std()},
		}
		e.gate.addLane(b.lane)
		e.metrics.configured(b.lane)
	}
	return b
}

const (
	// maxNews is how many status events may wait for the broker; more are only
	// logged.
	maxNews = 100
	// newsTimeout is how long one may take.
	newsTimeout = 10 * time.Second
)

// health is how the transport is, now that a bind is up.
func (e *engine) health() message.Health {
	if int(e.up.Load()) < e.kept {
		return message.Degraded
	}
	return message.OK
}

// without is how the transport is without a bind: the others may be up.
func (e *engine) without() message.Health {
	if e.up.Load() > 0 {
		return message.Degraded
	}
	return message.Down
}

// tell publishes a status event, without waiting for the broker.
func (e *engine) tell(health message.Health, kind, text string, reasons ...string) {
	select {
	case e.news <- message.NewStatus("smpp", health, kind, text, reasons...):
	default:
		e.logger.Debug("a status event was dropped: the broker does not keep up", "type", kind)
	}
}

func (e *engine) publishNews(ctx context.Context) {
	for {
		select {
		case s := <-e.news:
			e.publishStatus(ctx, s)
		case <-ctx.Done():
			e.publishLast()
			return
		}
	}
}

// lastWords is how long the status events of a stop may take.
const lastWords = time.Second

func (e *engine) publishLast() {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	for len(e.news) > 0 && ctx.Err() == nil {
		e.publishStatus(ctx, <-e.news)
	}
}

func (e *engine) publishStatus(ctx context.Context, s *message.Status) {
	ctx, cancel := context.WithTimeout(ctx, newsTimeout)
	defer cancel()
	if err := e.line.Status(ctx, s); err != nil {
		e.logger.Debug("publishing a status event failed", "type", s.Type, "error", err)
	}
}

func (e *engine) rateNews(l *lane, throttled bool) {
	if throttled {
		e.logger.Warn("the SMSC asks for less traffic; slowing down", "bind", l.name)
		e.tell(message.Degraded, "throttled", l.name+": the SMSC asks for less traffic")
		return
	}
	e.logger.Info("the SMSC takes full traffic again", "bind", l.name)
	e.tell(e.health(), "throttled_end", l.name+": the SMSC takes full traffic again")
}

// housekeepEvery is how often rates are shown and old things looked at.
const housekeepEvery = time.Second

// housekeep does a chore again and again until ctx ends.
func (e *engine) housekeep(ctx context.Context, chore func(context.Context)) {
	tick := time.NewTicker(housekeepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_ = e.guard("housekeeping", func() error {
			chore(ctx)
			return nil
		})
	}
}

func (e *engine) showRates(context.Context) {
	for _, l := range e.gate.lanes {
		learned, actual := e.gate.rates(l)
		e.metrics.rates(l, learned, actual)
	}
}
