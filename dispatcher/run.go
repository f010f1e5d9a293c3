package dispatcher

import (
	"context"
	"sync/atomic"

	"switchboard/message"
	"switchboard/worker"
)

// Dispatcher is a running dispatcher.
type Dispatcher struct {
	// core consumes. It has no middleware: each plan has its own.
	core    worker.Runtime
	plan    atomic.Pointer[plan]
	reloads chan reload
	ended   chan struct{} // closed when Run returns
	health  *board
}

// New makes a dispatcher that routes by router.
func New(env worker.Dependencies, options Options, router Router) *Dispatcher {
	d := &Dispatcher{reloads: make(chan reload), ended: make(chan struct{})}
	p := newPlan(env, options, router)
	d.plan.Store(p)
	d.core = p.core
	d.core.Stack = worker.Stack{}
	d.health = newBoard(&d.core)
	return d
}

// Run routes until ctx ends. It can be called once.
func (d *Dispatcher) Run(ctx context.Context) error {
	defer close(d.ended)
	p := d.plan.Load()
	if err := d.provision(ctx, p); err != nil {
		return err
	}
	if err := d.declare(ctx, p.names); err != nil {
		return err
	}
	if err := d.followHealth(ctx, p); err != nil {
		return err
	}
	session := d.core.Consumers(ctx)
	defer d.hearHealth(ctx)()
	lanes := lanes{}
	for _, at := range p.names.places() {
		lanes[at] = session.Start(d.source(at, p.names))
	}
	for {
		select {
		case <-session.Done():
			return session.Wait()
		case r := <-d.reloads:
			r.done <- d.swap(ctx, session, lanes, r)
		}
	}
}

// place is a flow of a connector that the dispatcher consumes.
type place struct {
	connector string
	flow      message.Flow
}

// lanes are the places being consumed, and how to stop each.
type lanes map[place]func()

// places are all that a dispatcher of these names consumes.
func (n Names) places() []place {
	var all []place
	for _, name := range n.Transports {
		all = append(all, place{name, message.Inbound}, place{name, message.EventFlow})
	}
	for _, name := range n.Exposed {
		all = append(all, place{name, message.Outbound})
	}
	return all
}

// declare makes the queues exist that the dispatcher publishes to, so that it
// does not matter who starts first.
func (d *Dispatcher) declare(ctx context.Context, names Names) error {
	for _, name := range names.Transports {
		if err := d.core.Declare(ctx, name, message.Outbound); err != nil {
			return err
		}
	}
	for _, name := range names.Exposed {
		for _, flow := range [...]message.Flow{message.Inbound, message.EventFlow} {
			if err := d.core.Declare(ctx, name, flow); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Dispatcher) source(at place, names Names) worker.Subscription {
	l := d.newLane()
	s := worker.Subscription{Connector: at.connector, Flow: at.flow, Handle: l.handle, Prefetch: names.prefetch()}
	switch at.flow {
	case message.EventFlow:
		s.Handle = l.handleEvent
	case message.Outbound:
		s.OnFailure = d.nack
	case message.Inbound:
		s.OnDiscard = d.letGo
	}
	return s
}
