package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
)

// Options are a dispatcher's own options, at the top level of its file beside
// its router's.
type Options struct {
	worker.Settings `yaml:",inline"`
	// Transports are the connectors of transports.
	Transports options.Names `yaml:"transport_names"`
	// Exposed are the connectors applications attach to.
	Exposed options.Names `yaml:"exposed_names"`
	// ReceiveInbound is another word for transport_names, as Vumi's endpoint
	// dispatchers have it.
	ReceiveInbound options.Names `yaml:"receive_inbound_connectors"`
	// ReceiveOutbound is another word for exposed_names, as Vumi's endpoint
	// dispatchers have it.
	ReceiveOutbound options.Names `yaml:"receive_outbound_connectors"`
	// MaxHops is how many dispatchers a message may pass before it is taken
	// for one that runs in a circle and set aside.
	MaxHops int `yaml:"max_hops"`
	// RememberOutbound keeps, in the state store, where each outbound message
	// came from, so that its events find back. Switchboard's own transports
	// carry that with the message; switch it off where there are no others.
	RememberOutbound bool `yaml:"remember_outbound"`
	// ExpireRoutingMemory is how long it is kept. Default 604800 s, seven days.
	ExpireRoutingMemory options.Duration `yaml:"expire_routing_memory"`
	// NoRouteReply is what a person with a session open (USSD) is told whose
	// message no route takes; it ends the session. Default none: the message is
	// dead-lettered. Example: This service is not available.
	NoRouteReply string `yaml:"no_route_reply"`
	// EventsWithoutSender is where acks, nacks and delivery reports go that
	// neither the message, the memory nor a route assigns to an application, as
	// after a cutover: dead_letter, all (every exposed name gets a copy), or one
	// exposed name.
	EventsWithoutSender string `yaml:"events_without_sender"`
}

// The defaults of a dispatcher. A large prefetch keeps its pipeline full; it is
// also the most that a killed dispatcher repeats, and what its memory grows with,
// so many queues share it.
const (
	sharedPrefetch = 500
	leastPrefetch  = 10
	defaultMaxHops = 16
	defaultMemory  = 7 * 24 * time.Hour
)

// prefetch is the dispatcher's choice for each of its queues. Events come on
// queues of their own but are few: they do not count.
func (n Names) prefetch() int {
	return max(leastPrefetch, sharedPrefetch/(len(n.Transports)+len(n.Exposed)-1))
}

// DefaultOptions are the options of a dispatcher whose file names none.
func DefaultOptions() Options {
	return Options{
		Settings: worker.DefaultSettings(), MaxHops: defaultMaxHops,
		RememberOutbound: true, ExpireRoutingMemory: options.Duration(defaultMemory),
		EventsWithoutSender: deadLetterEvents,
	}
}

// Names are the dispatcher's connectors, in whichever words they are given.
func (o *Options) Names() Names {
	return Names{
		Transports: slices.Concat(o.Transports, o.ReceiveInbound),
		Exposed:    slices.Concat(o.Exposed, o.ReceiveOutbound),
	}
}

// Validate checks the options.
func (o *Options) Validate() error {
	errs := []error{o.Settings.Validate()}
	if o.MaxHops < 1 {
		errs = append(errs, options.Fieldf("max_hops", "must be at least 1"))
	}
	if o.RememberOutbound && o.ExpireRoutingMemory.Std() < time.Second {
		errs = append(errs, options.Fieldf("expire_routing_memory", "must be at least 1s"))
	}
	transports, err := eitherOf("transport_names", o.Transports, "receive_inbound_connectors", o.ReceiveInbound)
	errs = append(errs, err)
	exposed, err := eitherOf("exposed_names", o.Exposed, "receive_outbound_connectors", o.ReceiveOutbound)
	errs = append(errs, err)
	names := o.Names()
	errs = append(errs, o.checkUnrouted(names.Exposed))
	if len(names.Transports) == 0 {
		errs = append(errs, options.Fieldf(transports, "is missing; a dispatcher needs at least one transport"))
	}
	for _, name := range names.Exposed {
		if slices.Contains(names.Transports, name) {
			errs = append(errs, options.Field(fmt.Errorf("%s is one of %s too", name, transports), exposed, name))
		}
	}
	return errors.Join(errs...)
}

// eitherOf checks the names under whichever of two words the file uses, and
// says which that is.
func eitherOf(key string, names []string, other string, others []string) (used string, err error) {
	switch {
	case len(others) == 0:
		return key, checkNames(key, names)
	case len(names) == 0:
		return other, checkNames(other, others)
	}
	return key, options.Fieldf(other, "says the same as %s; write one of them", key)
}

func checkNames(key string, names []string) error {
	var errs []error
	for i, name := range names {
		if err := worker.CheckConnector(name); err != nil {
			errs = append(errs, options.Field(err, key, name))
		}
		if slices.Contains(names[:i], name) {
			errs = append(errs, options.Field(fmt.Errorf("%s is there twice", name), key, name))
		}
	}
	return errors.Join(errs...)
}

// plan is what one configuration says; a reload swaps the whole of it, and what
// is in hand then is finished by the plan it was taken with.
type plan struct {
	options Options
	names   Names
	router  Router
	// core publishes through the plan's own middleware.
	core        worker.Runtime
	wantsHealth bool // the router asked for the transports' health
}

func newPlan(env worker.Dependencies, opts Options, router Router) *plan {
	return &plan{
		options: opts, names: opts.Names(), router: router,
		core: worker.Runtime{Dependencies: env, Settings: opts.Settings},
	}
}

// provision gives the plan's router its environment; ctx ends with the dispatcher.
func (d *Dispatcher) provision(ctx context.Context, p *plan) error {
	env := p.core.Env()
	if env.Health == nil {
		env.Health = func() Health {
			p.wantsHealth = true
			return d.health
		}
	}
	if err := p.core.Provision(ctx, p.router, env); err != nil {
		return fmt.Errorf("starting router: %w", err)
	}
	return nil
}

// decide returns targets that each have an envelope of their own, stamped and
// addressed; known is the home of an event's message, where memory has it.
func (d *Dispatcher) decide(ctx context.Context, p *plan, e *message.Envelope, known home) (targets []Target, err error) {
	err = worker.Protect(func() error {
		targets, err = p.decide(ctx, e, known)
		return err
	})
	return targets, err
}

func (p *plan) decide(ctx context.Context, e *message.Envelope, known home) ([]Target, error) {
	if hops := len(message.Hops(e.Routing())); hops >= p.options.MaxHops {
		return nil, message.Permanent(fmt.Errorf("%s passed more than max_hops=%d dispatchers; look for a circle of routes", e, p.options.MaxHops))
	}
	targets, err := p.targets(ctx, e, known)
	if err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return nil, message.Permanent(fmt.Errorf("the router has no target for %s from %s", e, e.Connector))
	}
	for i := range targets {
		p.address(&targets[i], e, len(targets) > 1)
	}
	return targets, nil
}

// targets asks an event's stamp first, memory next, and the router for all else.
func (p *plan) targets(ctx context.Context, e *message.Envelope, known home) ([]Target, error) {
	if e.Flow == message.EventFlow {
		if h := popPath(e.Routing(), p.exposes); h != "" {
			return p.bringHome(ctx, e, h, message.PathKey)
		}
		if connector, _ := known.split(); known == nowhere || p.exposes(connector) {
			return p.bringHome(ctx, e, known, "memory")
		}
	}
	targets, err := p.router.Route(ctx, *e)
	if err != nil {
		return p.unrouted(ctx, e, err)
	}
	return targets, nil
}

func (p *plan) exposes(name string) bool { return slices.Contains(p.names.Exposed, name) }

// address gives a target its envelope: the router's copy or one of its own;
// only several targets need copies of what is inside.
func (p *plan) address(t *Target, e *message.Envelope, shared bool) {
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
	message.AddHop(t.Envelope.Routing(), p.core.Name, t.Rule)
	if t.Envelope.Flow == message.Outbound {
		stampPath(t.Envelope.Routing(), homeOf(e))
	}
}

// nack tells the application that its message goes nowhere.
func (d *Dispatcher) nack(ctx context.Context, item *worker.Delivery, reason error) error {
	if item.Message == nil {
		return nil
	}
	from := item.Envelope.Connector
	nack := message.NewNack(item.Message, reason.Error())
	if h := popPath(&nack.RoutingMetadata, func(name string) bool { return name == from }); h != "" {
		_, endpoint := h.split()
		nack.SetEndpoint(endpoint)
	}
	return d.plan.Load().core.Publish(ctx, &message.Envelope{Flow: message.EventFlow, Connector: from, Event: nack})
}

// letGo tells the record that nobody will answer an inbound message, and why.
func (d *Dispatcher) letGo(ctx context.Context, item *worker.Delivery, reason error) error {
	r := message.Receipt{
		MessageID: item.ID(), Outcome: message.ReceiptProcessed, Reason: "let go on purpose: " + reason.Error(),
		Timestamp: message.FormatTime(time.Now()), Routing: item.Message.RoutingMetadata,
	}
	return d.core.PublishBody(ctx, message.ReceiptKey(item.Connector), r.Encode())
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
