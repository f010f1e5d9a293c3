package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"switchboard/applications"
	"switchboard/internal/webclient"
	"switchboard/message"
	"switchboard/store"
	"switchboard/worker"
)

// run is an Application at work.
type run struct {
	*Application
	connector string
	ctx       context.Context // ends with the run
	out       applications.Sender
	queues    applications.Queues
	state     *store.Batcher
	log       *slog.Logger
	complain  rate.Sometimes
	clients   clients
	keys      sync.Map // the Idempotency-Keys whose requests this process works on

	web     *webclient.Client // nil where there is no webhook
	slots   chan struct{}     // of requests at the webhook
	breaker *breaker
	waiting []*waiting // the queues of people and messages, then the slow ones
	slow    slow
	loops   sync.WaitGroup
}

// complainEvery is how often trouble is logged; metrics count all of it.
const complainEvery = 10 * time.Second

func newRun(ctx context.Context, a *Application, out applications.Sender) (*run, error) {
	r := &run{
		Application: a, ctx: ctx, out: out, queues: out.(applications.Queues), log: a.env.Logger,
		state: store.NewBatcher(a.env.State, store.BatchSettings{}), complain: rate.Sometimes{Interval: complainEvery}, clients: newClients(a.Tokens),
	}
	r.connector = r.queues.Connector()
	if a.Webhook == nil {
		return r, nil
	}
	r.web = webclient.New(webclient.Settings{
		Timeout: a.Webhook.Timeout.Std(), AllowPrivate: a.AllowPrivate, MaxIdle: a.Webhook.MaxRequests, Transport: a.env.HTTP,
	})
	r.slots = make(chan struct{}, a.Webhook.MaxRequests)
	r.breaker = newBreaker(r.report)
	r.metrics.up.Set(1)
	names := a.Queues()
	counts, err := r.queues.Count(ctx, names...)
	if err != nil {
		r.close()
		return nil, fmt.Errorf("counting what waits for the webhook: %w", err)
	}
	for _, name := range names {
		w := newWaiting(r, name)
		w.add(counts[name])
		r.waiting = append(r.waiting, w)
	}
	r.slow = slow{run: r, queues: r.waiting[queueCount:], lanes: map[string]*waiting{}}
	if err := r.slow.load(ctx); err != nil {
		r.close()
		return nil, err
	}
	for _, w := range r.waiting { // what comes from one looks at all
		r.loops.Go(func() { w.consume(ctx) })
	}
	return r, nil
}

// close waits for the queues' ends. What is still at the webhook is answered for by the
// worker, which waits for it.
func (r *run) close() {
	r.loops.Wait()
	if r.breaker != nil {
		r.breaker.stop()
	}
}

// report shows operators how the webhook is. A webhook that is away is degraded and not down:
// the process is ready, since requests are answered and nothing is lost.
func (r *run) report(open bool, until time.Time, err error) {
	if !open {
		r.log.Info("the webhook takes posts again")
		r.metrics.up.Set(1)
		r.env.Monitor.Report(worker.DependsOnLink, "webhook", message.OK, "")
		return
	}
	r.metrics.up.Set(0)
	r.log.Warn("the webhook takes nothing; nothing is posted for a while", "until", until, "error", err)
	r.env.Monitor.Report(worker.DependsOnLink, "webhook", message.Degraded, fmt.Sprintf(
		"%v; what it is to get waits, and is posted once it answers: look at its program, and at GET /webhook for how much waits", err))
}

// Close ends what Run began, once nothing is handled any more.
func (a *Application) Close() error {
	if a.running == nil {
		return nil
	}
	return errors.Join(a.running.web.Close(), a.running.state.Close())
}
