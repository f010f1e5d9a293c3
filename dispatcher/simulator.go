package dispatcher

import (
	"context"
	"time"

	"switchboard/message"
	"switchboard/worker"
)

// Simulator decides as a dispatcher of the same configuration does, and publishes
// nothing: for `switchboard route` and routing tests. It needs no broker. It is
// not safe for use from several goroutines at once.
type Simulator struct{ d *Dispatcher }

// Conditions is what routers ask of the world around them.
type Conditions struct {
	// Health is how transports are.
	Health Health
	// Now is the time.
	Now func() time.Time
}

// ClockUser is the optional ability of a router to be told the time by others,
// so that rules about times of day can be tried; UseClock is called before the
// first Route, if at all.
type ClockUser interface {
	UseClock(now func() time.Time)
}

// NewDecider makes a decider. What router and middleware remember goes to
// env.State.
func NewDecider(ctx context.Context, env worker.Dependencies, options Options, router Router, world Conditions) (*Simulator, error) {
	d := New(env, options, router)
	p := d.plan.Load()
	if err := p.core.Stack.Provision(ctx, p.core.Env()); err != nil {
		return nil, err
	}
	if err := p.bind(ctx); err != nil {
		return nil, err
	}
	if user, wants := router.(HealthUser); wants {
		user.UseHealth(world.Health)
	}
	if user, wants := router.(ClockUser); wants {
		user.UseClock(world.Now)
	}
	return &Simulator{d}, nil
}

// Decision is what becomes of an arrival.
type Decision struct {
	// Arrival is the envelope as the router saw it: past the middleware.
	Arrival *message.Envelope
	// Targets have the envelopes as they would be published.
	Targets []Target
}

// Decide says where e goes. The error is what a dispatcher would handle it as:
// message.Discard lets e go, any other sets it aside sooner or later.
func (d *Simulator) Decide(ctx context.Context, e *message.Envelope) (Decision, error) {
	p := d.d.plan.Load()
	arrival := e.Clone()
	decision := Decision{Arrival: arrival}
	if err := p.consumed(ctx, arrival); err != nil {
		return decision, err
	}
	decision.Arrival = arrival.Clone() // deciding stamps the other
	known, err := d.recall(ctx, p, arrival)
	if err != nil {
		return decision, err
	}
	targets, err := d.d.decide(ctx, p, arrival, known)
	if err != nil {
		return decision, err
	}
	if entries := d.d.memoryOf(p, arrival, targets); len(entries) > 0 {
		if err := d.d.core.State.Set(ctx, entries...); err != nil {
			return decision, err
		}
	}
	for _, t := range targets {
		if err := worker.Protect(func() error { return p.core.Stack.Published(ctx, t.Envelope) }); err != nil {
			return decision, err
		}
	}
	decision.Targets = targets
	return decision, nil
}

func (d *Simulator) recall(ctx context.Context, p *plan, e *message.Envelope) (home, error) {
	if e.Flow != message.EventFlow || !d.d.mustRecall(p, e) {
		return "", nil
	}
	key := d.d.memoryKey(e.ID())
	homes, err := d.d.homes(ctx, []string{key})
	return home(homes[key]), err
}
