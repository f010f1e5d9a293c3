package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/store"
	"switchboard/worker"
)

// Process runs workers until it is told to stop.
type Process struct {
	Classes  Classes
	Broker   broker.Broker
	State    store.State
	Logger   *slog.Logger
	Registry *prometheus.Registry
	Version  string

	metrics *worker.Metrics
	mu      sync.Mutex
	workers []*running
}

// running is a worker of the process and how it fares.
type running struct {
	def      *Definition
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
	var group sync.WaitGroup
	errs := make([]error, len(defs))
	for i, def := range defs {
		r := &running{def: def, since: time.Now()}
		p.mu.Lock()
		p.workers = append(p.workers, r)
		p.mu.Unlock()
		group.Go(func() {
			if errs[i] = p.supervise(ctx, r); errs[i] != nil {
				stop()
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

func (p *Process) supervise(ctx context.Context, r *running) error {
	delay := restartDelayMin
	for {
		began := time.Now()
		err := p.runOnce(ctx, r)
		p.note(r, false, err)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil || hopeless(err):
			return fmt.Errorf("worker %s (%s): %w", r.def.Name, r.def.Path, err)
		case time.Since(began) > restartReset:
			delay = restartDelayMin
		}
		wait := delay/2 + rand.N(delay/2+1)
		p.Logger.Error("worker failed; starting it again", "worker", r.def.Name, "file", r.def.Path, "error", err, "in", wait)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		delay = min(2*delay, restartDelayMax)
		if r.def, err = p.Classes.Define(r.def.doc); err != nil {
			return err
		}
	}
}

// hopeless: starting again would fail the same way.
func hopeless(err error) bool {
	return message.IsPermanent(err) || errors.Is(err, broker.ErrQueueMismatch) || errors.Is(err, broker.ErrClosed)
}

func (p *Process) runOnce(ctx context.Context, r *running) error {
	def := r.def
	env := worker.Env{
		Name: def.Name, Kind: def.Kind, Broker: p.Broker, State: p.State, Metrics: p.metrics,
		Logger: p.Logger.With("worker", def.Name),
		Stack:  worker.NewStack(def.layers...),
	}
	if err := env.Stack.Bind(ctx, env.Tools()); err != nil {
		return err
	}
	w, err := def.build(env)
	if err != nil {
		return err
	}
	for _, warning := range def.Warnings {
		p.Logger.Warn(warning)
	}
	p.Logger.Info("worker starts", "worker", def.Name, "kind", def.Kind, "class", def.Class, "file", def.Path)
	p.note(r, true, nil)
	return worker.Protect(func() error { return w.Run(ctx) })
}

func (p *Process) note(r *running, up bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if up {
		r.since = time.Now()
	}
	if err != nil {
		r.restarts++
		r.lastErr = err
	}
	r.up = up
}

func (p *Process) registerInfo(defs []*Definition) {
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "switchboard_build_info", Help: "The version of this program; always 1.",
	}, []string{"version"})
	build.WithLabelValues(p.Version).Set(1)
	hash := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "switchboard_config_info", Help: "The configuration each worker runs with, by the hash of its text; always 1.",
	}, []string{"worker", "file", "hash"})
	for _, d := range defs {
		hash.WithLabelValues(d.Name, d.Path, d.doc.Hash()).Set(1)
	}
	p.Registry.MustRegister(build, hash)
}
