package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"switchboard/worker"
)

// ErrNotRunning says that the dispatcher's Run has ended: there is nothing to
// reload.
var ErrNotRunning = errors.New("the dispatcher is not running")

// reload asks a running dispatcher to go over to another plan.
type reload struct {
	ctx  context.Context
	next *plan
	done chan error
}

// Reload takes a running dispatcher over to other options, another router and
// the middleware of stack, and returns when that is done or cannot be.
//
//   - Nothing is lost: what is in hand is finished by the plan it was taken with.
//   - Nothing is misrouted: connectors that are no longer named are emptied of
//     what is in hand before the new plan counts, those newly named are consumed
//     only afterwards.
//   - An error leaves the old plan as it was.
//
// The worker's settings (name, queue type, retries, prefetch) stay those it
// started with; where they differ, start it again instead (CanReload). ctx
// bounds the wait for a broker that is out of reach.
func (d *Dispatcher) Reload(ctx context.Context, stack worker.Stack, options Options, router Router) error {
	env := d.core.Dependencies
	env.Stack = stack
	r := reload{ctx, newPlan(env, options, router), make(chan error, 1)}
	select {
	case d.reloads <- r:
	case <-d.ended:
		return ErrNotRunning
	case <-ctx.Done():
		return fmt.Errorf("waiting for the dispatcher to reload: %w", ctx.Err())
	}
	select {
	case err := <-r.done:
		return err
	case <-d.ended:
		return ErrNotRunning
	}
}

// CanReload says whether a dispatcher with the first options can go over to the
// second without a stop.
func CanReload(from, to Options) bool { return from.Settings == to.Settings }

func (d *Dispatcher) swap(ctx context.Context, session *worker.ConsumerGroup, lanes lanes, r reload) error {
	next := r.next
	if err := d.provision(ctx, next); err != nil {
		return err
	}
	if err := d.declare(r.ctx, next.names); err != nil {
		return fmt.Errorf("making the queues of the new connectors: %w", err)
	}
	if err := d.followHealth(r.ctx, next); err != nil {
		return err
	}
	places := next.names.places()
	if !lanes.stopBut(places, session.Done()) {
		return ErrNotRunning
	}
	d.plan.Store(next)
	for _, at := range places {
		if lanes[at] == nil {
			lanes[at] = session.Start(d.source(at, next.names))
		}
	}
	return nil
}

// stopBut stops all lanes but those at the places to keep, and waits until what
// they have in hand is done; false when the dispatcher ends meanwhile.
func (l lanes) stopBut(keep []place, ended <-chan struct{}) bool {
	var stops []func()
	for at, stop := range l {
		if !slices.Contains(keep, at) {
			stops = append(stops, stop)
			delete(l, at)
		}
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for _, stop := range stops {
			stop()
		}
	}()
	select {
	case <-stopped:
		return true
	case <-ended:
		return false
	}
}
