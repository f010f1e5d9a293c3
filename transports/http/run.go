package http

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	nethttp "net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"switchboard/internal/backoff"
	"switchboard/internal/listen"
	"switchboard/internal/msisdn"
	"switchboard/message"
	"switchboard/store"
	"switchboard/transports"
	"switchboard/worker"
)

// run is one run of a transport.
type run struct {
	transport *Transport
	channel   *channel
	publisher transports.Publisher
	logger    *slog.Logger
	metrics   *metrics
	client    *nethttp.Client
	line      *line
	memory    *memory
	log       *channelLog
	shelf     shelf
	replies   replies
	numbers   *msisdn.Numbers
	complain  rate.Sometimes // about what comes from outside
	sends     sync.RWMutex   // held for reading while something is sent
	slots     chan struct{}  // one for each request that is under way
	statuses  *transports.Statuses

	mu   sync.Mutex
	down bool // the provider was out of reach
}

const (
	// complainEvery is how often the log tells of rejected requests; all are counted.
	complainEvery = 10 * time.Second
	stopGrace     = 3 * time.Second
)

// Run answers requests, or asks for messages, until ctx ends.
func (t *Transport) Run(ctx context.Context, publisher transports.Publisher) error {
	if t.env.State == nil {
		return message.Permanent(errors.New("starting the channel: Provision was not called"))
	}
	r, err := newRun(t, publisher)
	if err != nil {
		return message.Permanent(err)
	}
	defer r.close()
	return r.run(ctx)
}

func newRun(t *Transport, publisher transports.Publisher) (*run, error) {
	client, err := t.client()
	if err != nil {
		return nil, err
	}
	r := &run{
		transport: t, channel: t.compiled, publisher: publisher, logger: t.logger, metrics: t.metrics, client: client,
		memory:  &memory{state: store.NewBatcher(t.env.State, store.BatchSettings{}), options: t, unreported: make(chan struct{}, 1)},
		numbers: msisdn.NewNumbers(""), shelf: newShelf(t.env.Stopping), replies: replies{stopping: t.env.Stopping}, log: newChannelLog(t),
		slots:    make(chan struct{}, t.MaxInFlight),
		complain: rate.Sometimes{First: 1, Interval: complainEvery}, statuses: transports.NewStatuses(publisher, t.logger),
	}
	r.line = newLine(t.rate(), t.env.Monitor.Pace, t.env.Stopping, r.status)
	return r, nil
}

func (r *run) close() {
	r.client.CloseIdleConnections()
	r.log.close()
	_ = r.memory.state.Close() // nothing waits in it any more
}

func (r *run) run(ctx context.Context) error {
	work, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	r.memory.deliveries = transports.NewDeliveries(work, r.memory.state, r.transport.RememberReceived.Std(), r.logger)
	defer r.memory.deliveries.Wait()
	defer giveUp()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { r.statuses.Run(ctx); return nil })
	group.Go(func() error { r.log.run(ctx); return nil })
	group.Go(func() error { r.reportEarly(ctx); return nil })
	if r.transport.WebPort != nil {
		listener, err := r.transport.port.Open(ctx, r.transport.Listens()[0], "web_port")
		if err != nil {
			group.Go(func() error { return message.Permanent(err) }) // ends the others
			return group.Wait()
		}
		defer r.transport.port.Forget()
		group.Go(func() error { return r.serve(ctx, listener) })
	}
	if r.transport.Poll {
		for i, p := range r.channel.polls {
			group.Go(func() error { r.poll(ctx, p, i); return nil })
		}
	}
	if r.channel.joinsParts() {
		group.Go(func() error { r.flushParts(ctx); return nil })
	}
	r.status(message.OK, "started", "The channel is ready.")
	r.transport.current.Set(r)
	group.Go(func() error { <-ctx.Done(); return nil })
	err := group.Wait()
	r.transport.current.Clear()
	r.sends.Lock() // until nothing is sent any more
	defer r.sends.Unlock()
	return err
}

// serve answers requests until ctx ends, and lets those finish that are being
// answered.
func (r *run) serve(ctx context.Context, listener net.Listener) error {
	r.logger.Info("listening for the provider", "url", "http://"+listener.Addr().String()+r.transport.WebPath)
	server := listen.HTTPServer(r)
	server.Handler = knownAs(r.transport.PublicURL, server.Handler)
	server.ReadTimeout = r.transport.readTimeout
	return listen.Serve(ctx, server, listen.Limited(listener), r.transport.stopGrace, r.logger)
}

const readTimeout = 30 * time.Second

// status tells how the channel is, without waiting for the broker.
func (r *run) status(health message.Health, kind, text string) {
	r.statuses.Tell("provider", health, kind, r.transport.mask.text(text))
}

// unreachable says once that the provider cannot be reached, reachable that it
// can be again.
func (r *run) unreachable(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.down {
		r.down = true
		r.status(message.Down, "unreachable", "The provider cannot be reached: "+err.Error())
	}
}

func (r *run) reachable() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		r.down = false
		r.status(message.OK, "reachable", "The provider can be reached again.")
	}
}

// reportEarly reports the early receipts that could not be, until all are, whenever
// there are some.
func (r *run) reportEarly(ctx context.Context) {
	retry := backoff.Backoff{Min: publishRetryMin, Max: publishRetryMax}
	for {
		if err := r.memory.reportEarly(ctx, r.report); err != nil && ctx.Err() == nil {
			r.logger.Warn("reporting receipts that came early failed; trying again", "error", err)
			if retry.Wait(ctx) {
				continue
			}
		}
		retry.Reset()
		select {
		case <-r.memory.unreported:
		case <-ctx.Done():
			return
		}
	}
}

// report publishes a receipt as a delivery report.
func (r *run) report(ctx context.Context, sent sentMessage, found *receipt) error {
	about := sent.message()
	e := message.NewDeliveryReport(about, found.Status)
	e.ID = hashed(attemptID(about), string(found.Status), found.Word, found.Code)
	meta := &e.TransportMetadata
	meta.Set("provider_status", found.Word)
	if found.ID != "" {
		meta.Set("provider_message_id", found.ID)
	}
	if sent.Parts > 1 {
		meta.Set("part", sent.Part)
		meta.Set("parts", sent.Parts)
	}
	if !found.Time.IsZero() {
		meta.Set("provider_time", message.FormatTime(found.Time))
	}
	if found.Status == message.Failed {
		e.SetExtra("failure_code", cmp.Or(found.Code, found.Word))
		e.SetExtra("failure_reason", found.Reason)
		if found.Class == Blocked {
			r.optOut(ctx, sent.To)
		}
	}
	r.metrics.receipt(r.transport.TransportName, string(found.Status))
	return r.publisher.Event(ctx, e)
}

// optOut notes that a person wants no messages, where anybody keeps a list.
func (r *run) optOut(ctx context.Context, address string) {
	if address == "" {
		return
	}
	var err error
	if people := r.transport.env.People; people != nil {
		err = people.OptOut(ctx, store.Address{Backend: r.transport.TransportName, Identity: address}, true)
	}
	if list := r.transport.OptOutList; list != "" {
		entry := store.Entry{Key: r.numbers.Normal(address), Value: "provider"}
		err = errors.Join(err, r.transport.env.Shared(worker.OptOutScope(list)).Set(ctx, entry))
	}
	if err != nil {
		r.logger.Warn("noting that a person opted out failed; messages to them go on being refused by the provider", "error", err)
	}
}

// reject counts a request that is not taken, and logs some.
func (r *run) reject(reason string, args ...any) {
	r.metrics.reject(r.transport.TransportName, reason)
	r.complain.Do(func() {
		r.logger.Warn("a request was rejected; /metrics counts all of them", append([]any{"reason", reason}, args...)...)
	})
}
