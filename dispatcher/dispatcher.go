package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"switchboard/config"
	"switchboard/message"
	"switchboard/worker"
)

// Options are a dispatcher's own options, at the top level of its file beside
// its router's.
type Options struct {
	worker.Settings `yaml:",inline"`
	// Transports are the connectors of transports.
	Transports config.Names `yaml:"transport_names"`
	// Exposed are the connectors applications attach to.
	Exposed config.Names `yaml:"exposed_names"`
	// MaxHops is how many dispatchers a message may pass before it is taken
	// for one that runs in a circle and set aside.
	MaxHops int `yaml:"max_hops"`
}

// The defaults of a dispatcher. A large prefetch keeps its pipeline full; it is
// also the most that a killed dispatcher repeats.
const (
	defaultPrefetch = 1000
	defaultMaxHops  = 16
)

// DefaultOptions are the options of a dispatcher whose file names none.
func DefaultOptions() Options {
	o := Options{Settings: worker.DefaultSettings(), MaxHops: defaultMaxHops}
	o.Prefetch = defaultPrefetch
	return o
}

// Names are the dispatcher's connectors.
func (o *Options) Names() Names { return Names{Transports: o.Transports, Exposed: o.Exposed} }

// Validate checks the options.
func (o *Options) Validate() error {
	errs := []error{o.Settings.Validate()}
	if o.MaxHops < 1 {
		errs = append(errs, config.Fieldf("max_hops", "must be at least 1"))
	}
	errs = append(errs, checkNames("transport_names", o.Transports), checkNames("exposed_names", o.Exposed))
	for _, name := range o.Exposed {
		if slices.Contains(o.Transports, name) {
			errs = append(errs, config.Field(fmt.Errorf("%s is one of transport_names too", name), "exposed_names", name))
		}
	}
	return errors.Join(errs...)
}

func checkNames(key string, names []string) error {
	var errs []error
	if len(names) == 0 {
		errs = append(errs, config.Fieldf(key, "is missing; a dispatcher needs at least one name"))
	}
	for i, name := range names {
		if err := worker.CheckConnector(name); err != nil {
			errs = append(errs, config.Field(err, key, name))
		}
		if slices.Contains(names[:i], name) {
			errs = append(errs, config.Field(fmt.Errorf("%s is there twice", name), key, name))
		}
	}
	return errors.Join(errs...)
}

// Dispatcher is a running dispatcher.
type Dispatcher struct {
	core worker.Core
	plan atomic.Pointer[plan]
}

// plan is what one configuration says; a reload swaps the whole of it.
type plan struct {
	options Options
	router  Router
}

// New makes a dispatcher that routes by router.
func New(env worker.Env, options Options, router Router) *Dispatcher {
	d := &Dispatcher{core: worker.Core{Env: env, Settings: options.Settings}}
	d.plan.Store(&plan{options: options, router: router})
	return d
}

// Run routes until ctx ends.
func (d *Dispatcher) Run(ctx context.Context) error {
	p := d.plan.Load()
	if err := worker.Bind(ctx, p.router, d.core.Tools()); err != nil {
		return fmt.Errorf("starting router: %w", err)
	}
	if err := d.declare(ctx, p.options); err != nil {
		return err
	}
	var sources []worker.Source
	for _, name := range p.options.Transports {
		sources = append(sources, d.source(name, message.Inbound), d.source(name, message.EventFlow))
	}
	for _, name := range p.options.Exposed {
		sources = append(sources, d.source(name, message.Outbound))
	}
	return d.core.Serve(ctx, sources...)
}

// declare makes the queues exist that the dispatcher publishes to, so that it
// does not matter who starts first.
func (d *Dispatcher) declare(ctx context.Context, o Options) error {
	for _, name := range o.Transports {
		if err := d.core.Declare(ctx, name, message.Outbound); err != nil {
			return err
		}
	}
	for _, name := range o.Exposed {
		for _, flow := range [...]message.Flow{message.Inbound, message.EventFlow} {
			if err := d.core.Declare(ctx, name, flow); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Dispatcher) source(connector string, flow message.Flow) worker.Source {
	s := worker.Source{Connector: connector, Flow: flow, Handle: d.handle}
	if flow == message.Outbound {
		s.Failed = d.nack
	}
	return s
}

// handle decides, publishes without waiting, and is done with the item when
// the broker has confirmed every copy.
func (d *Dispatcher) handle(ctx context.Context, item *worker.Item) {
	var targets []Target
	err := worker.Protect(func() (err error) {
		targets, err = d.decide(ctx, item.Envelope)
		return err
	})
	if err != nil {
		item.Done(err)
		return
	}
	done := gather(len(targets), item.Done)
	for _, t := range targets {
		d.core.PublishAsync(ctx, t.Envelope, done)
	}
}

// decide returns targets that each have an envelope of their own, stamped and
// addressed.
func (d *Dispatcher) decide(ctx context.Context, e *message.Envelope) ([]Target, error) {
	p := d.plan.Load()
	from := e.Connector
	if hops := countHop(e.Routing()); hops > p.options.MaxHops {
		return nil, message.Permanent(fmt.Errorf("%s passed more than max_hops=%d dispatchers; look for a circle of routes", e, p.options.MaxHops))
	}
	targets, err := p.targets(ctx, e)
	if err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return nil, message.Permanent(fmt.Errorf("the router has no target for %s from %s", e, from))
	}
	for i := range targets {
		p.address(&targets[i], e, from, len(targets) > 1)
	}
	return targets, nil
}

// targets asks the stamp of an event first, and the router for all else.
func (p *plan) targets(ctx context.Context, e *message.Envelope) ([]Target, error) {
	if e.Flow == message.EventFlow {
		if name := popPath(e.Routing(), p.exposes); name != "" {
			return To(name), nil
		}
	}
	return p.router.Route(ctx, *e)
}

func (p *plan) exposes(name string) bool { return slices.Contains(p.options.Exposed, name) }

// address gives a target its envelope: the router's copy or one of its own;
// only several targets need copies of what is inside.
func (p *plan) address(t *Target, e *message.Envelope, from string, shared bool) {
	switch {
	case t.Envelope != nil:
	case shared:
		t.Envelope = e.Clone()
	default:
		own := *e
		t.Envelope = &own
	}
	if t.Flow != "" {
		t.Envelope.Flow = t.Flow
	}
	t.Envelope.Connector = t.Connector
	if e.Flow == message.Outbound && t.Envelope.Flow == message.Outbound && p.exposes(from) {
		stampPath(t.Envelope.Routing(), from)
	}
}

// nack tells the application that its message goes nowhere.
func (d *Dispatcher) nack(ctx context.Context, item *worker.Item, reason error) error {
	if item.Message == nil {
		return nil
	}
	from := item.Envelope.Connector
	nack := message.NewNack(item.Message, reason.Error())
	popPath(&nack.RoutingMetadata, func(name string) bool { return name == from })
	return d.core.Publish(ctx, &message.Envelope{Flow: message.EventFlow, Connector: from, Event: nack})
}

// gather calls done once, with the first error, when n parts are done.
func gather(n int, done func(error)) func(error) {
	if n == 1 {
		return done
	}
	var left atomic.Int32
	var first atomic.Pointer[error]
	left.Store(int32(n))
	return func(err error) {
		if err != nil {
			first.CompareAndSwap(nil, &err)
		}
		if left.Add(-1) > 0 {
			return
		}
		if p := first.Load(); p != nil {
			done(*p)
			return
		}
		done(nil)
	}
}
