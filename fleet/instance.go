package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"switchboard/broker"
	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/worker"
)

// instance is a worker of the process, over all its restarts.
type instance struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended for good
	err    error         // why, once done is closed
	// alone: a reload has started it, or it ran well, and must not stop the others when it
	// cannot run.
	alone   bool
	queues  atomic.Int64 // being consumed
	monitor *worker.Monitor

	// Guarded by Process.mu.
	def      *Definition
	worker   worker.Worker // of the present attempt
	since    time.Time
	restarts int
	up       bool
	lastErr  error
}

func newInstance(def *Definition) *instance {
	return &instance{def: def, since: time.Now(), done: make(chan struct{})}
}

func (i *instance) ended() bool {
	select {
	case <-i.done:
		return true
	default:
		return false
	}
}

// How long a worker that failed waits before it starts again.
const (
	restartDelayMin = time.Second
	restartDelayMax = time.Minute
	// restartReset is how long a worker must have run for its delay to begin
	// anew.
	restartReset = 5 * time.Minute
	// ranWell is how long a worker must have run for a queue that does not match to be
	// its own trouble: somebody has declared the queue anew.
	ranWell = 10 * time.Second
)

// supervise runs a worker, and starts it again when it fails.
func (p *Process) supervise(ctx context.Context, i *instance) error {
	restart := backoff.Backoff{Min: restartDelayMin, Max: restartDelayMax}
	for {
		began := time.Now()
		def := p.definition(i)
		err := p.runOnce(ctx, i, def)
		p.noteEnd(i, err)
		i.alone = i.alone || errors.Is(err, broker.ErrQueueMismatch) && time.Since(began) > ranWell
		switch {
		case err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled):
			return nil // told to stop, maybe before it had started
		case ctx.Err() != nil || isFatal(err) && !i.alone:
			return fmt.Errorf("worker %s (%s): %w", def.Name, def.Path, err)
		case time.Since(began) > restartReset:
			restart.Reset()
		}
		wait := restart.Next()
		p.Logger.Error("worker failed; starting it again", "worker", def.Name, "file", def.Path, "error", err, "in", wait)
		if !backoff.Sleep(ctx, wait) {
			return nil
		}
		if err := p.rebuild(i); err != nil {
			return err
		}
	}
}

// rebuild makes the definition anew for another attempt: a plugin that failed is
// not used again.
func (p *Process) rebuild(i *instance) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	def, err := p.Classes.Define(i.def.doc)
	if err != nil {
		return err
	}
	i.def = def
	return nil
}

// isFatal: starting again would fail the same way.
func isFatal(err error) bool {
	return message.IsPermanent(err) || errors.Is(err, broker.ErrQueueMismatch) || errors.Is(err, broker.ErrClosed)
}

func (p *Process) runOnce(ctx context.Context, i *instance, def *Definition) error {
	registerer, unregister := worker.NewRegisterer(p.Registry, def.Name)
	defer unregister()
	w, err := def.build(worker.Dependencies{
		Name: def.Name, Kind: def.Kind, Broker: countingBroker{p.Broker, &i.queues},
		State: worker.MonitoredState(p.State, i.monitor), Record: p.Record, Depths: p.Depths,
		Metrics: p.metrics, Monitor: i.monitor, Pauses: p.pauses, Logger: p.Logger.With("worker", def.Name),
		Stack: worker.NewStack(def.layers...), Registerer: registerer,
	})
	if err != nil {
		return err
	}
	for _, warning := range def.Warnings {
		p.Logger.Warn(warning)
	}
	p.Logger.Info("worker starts", "worker", def.Name, "kind", def.Kind, "class", def.Class, "file", def.Path)
	if !p.install(i, def, w) {
		return p.runOnce(ctx, i, p.definition(i))
	}
	return worker.Protect(func() error { return w.Run(ctx) })
}

// install makes w the running worker; false when a reload has replaced the
// definition it was made of meanwhile.
func (p *Process) install(i *instance, def *Definition, w worker.Worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i.def != def {
		return false
	}
	i.worker, i.up, i.since = w, true, time.Now()
	return true
}

// noteEnd notes that a worker is down, and why.
func (p *Process) noteEnd(i *instance, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		i.restarts++
		i.lastErr = err
	}
	i.up = false
}
