package smppserver

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"switchboard/applications"
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
	lease   *lease
	state   *store.Batcher

	customers map[string]*customer
	inOrder   []*customer // as in the file
	servers   []*session.Server

	life    context.Context // ends when nothing may be waited for any more
	letGo   context.CancelFunc
	posting sync.WaitGroup // the postmen and the housekeeper
	quiet   context.CancelFunc

	mu     sync.Mutex
	closed bool
	busy   int           // requests, events, messages and answers in hand
	idle   chan struct{} // closed when busy is 0; nil when nobody waits
}

func newEngine(a *Application, out applications.Sender) (*engine, error) {
	e := &engine{
		options: &a.Options, log: a.env.Logger, metrics: a.metrics, out: out,
		lease: a.lease, customers: map[string]*customer{},
	}
	refused, err := smpp.ParseTags(a.RefusedTLVs)
	if err != nil {
		return nil, err
	}
	for _, pair := range a.Customers {
		c, err := newCustomer(pair.Key, pair.Value)
		if err != nil {
			return nil, fmt.Errorf("customer %s: %w", pair.Key, err)
		}
		c.refused = refused
		e.customers[c.systemID] = c
		e.inOrder = append(e.inOrder, c)
	}
	e.state = store.NewBatcher(fenced{a.env.State, a.lease}, store.BatchSettings{})
	for _, c := range e.inOrder {
		c.parts = e.newAssembler(c)
		c.ids = &shortIDs{state: e.state, key: "ids/" + c.systemID}
		c.box = newMailbox(e.state, "mail/"+c.systemID+"/", e.options, func(n int) { e.metrics.kept(c.systemID, n) })
	}
	e.life, e.letGo = context.WithCancel(context.Background())
	return e, nil
}

// start opens the ports and begins to deliver.
func (e *engine) start(ctx context.Context) error {
	listeners, err := e.listen(ctx)
	if err != nil {
		return err
	}
	posting, quiet := context.WithCancel(context.WithoutCancel(ctx))
	e.quiet = quiet
	for _, c := range e.inOrder {
		e.posting.Go(func() { e.recall(posting, c); e.post(posting, c) })
	}
	for _, l := range listeners {
		e.servers = append(e.servers, session.Serve(l, handler{e}, e.sessionSettings()))
	}
	e.posting.Go(func() { e.housekeep(posting) })
	return nil
}

// recall finds what was kept for a customer before this run.
func (e *engine) recall(ctx context.Context, c *customer) {
	for ctx.Err() == nil {
		err := c.box.load(ctx)
		if err == nil {
			return
		}
		e.log.Warn("finding what waits for a customer failed; trying again", "customer", c.systemID, "error", err)
		select {
		case <-time.After(storePause):
		case <-ctx.Done():
		}
	}
}

// stopPatience is how long each step of a stop may take: what is in hand,
// then the customers' agreement to unbind.
const stopPatience = 5 * time.Second

// stop takes nothing more, waits for what is in hand, and unbinds everybody.
func (e *engine) stop() {
	e.quiet()
	e.posting.Wait()
	within, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	e.settle(within)
	e.awaitAnswers(within)
	goodbye, hurry := context.WithTimeout(context.Background(), stopPatience)
	defer hurry()
	var group sync.WaitGroup
	for _, v := range e.servers {
		group.Go(func() { v.Shutdown(goodbye) })
	}
	group.Wait()
}

// close ends what an engine has, also one that was never started.
func (e *engine) close() {
	within, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	e.settle(within)
	e.letGo()
	e.settle(context.Background()) // whatever waited has been let go
	for _, c := range e.inOrder {
		e.saveHead(within, c)
	}
	if err := e.state.Close(); err != nil {
		e.log.Warn("closing the SMPP server's state failed", "error", err)
	}
}

func (e *engine) saveHead(ctx context.Context, c *customer) {
	c.box.mu.Lock()
	loaded, head := c.box.loaded, c.box.head()
	c.box.mu.Unlock()
	if !loaded || head == 0 {
		return
	}
	if err := c.box.saveHead(ctx, head); err != nil {
		e.log.Info("noting how far a customer's mail has been delivered failed; the next start looks for it",
			"customer", c.systemID, "next", strconv.FormatUint(head, 10), "error", err)
	}
}

// enter begins something that a stop waits for; false when it is too late.
func (e *engine) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return false
	}
	e.busy++
	return true
}

func (e *engine) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy--; e.busy == 0 && e.idle != nil {
		close(e.idle)
		e.idle = nil
	}
}

// settle lets nothing more begin, and waits for what has, or for ctx.
func (e *engine) settle(ctx context.Context) {
	e.mu.Lock()
	e.closed = true
	if e.busy == 0 {
		e.mu.Unlock()
		return
	}
	if e.idle == nil {
		e.idle = make(chan struct{})
	}
	idle := e.idle
	e.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// background does what an answer leads to, beside the session it came by.
func (e *engine) background(do func(context.Context)) {
	e.mu.Lock()
	e.busy++ // also while stopping: an answer is the end of something
	e.mu.Unlock()
	go func() {
		defer e.leave()
		do(e.life)
	}()
}

// housekeepEvery is how often old things are looked at.
const housekeepEvery = time.Second

func (e *engine) housekeep(ctx context.Context) {
	for _, c := range e.inOrder {
		if err := c.parts.Load(ctx); err != nil {
			e.log.Warn("finding unfinished messages failed; their parts may go unreported", "customer", c.systemID, "error", err)
		}
	}
	tick := time.NewTicker(housekeepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		e.unbindIdle(time.Now())
		e.giveUpParts(ctx, time.Now())
	}
}

// giveUpParts gives up the messages whose parts have not come by now.
func (e *engine) giveUpParts(ctx context.Context, now time.Time) {
	for _, c := range e.inOrder {
		c.parts.Sweep(ctx, now)
	}
}

// unbindIdle ends the binds that carried nothing for too long.
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
			e.background(func(ctx context.Context) {
				ctx, cancel := context.WithTimeout(ctx, stopPatience)
				defer cancel()
				e.log.Info("unbinding a customer who carried no message", "customer", b.systemID)
				s.Unbind(ctx)
			})
		}
	}
}

// awaitAnswers waits for the answers to deliver_sm that are on their way, or
// for ctx.
func (e *engine) awaitAnswers(ctx context.Context) {
	for _, v := range e.servers {
		for _, s := range v.Sessions() {
			for s.InFlight() > 0 && ctx.Err() == nil {
				select {
				case <-s.Done():
				case <-ctx.Done():
				case <-time.After(answerPoll):
				}
			}
		}
	}
}

// answerPoll is how often a stop looks whether answers have come.
const answerPoll = 5 * time.Millisecond
