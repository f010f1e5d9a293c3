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

// Conditions are what the routers of a Simulator see of the world.
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
	if err := d.provision(ctx, d.config); err != nil {
		d.close()
		return nil, err
	}
	return &Simulator{d}, nil
}

// Close ends the router and the middleware.
func (s *Simulator) Close() { s.d.close() }

// Decision is what becomes of an arrival.
type Decision struct {
	// Arrival is the envelope as the router saw it: past the middleware.
	Arrival *message.Envelope
	// Targets have the envelopes as they would be published.
	Targets []Target
}

// Decide says where e goes. The error is what a dispatcher would settle it with:
// message.Discard drops e, any other dead-letters it sooner or later.
func (s *Simulator) Decide(ctx context.Context, e *message.Envelope) (Decision, error) {
	arrival := e.Clone()
	decision := Decision{Arrival: arrival}
	err := s.d.config.runtime.Stack.Consume(ctx, arrival, func(ctx context.Context, e *message.Envelope) (err error) {
		decision.Arrival = e.Clone() // routing changes the other
		decision.Targets, err = s.targets(ctx, e)
		return err
	})
	return decision, err
}

func (s *Simulator) targets(ctx context.Context, arrival *message.Envelope) ([]Target, error) {
	c := s.d.config
	known, err := s.recall(ctx, arrival)
	if err != nil {
		return nil, err
	}
	targets, err := c.route(ctx, arrival, known)
	if err != nil {
		return nil, err
	}
	if entries := s.d.toRemember(c, arrival, targets); len(entries) > 0 {
		if err := s.d.runtime.State.Set(ctx, entries...); err != nil {
			return nil, err
		}
	}
	for i := range targets {
		if targets[i].Envelope.Flow == arrival.Flow {
			continue
		}
		err := c.runtime.Stack.Consume(ctx, targets[i].Envelope, func(_ context.Context, e *message.Envelope) error {
			targets[i].Envelope = e
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return targets, nil
}

func (s *Simulator) recall(ctx context.Context, e *message.Envelope) (returnPath, error) {
	if e.Flow != message.EventFlow || !s.d.mustRecall(s.d.config, e) {
		return "", nil
	}
	key := s.d.memoryKey(e.ID())
	known, err := s.d.recalled(ctx, []string{key})
	return returnPath(known[key]), err
}
