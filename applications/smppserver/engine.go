package smppserver

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"switchboard/applications"
	"switchboard/internal/backoff"
	"switchboard/internal/inflight"
	"switchboard/internal/lanes"
	"switchboard/internal/loglimit"
	"switchboard/smpp"
	"switchboard/smpp/session"
	"switchboard/store"
)

// engine is one run of the server.
type engine struct {
	options *Options
	log     *slog.Logger
	metrics *metrics
	out     applications.Sender
	state   *store.Batcher
	queues  applications.Queues // nil where out has none

	arrivals, ends lanes.Lanes[lane] // ends are those of deliveries from the connector

	customers map[string]*customer // by system_id
	byQueue   map[string]*customer
	inOrder   []*customer // as in the file
	servers   []*session.Server
	refusals  *loglimit.Limiter // of binds and submits, by customer and reason

	life      context.Context // ends when nothing may be waited for any more
	endLife   context.CancelFunc
	loops     sync.WaitGroup // delivery and housekeeping
	stopLoops context.CancelFunc

	busy inflight.Group // requests, events, messages and answers

	recording chan struct{} // holds one for each event of a customer who is not there that is being recorded
}

func newEngine(a *Application, out applications.Sender) (*engine, error) {
	e := &engine{
		options: &a.Options, log: a.env.Logger, metrics: a.metrics, out: out,
		customers: map[string]*customer{}, byQueue: map[string]*customer{},
		recording: make(chan struct{}, maxRecording), refusals: loglimit.New(refusalLogEvery),
	}
	e.queues, _ = out.(applications.Queues)
	refused, err := smpp.ParseTags(a.RefusedTLVs)
	if err != nil {
		return nil, err
	}
	for _, pair := range a.Customers {
		c, err := newCustomer(pair.Key, pair.Value)
		if err != nil {
			return nil, err
		}
		c.refused = refused
		e.customers[c.systemID], e.byQueue[c.queue] = c, c
		e.inOrder = append(e.inOrder, c)
	}
	e.state = store.NewBatcher(a.lease.Fence(), store.BatchSettings{})
	for _, c := range e.inOrder {
		c.parts = e.newAssembler(c)
		c.ids = &shortIDs{state: e.state, key: "ids/" + c.systemID}
		length := e.metrics.queued.WithLabelValues(c.systemID)
		length.Set(0)
		c.onCount = func(waiting, direct int) { length.Set(float64(waiting + direct)) }
	}
	e.life, e.endLife = context.WithCancel(context.Background())
	return e, nil
}

// start opens the ports and begins to deliver.
func (e *engine) start(ctx context.Context) error {
	listeners, err := e.listen(ctx)
	if err != nil {
		return err
	}
	loops, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.stopLoops = stop
	if e.queues != nil {
		if err := e.openQueues(ctx, loops); err != nil {
			return errors.Join(err, closeAll(listeners))
		}
	}
	for _, l := range listeners {
		e.servers = append(e.servers, session.Serve(l, e, e.sessionSettings()))
	}
	e.loops.Go(func() { backoff.Every(loops, housekeepEvery, e.unbindIdle) })
	e.loops.Go(func() { backoff.Every(loops, housekeepEvery, func(now time.Time) { e.giveUpParts(loops, now) }) })
	return nil
}

// stopPatience is how long each step of a stop may take: to finish what is in
// flight, then to unbind.
const stopPatience = 5 * time.Second

// stop finishes what is in flight, and unbinds everybody.
func (e *engine) stop() {
	e.busy.Close()
	for _, c := range e.inOrder {
		e.pump(c) // sends nothing more
	}
	e.stopLoops()
	within, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	_ = e.busy.Wait(within)
	goodbye, hurry := context.WithTimeout(context.Background(), stopPatience)
	defer hurry()
	var group sync.WaitGroup
	for _, v := range e.servers {
		group.Go(func() { v.Shutdown(goodbye) })
	}
	group.Wait()
	e.loops.Wait()
}

// end ends an engine, also one that was never started.
func (e *engine) end() {
	within, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	_ = e.busy.Wait(within)
	e.endLife()
	_ = e.busy.Wait(context.Background()) // nothing waits any more
	for _, c := range e.inOrder {
		c.parts.Flush()
	}
	if err := e.state.Close(); err != nil {
		e.log.Warn("closing the SMPP server's state failed", "error", err)
	}
}

// refusalLogEvery is how often the log has a refused bind or submit of one kind.
const refusalLogEvery = 10 * time.Second

// housekeepEvery is how often old things are looked at.
const housekeepEvery = time.Second

// giveUpParts gives up the messages whose parts have not come by now.
func (e *engine) giveUpParts(ctx context.Context, now time.Time) {
	for _, c := range e.inOrder {
		c.parts.Sweep(ctx, now)
	}
}

// unbindIdle unbinds those that carried no message for idle_timeout.
func (e *engine) unbindIdle(now time.Time) {
	limit := e.options.IdleTimeout.Std()
	if limit <= 0 {
		return
	}
	for _, v := range e.servers {
		for _, s := range v.Sessions() {
			if s.Peer().Bind == 0 { // Tag is not ours to read yet
				continue
			}
			b := s.Tag.(*bind)
			if now.UnixNano()-b.used.Load() < int64(limit) {
				continue
			}
			b.use() // ask once
			e.loops.Go(func() {
				ctx, cancel := context.WithTimeout(e.life, stopPatience)
				defer cancel()
				e.log.Info("unbinding a customer who carried no message", "customer", b.systemID)
				s.Unbind(ctx)
			})
		}
	}
}
