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

// reload asks a running dispatcher to take another configuration.
type reload struct {
	ctx  context.Context
	next *configuration
	done chan error
}

// Reload gives a running dispatcher other options, another router and the
// middleware of stack, and returns when that is done or cannot be.
//
//   - Nothing is lost: what is in flight is finished by the configuration that
//     received it.
//   - Nothing is misrouted: connectors that are no longer named finish what is in
//     flight before the new configuration counts, those newly named are consumed
//     only afterwards.
//   - An error leaves the old configuration in use.
//
// The worker's settings (name, queue type, retries, prefetch) stay those it
// started with; where they differ, start it again instead (CanReload). ctx
// bounds the wait for a broker that is out of reach.
func (d *Dispatcher) Reload(ctx context.Context, stack worker.Stack, options Options, router Router) error {
	env := d.runtime.Dependencies
	env.Stack = stack
	r := reload{ctx, newConfiguration(env, options, router), make(chan error, 1)}
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

// CanReload says whether a dispatcher with the first options can take the second
// without a stop.
func CanReload(from, to Options) bool { return from.Settings == to.Settings }

func (d *Dispatcher) reload(ctx context.Context, group *worker.ConsumerGroup, running consumers, r reload) (err error) {
	next := r.next
	defer func() {
		if err != nil {
			next.runtime.Close(next.router)
		}
	}()
	if err := d.provision(ctx, next); err != nil {
		return err
	}
	if err := d.declare(r.ctx, next.names); err != nil {
		return fmt.Errorf("declaring the queues of the new connectors: %w", err)
	}
	if err := d.followHealth(r.ctx, next); err != nil {
		return err
	}
	wanted := next.names.subscriptions()
	if !running.stopOthers(wanted, group.Done()) {
		return ErrNotRunning
	}
	d.replace(next)
	for _, s := range wanted {
		if running[s] == nil {
			running[s] = group.Start(d.subscribe(s, next.names))
		}
	}
	return nil
}

// stopOthers stops all consumers but those of the subscriptions to keep, and
// waits until their deliveries are settled; false when the dispatcher ends
// meanwhile.
func (c consumers) stopOthers(keep []subscription, ended <-chan struct{}) bool {
	var stops []func()
	for s, stop := range c {
		if !slices.Contains(keep, s) {
			stops = append(stops, stop)
			delete(c, s)
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
