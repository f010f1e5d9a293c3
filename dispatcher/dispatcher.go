package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/worker"
)

// Dispatcher is a running dispatcher.
type Dispatcher struct {
	// runtime consumes. It has no middleware: each configuration has its own.
	runtime worker.Runtime
	reloads chan reload
	ended   chan struct{} // closed when Run returns
	health  *worker.HealthTracker
	closing sync.WaitGroup // of configurations that are no longer used

	mu      sync.Mutex
	config  *configuration
	stopped bool
}

// configuration is what one version of the file says. A reload replaces it as a
// whole; what is in flight then is finished by the configuration that received
// it.
type configuration struct {
	options Options
	names   Names
	router  Router
	// runtime publishes. Its middleware is the configuration's own.
	runtime     worker.Runtime
	wantsHealth bool // the router asked for the transports' health
	inFlight    int  // guarded by Dispatcher.mu
}

func newConfiguration(env worker.Dependencies, opts Options, router Router) *configuration {
	return &configuration{
		options: opts, names: opts.Names(), router: router,
		runtime: worker.Runtime{Dependencies: env, Settings: opts.Settings},
	}
}

// New makes a dispatcher that routes by router.
func New(env worker.Dependencies, options Options, router Router) *Dispatcher {
	d := &Dispatcher{reloads: make(chan reload), ended: make(chan struct{}), config: newConfiguration(env, options, router)}
	d.runtime = d.config.runtime
	d.runtime.Stack = worker.Stack{}
	d.health = worker.NewHealthTracker(&d.runtime)
	return d
}

// Run routes until ctx ends. It can be called once.
func (d *Dispatcher) Run(ctx context.Context) error {
	defer close(d.ended)
	defer d.close()
	config := d.config
	if err := d.provision(ctx, config); err != nil {
		return err
	}
	if err := d.declare(ctx, config.names); err != nil {
		return err
	}
	if err := d.followHealth(ctx, config); err != nil {
		return err
	}
	group := d.runtime.Consumers(ctx)
	defer d.health.Track(ctx)()
	running := consumers{}
	for _, s := range config.names.subscriptions() {
		running[s] = group.Start(d.subscribe(s, config.names))
	}
	for {
		select {
		case <-group.Done():
			return group.Wait()
		case r := <-d.reloads:
			r.done <- d.reload(ctx, group, running, r)
		}
	}
}

// provision gives the router and the middleware of a configuration their
// environments; ctx ends with the dispatcher.
func (d *Dispatcher) provision(ctx context.Context, c *configuration) error {
	env := c.runtime.Env()
	if env.Health == nil {
		env.Health = func() Health {
			c.wantsHealth = true
			return d.health
		}
	}
	if err := c.runtime.Provision(ctx, c.router, env); err != nil {
		return fmt.Errorf("starting router: %w", err)
	}
	return nil
}

// close ends the plugins of the present configuration, once those of earlier
// ones have ended.
func (d *Dispatcher) close() {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	d.closing.Wait()
	d.config.runtime.Close(d.config.router)
}

// acquire is the present configuration, for one delivery.
func (d *Dispatcher) acquire() *configuration {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.config.inFlight++
	return d.config
}

// release says that a delivery is settled. The last one of an earlier
// configuration closes that.
func (d *Dispatcher) release(c *configuration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.inFlight--
	d.closeUnused(c)
}

// replace makes next the present configuration.
func (d *Dispatcher) replace(next *configuration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	previous := d.config
	d.config = next
	d.closeUnused(previous)
}

func (d *Dispatcher) closeUnused(c *configuration) {
	switch {
	case c == d.config || c.inFlight > 0:
	case d.stopped: // what was in flight was given up, and is settled late
		go c.runtime.Close(c.router)
	default:
		d.closing.Go(func() { c.runtime.Close(c.router) })
	}
}

func (d *Dispatcher) present() *configuration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.config
}

// subscription is a flow of a connector that the dispatcher consumes.
type subscription struct {
	connector string
	flow      message.Flow
}

// consumers are the subscriptions being consumed, and how to stop each.
type consumers map[subscription]func()

// subscriptions are all that a dispatcher of these names consumes.
func (n Names) subscriptions() []subscription {
	var all []subscription
	for _, name := range n.Transports {
		all = append(all, subscription{name, message.Inbound}, subscription{name, message.EventFlow})
	}
	for _, name := range n.Exposed {
		all = append(all, subscription{name, message.Outbound})
	}
	return all
}

func (d *Dispatcher) subscribe(to subscription, names Names) worker.Subscription {
	s := worker.Subscription{
		Connector: to.connector, Flow: to.flow, Prefetch: names.prefetch(), Handle: d.newPipeline(to.flow).handle,
	}
	switch to.flow {
	case message.Outbound:
		s.OnFailure, s.OnDiscard = d.refuse, d.recordDiscardedOutbound
	case message.Inbound:
		s.OnFailure, s.OnDiscard = d.recordFailure, d.recordDiscard
	}
	return s
}

// declare makes the queues exist that the dispatcher publishes to, so that it
// does not matter who starts first.
func (d *Dispatcher) declare(ctx context.Context, names Names) error {
	for _, name := range names.Transports {
		if err := d.runtime.Declare(ctx, name, message.Outbound); err != nil {
			return err
		}
	}
	for _, name := range names.Exposed {
		for _, flow := range [...]message.Flow{message.Inbound, message.EventFlow} {
			if err := d.runtime.Declare(ctx, name, flow); err != nil {
				return err
			}
		}
	}
	return nil
}

// refuse tells the application, and the record, that its message has no route.
func (d *Dispatcher) refuse(ctx context.Context, delivery *worker.Delivery, reason error) error {
	return errors.Join(d.nack(ctx, delivery, reason), d.recordRefused(ctx, delivery, reason.Error()))
}

// nack tells the application that its message has no route.
func (d *Dispatcher) nack(ctx context.Context, delivery *worker.Delivery, reason error) error {
	if delivery.Message == nil {
		return nil
	}
	from := delivery.Connector
	nack := message.NewNack(delivery.Message, reason.Error())
	if path := popReturnPath(&nack.RoutingMetadata, func(name string) bool { return name == from }); path != "" {
		_, endpoint := path.split()
		nack.SetEndpoint(endpoint)
	}
	return d.present().runtime.Publish(ctx, &message.Envelope{Flow: message.EventFlow, Connector: from, Event: nack})
}

// recordDiscard tells the record that an inbound message was dropped, and why.
func (d *Dispatcher) recordDiscard(ctx context.Context, delivery *worker.Delivery, reason error) error {
	return d.record(ctx, delivery, message.Receipt{Outcome: message.ReceiptProcessed, Reason: "dropped: " + reason.Error()})
}

// recordFailure tells the record that an inbound message is dead-lettered, and why.
func (d *Dispatcher) recordFailure(ctx context.Context, delivery *worker.Delivery, reason error) error {
	return d.record(ctx, delivery, message.Receipt{Outcome: message.ReceiptErrored, Reason: reason.Error()})
}

func (d *Dispatcher) recordDiscardedOutbound(ctx context.Context, delivery *worker.Delivery, reason error) error {
	return d.recordRefused(ctx, delivery, "dropped: "+reason.Error())
}

// recordRefused tells the record of an outbound message that reaches no transport.
func (d *Dispatcher) recordRefused(ctx context.Context, delivery *worker.Delivery, reason string) error {
	r := message.Receipt{Outcome: message.ReceiptRefused, Reason: reason, Application: delivery.Connector}
	if delivery.Message != nil {
		r.Message = delivery.Message.Encode()
	}
	return d.record(ctx, delivery, r)
}

func (d *Dispatcher) record(ctx context.Context, delivery *worker.Delivery, r message.Receipt) error {
	if delivery.Message == nil {
		return nil
	}
	r.MessageID, r.Routing = delivery.ID(), delivery.Message.RoutingMetadata
	r.Timestamp = message.FormatTime(time.Now())
	return d.runtime.PublishBody(ctx, message.ReceiptKey(delivery.Connector), r.Encode())
}
