package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/broker"
	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/store"
	"switchboard/worker"
)

// Process runs workers until it is told to stop.
type Process struct {
	Classes  Classes
	Broker   broker.Broker
	State    store.State
	Record   store.Database // nil where the state is in memory only
	Depths   worker.Depths  // nil where RabbitMQ's management is not known
	Logger   *slog.Logger
	Registry *prometheus.Registry
	Version  string
	// Paths are the files and directories the workers come from, to be read
	// again by Reload; nil where they come from elsewhere.
	Paths []string

	metrics *worker.Metrics
	config  *configMetrics
	mu      sync.Mutex
	workers []*running
	loaded  loaded
	asked   chan request
}

// running is a worker of the process and how it fares.
type running struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended for good
	err    error         // why, once done is closed
	// patient: it was started by a reload, and must not take the others down
	// with it.
	patient bool
	queues  atomic.Int64 // being consumed

	// Guarded by Process.mu.
	def      *Definition
	worker   worker.Worker // of the present attempt
	since    time.Time
	restarts int
	up       bool
	lastErr  error
}

// How long a worker that failed waits before it starts again.
const (
	restartDelayMin = time.Second
	restartDelayMax = time.Minute
	// restartReset is how long a worker must have run for its delay to begin
	// anew.
	restartReset = 5 * time.Minute
)

// Run runs the workers until ctx ends. One that fails starts again after a
// while, and the others go on; an error that no restart can mend (a port in
// use, a queue with other arguments) stops them all and is returned.
func (p *Process) Run(ctx context.Context, defs []*Definition) error {
	p.metrics = worker.NewMetrics(p.Registry)
	p.registerInfo(defs)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{}, 1)
	for _, def := range defs {
		p.start(ctx, hire(def), ended)
	}
	for p.living() > 0 {
		select {
		case <-ended:
		case <-ctx.Done():
			return p.await()
		case r := <-p.requests():
			r.done <- p.reload(ctx, r, ended)
		}
		if p.failure() != nil {
			stop()
		}
	}
	return p.failure()
}

func hire(def *Definition) *running {
	return &running{def: def, since: time.Now(), done: make(chan struct{})}
}

// start runs a worker; a token is in ended when it has ended for good.
func (p *Process) start(ctx context.Context, r *running, ended chan<- struct{}) {
	ctx, r.cancel = context.WithCancel(ctx)
	p.mu.Lock()
	p.workers = append(p.workers, r)
	p.mu.Unlock()
	go func() {
		defer r.cancel()
		r.err = p.supervise(ctx, r)
		close(r.done)
		select {
		case ended <- struct{}{}:
		default:
		}
	}()
}

// living counts the workers that have not ended for good.
func (p *Process) living() (n int) {
	for _, r := range p.crew() {
		select {
		case <-r.done:
		default:
			n++
		}
	}
	return n
}

// failure joins the errors of the workers that have ended for good.
func (p *Process) failure() error {
	var errs []error
	for _, r := range p.crew() {
		select {
		case <-r.done:
			errs = append(errs, r.err)
		default:
		}
	}
	return errors.Join(errs...)
}

func (p *Process) await() error {
	for _, r := range p.crew() {
		<-r.done
	}
	return p.failure()
}

func (p *Process) crew() []*running {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.workers)
}

func (p *Process) supervise(ctx context.Context, r *running) error {
	restart := backoff.Backoff{Min: restartDelayMin, Max: restartDelayMax}
	for {
		began := time.Now()
		def := p.definition(r)
		err := p.runOnce(ctx, r, def)
		p.note(r, err)
		switch {
		case err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled):
			return nil // told to stop, maybe before it was all there
		case ctx.Err() != nil || hopeless(err) && !r.patient:
			return fmt.Errorf("worker %s (%s): %w", def.Name, def.Path, err)
		case time.Since(began) > restartReset:
			restart.Reset()
		}
		wait := restart.Next()
		p.Logger.Error("worker failed; starting it again", "worker", def.Name, "file", def.Path, "error", err, "in", wait)
		if !backoff.Sleep(ctx, wait) {
			return nil
		}
		if err := p.renew(r); err != nil {
			return err
		}
	}
}

func (p *Process) definition(r *running) *Definition {
	p.mu.Lock()
	defer p.mu.Unlock()
	return r.def
}

// renew makes the definition anew for another attempt: a plugin that failed is
// not used again.
func (p *Process) renew(r *running) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	def, err := p.Classes.Define(r.def.doc)
	if err != nil {
		return err
	}
	r.def = def
	return nil
}

// hopeless: starting again would fail the same way.
func hopeless(err error) bool {
	return message.IsPermanent(err) || errors.Is(err, broker.ErrQueueMismatch) || errors.Is(err, broker.ErrClosed)
}

func (p *Process) runOnce(ctx context.Context, r *running, def *Definition) error {
	registerer, unregister := worker.NewRegisterer(p.Registry, def.Name)
	defer unregister()
	env := worker.Dependencies{
		Name: def.Name, Kind: def.Kind, Broker: attended{p.Broker, &r.queues}, State: p.State, Record: p.Record, Depths: p.Depths, Metrics: p.metrics,
		Logger:     p.Logger.With("worker", def.Name),
		Stack:      worker.NewStack(def.layers...),
		Registerer: registerer,
	}
	w, err := def.build(env)
	if err != nil {
		return err
	}
	for _, warning := range def.Warnings {
		p.Logger.Warn(warning)
	}
	p.Logger.Info("worker starts", "worker", def.Name, "kind", def.Kind, "class", def.Class, "file", def.Path)
	if !p.install(r, def, w) {
		return p.runOnce(ctx, r, p.definition(r))
	}
	return worker.Protect(func() error { return w.Run(ctx) })
}

// install makes w the running worker; false when a reload has replaced the
// definition it was made of meanwhile.
func (p *Process) install(r *running, def *Definition, w worker.Worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.def != def {
		return false
	}
	r.worker, r.up, r.since = w, true, time.Now()
	return true
}

// note notes that a worker is down, and why.
func (p *Process) note(r *running, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		r.restarts++
		r.lastErr = err
	}
	r.up = false
}
