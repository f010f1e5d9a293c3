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

// NewSimulator makes a simulator. What router and middleware remember goes to
// env.State.
func NewSimulator(ctx context.Context, env worker.Dependencies, options Options, router Router, conditions Conditions) (*Simulator, error) {
	env.Health, env.Now = conditions.Health, conditions.Now
	d := New(env, options, router)
	p := d.plan.Load()
	if err := d.provision(ctx, p); err != nil {
		return nil, err
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
	err := p.core.Stack.Consume(ctx, arrival, func(ctx context.Context, e *message.Envelope) (err error) {
		decision.Arrival = e.Clone() // deciding stamps the other
		decision.Targets, err = d.targets(ctx, p, e)
		return err
	})
	return decision, err
}

func (d *Simulator) targets(ctx context.Context, p *plan, arrival *message.Envelope) ([]Target, error) {
	known, err := d.recall(ctx, p, arrival)
	if err != nil {
		return nil, err
	}
	targets, err := d.d.decide(ctx, p, arrival, known)
	if err != nil {
		return nil, err
	}
	if entries := d.d.memoryOf(p, arrival, targets); len(entries) > 0 {
		if err := d.d.core.State.Set(ctx, entries...); err != nil {
			return nil, err
		}
	}
	for i := range targets {
		if t := &targets[i]; t.Envelope.Flow != arrival.Flow {
			err := p.core.Stack.Consume(ctx, t.Envelope, func(_ context.Context, e *message.Envelope) error {
				t.Envelope = e
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return targets, nil
}

func (d *Simulator) recall(ctx context.Context, p *plan, e *message.Envelope) (home, error) {
	if e.Flow != message.EventFlow || !d.d.mustRecall(p, e) {
		return "", nil
	}
	key := d.d.memoryKey(e.ID())
	homes, err := d.d.homes(ctx, []string{key})
	return home(homes[key]), err
}
