package fleet

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/store"
	"switchboard/worker"
)

// Process runs workers until it is told to stop.
type Process struct {
	Classes Classes
	Broker  broker.Broker
	State   store.State
	Record  store.Database // nil where the state is in memory only
	Depths  worker.Depths  // nil where RabbitMQ's management is not known
	// Lossy says of which queues RabbitMQ drops bodies, and why; nil where its
	// management is not known.
	Lossy    func(context.Context) (map[string]string, error)
	Logger   *slog.Logger
	Registry *prometheus.Registry
	Version  string
	// Paths are the files and directories the workers come from, to be read
	// again by Reload; nil where they come from elsewhere.
	Paths []string

	// BrokerName and StateName say which broker and which state store these are,
	// without passwords.
	BrokerName, StateName string

	metrics *worker.Metrics
	config  *configMetrics
	pauses  *worker.Pauses

	mu       sync.Mutex
	workers  []*instance
	stopping bool   // Run's context has ended, or Drain was called
	halt     func() // ends what Run runs; nil before it
	loaded   loaded
	lossy    map[string]string // why RabbitMQ drops bodies of a queue
	asked    chan request
}

// Run runs the workers until ctx ends or Drain is called. One that fails starts again
// after a while, and the others go on; an error that no restart can mend (a port in use, a
// queue with other arguments) stops them all and is returned.
func (p *Process) Run(ctx context.Context, defs []*Definition) error {
	p.metrics = worker.NewMetrics(p.Registry)
	p.registerInfo(defs)
	p.logStart(defs)
	told := ctx
	ctx, stop := context.WithCancel(context.WithoutCancel(told))
	defer stop()
	pauses := worker.FollowPauses(ctx, p.State, p.Logger)
	p.mu.Lock()
	p.pauses, p.halt = pauses, stop
	if p.stopping {
		stop()
	}
	p.mu.Unlock()
	defer context.AfterFunc(told, p.Drain)()
	p.Registry.MustRegister(pauseCollector{p})
	ended := make(chan struct{}, 1)
	for _, def := range defs {
		p.start(ctx, newInstance(def), ended)
	}
	go p.watchLossy(ctx)
	for p.living() > 0 {
		select {
		case <-ended:
		case <-ctx.Done():
			return p.await()
		case r := <-p.requests():
			r.done <- p.reload(ctx, r, ended)
		}
		if p.failure() != nil {
			p.Drain()
		}
	}
	return p.failure()
}

// Drain ends Run as the end of its context does: /readyz says so first, then nothing more
// is received, and what is in flight is finished.
func (p *Process) Drain() {
	if halt := p.announceStop(); halt != nil {
		halt()
	}
}

// announceStop has /readyz say that the process stops. It does once halt is called.
func (p *Process) announceStop() (halt func()) {
	p.mu.Lock()
	first := !p.stopping
	p.stopping, halt = true, p.halt
	p.mu.Unlock()
	if first {
		p.Logger.Info("stopping: nothing more is received, what is in flight is finished", "in_flight", p.held())
	}
	return halt
}

// logStart says what the process stands on, and what it will forget.
func (p *Process) logStart(defs []*Definition) {
	p.Logger.Info("starting", "version", p.Version, "workers", len(defs), "broker", p.BrokerName, "state", p.StateName)
	durable := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "switchboard_state_durable", Help: "Whether what workers remember outlives the process: 1 or 0.",
	})
	p.Registry.MustRegister(durable)
	if p.Record != nil {
		durable.Set(1)
	}
	if warning := p.stateWarning(); warning != "" {
		p.Logger.Warn(warning)
	}
}

// stateWarning warns where workers remember what a restart forgets. A process
// with a broker of its own forgets its queues as well.
func (p *Process) stateWarning() string {
	if _, embedded := p.Broker.(*memory.Broker); embedded || p.Record != nil {
		return ""
	}
	return "there is no database: delivery reports, duplicates, sessions and opt-outs that workers remember are forgotten " +
		"when this process ends, and its replicas do not share them; set DATABASE_URL"
}

// held is how many bodies the workers hold.
func (p *Process) held() (n int64) {
	for _, i := range p.instances() {
		for _, held := range i.monitor.Held() {
			n += held
		}
	}
	return n
}

// start runs a worker; a token is in ended when it has ended for good.
func (p *Process) start(ctx context.Context, i *instance, ended chan<- struct{}) {
	ctx, i.cancel = context.WithCancel(ctx)
	i.monitor = worker.NewMonitor(i.def.Name, p.metrics)
	p.mu.Lock()
	p.workers = append(p.workers, i)
	p.mu.Unlock()
	go func() {
		defer i.cancel()
		i.err = p.supervise(ctx, i)
		i.monitor.Close()
		close(i.done)
		select {
		case ended <- struct{}{}:
		default:
		}
	}()
}

// living counts the workers that have not ended for good.
func (p *Process) living() (n int) {
	for _, i := range p.instances() {
		if !i.ended() {
			n++
		}
	}
	return n
}

// failure joins the errors of the workers that have ended for good.
func (p *Process) failure() error {
	var errs []error
	for _, i := range p.instances() {
		if i.ended() {
			errs = append(errs, i.err)
		}
	}
	return errors.Join(errs...)
}

// await waits until all workers have stopped.
func (p *Process) await() error {
	began := time.Now()
	for _, i := range p.instances() {
		<-i.done
	}
	err := p.failure()
	if errors.Is(err, worker.ErrStopTimeout) {
		abandonBroker(p.Broker) // stop_timeout was the last word: nothing more is waited for
	}
	if err != nil {
		p.Logger.Error("stopped", "took", time.Since(began), "error", err)
	} else {
		p.Logger.Info("stopped", "took", time.Since(began))
	}
	return err
}

func (p *Process) instances() []*instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.workers)
}

func (p *Process) definition(i *instance) *Definition {
	p.mu.Lock()
	defer p.mu.Unlock()
	return i.def
}
