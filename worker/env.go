package worker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/store"
)

// Dependencies are what a frame is given.
type Dependencies struct {
	Name    string // the worker's name in logs, metrics and dead letters
	Kind    string // one of the Kind constants
	Broker  broker.Broker
	State   store.State    // shared with the worker's replicas where it can be
	Record  store.Database // where messages are recorded; nil where there is no database
	Depths  Depths         // nil where nobody tells
	Logger  *slog.Logger
	Metrics *Metrics
	Monitor *Monitor // nil where nobody looks
	Pauses  *Pauses  // nil where nobody pauses queues
	Stack   Stack
	// Registerer takes further metrics and labels them with the worker
	// (NewRegisterer); nil where nobody reads them.
	Registerer prometheus.Registerer
	// Health and Now stand in for the transports' health and the time where
	// routes are tried without a fleet.
	Health Health
	Now    func() time.Time
	// HTTP stands in for the network where a conversation is tried; nil elsewhere.
	HTTP http.RoundTripper
}

// Depths says how many bodies each queue of the broker holds, by its name,
// unsettled ones included. AMQP does not tell that; RabbitMQ's management does.
type Depths func(ctx context.Context) (map[string]int64, error)

// The kinds of workers.
const (
	KindDispatcher  = "dispatcher"
	KindTransport   = "transport"
	KindApplication = "application"
	KindWorker      = "worker" // none of the others: it stands alone
)

// Health tells how the transports of a dispatcher are.
type Health interface {
	// Of is the health of the transport on a connector: the worst that its
	// components reported last, and OK while it has reported nothing. It does
	// not block.
	Of(connector string) message.Health
}

// Env is what a plugin (router, transport, application, middleware) may use.
//
// The life of a plugin: its class's New makes it with the defaults; the YAML is
// decoded over it; Validate() error, which is pure, checks its options (routers
// may also have Check, against the dispatcher's names); Provision(ctx, Env)
// error, called once before anything else, gives it its environment; then it is
// used; and Close() error, called once after its last use, or after a Provision
// that failed, ends what it began. All of these methods are optional. A worker
// that starts again after an error begins with a new plugin.
type Env struct {
	Name string // the worker's name
	Kind string // one of the Kind constants
	// Now is the time.
	Now func() time.Time
	// State is the plugin's own: keys of other plugins and other workers do not
	// clash with its keys. The replicas of a worker share it. Nil where there is
	// none.
	State store.State
	// People says who wants broadcasts; nil where there is no database.
	People store.People
	// Record is where messages are looked up and broadcasts stored; nil where there is no
	// database.
	Record Record
	// Health is how the dispatcher's transports are. A router that wants to know
	// calls it in Provision; the dispatcher then follows their status events.
	Health func() Health
	Logger *slog.Logger
	// Registerer takes the plugin's own metrics and labels them with the worker
	// (a middleware's with its name too). They go when the worker stops.
	Registerer prometheus.Registerer
	// Stopping is closed when the worker takes nothing new. What a transport has not begun to
	// send then returns context.Canceled, and its queue keeps it. Nil where there is none.
	Stopping <-chan struct{}
	// HTTP is what an application's HTTP client sends through; nil is the network.
	HTTP http.RoundTripper
	// Monitor shows to operators how things are that the plugin depends on. A
	// transport's statuses are reported to it already.
	Monitor *Monitor

	shared store.State
}

// Record is what plugins may do with the record of messages.
type Record interface {
	store.Finder
	store.Broadcasts
}

// Env is the environment of this worker's plugin.
func (d Dependencies) Env() Env {
	env := Env{
		Name: d.Name, Kind: d.Kind, Now: d.Now, People: d.Record, Record: d.Record, Logger: d.Logger, Registerer: d.Registerer, Monitor: d.Monitor, HTTP: d.HTTP,
		State: scopedState(d.State, "plugin/"+d.Name+"/"), shared: d.State,
	}
	if d.Health != nil {
		env.Health = func() Health { return d.Health }
	}
	return env
}

// Shared is state that all workers share which name the same scope.
func (e Env) Shared(scope string) store.State {
	if e.shared == nil {
		return SharedState(e.State, scope)
	}
	return SharedState(e.shared, scope)
}

// OptOutScope is where a list of the opt_out middleware is in the state that workers share:
// an entry for each address, which says why.
func OptOutScope(list string) string { return "opt_out/" + list }

// SharedState is the part of a state that Env.Shared gives to workers.
func SharedState(state store.State, scope string) store.State {
	return scopedState(state, "shared/"+scope+"/")
}

// Publishes says that the worker publishes the envelopes of a flow that pass its
// middleware; it consumes the others.
func (e Env) Publishes(flow message.Flow) bool {
	switch e.Kind {
	case KindTransport:
		return flow != message.Outbound
	case KindApplication:
		return flow == message.Outbound
	}
	return false
}

// layer is the environment of a middleware of this worker.
func (e Env) layer(name string) Env {
	if e.shared == nil {
		e.shared = e.State
	}
	e.State = scopedState(e.shared, "middleware/"+e.Name+"/"+name+"/")
	if e.Registerer != nil {
		e.Registerer = prometheus.WrapRegistererWith(prometheus.Labels{"middleware": name}, e.Registerer)
	}
	return e
}

// complete fills in what a test may leave out.
func (e Env) complete() Env {
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.Health == nil {
		e.Health = func() Health { return allHealthy{} }
	}
	if e.Logger == nil {
		e.Logger = slog.New(slog.DiscardHandler)
	}
	if e.Registerer == nil {
		e.Registerer = prometheus.NewRegistry()
	}
	return e
}

type allHealthy struct{}

func (allHealthy) Of(string) message.Health { return message.OK }

// Provisioner is the optional ability of a plugin to use its environment. An
// error marked message.Permanent is one that a restart cannot mend.
type Provisioner interface {
	Provision(ctx context.Context, env Env) error
}

// Provision gives a plugin its environment, if it wants one.
func Provision(ctx context.Context, plugin any, env Env) error {
	if p, wants := plugin.(Provisioner); wants {
		return p.Provision(ctx, env.complete())
	}
	return nil
}

// Close ends a plugin that has something to end.
func Close(plugin any) error {
	if c, has := plugin.(io.Closer); has {
		return c.Close()
	}
	return nil
}

// NewRegisterer registers metrics with the label worker. A collector that is
// registered twice, as by a plugin that replaces another, takes the place of the
// first. remove unregisters all of them.
func NewRegisterer(reg prometheus.Registerer, worker string) (labelled prometheus.Registerer, remove func()) {
	r := &registerer{Registerer: prometheus.WrapRegistererWith(prometheus.Labels{"worker": worker}, reg)}
	return r, r.remove
}

type registerer struct {
	prometheus.Registerer
	mu         sync.Mutex
	collectors []prometheus.Collector
}

func (r *registerer) Register(c prometheus.Collector) error {
	err := r.Registerer.Register(c)
	if _, there := errors.AsType[prometheus.AlreadyRegisteredError](err); there {
		r.Unregister(c)
		err = r.Registerer.Register(c)
	}
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.collectors = append(r.collectors, c)
	}
	return err
}

func (r *registerer) MustRegister(collectors ...prometheus.Collector) {
	for _, c := range collectors {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

func (r *registerer) remove() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.collectors {
		r.Unregister(c)
	}
}
