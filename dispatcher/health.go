package dispatcher

import (
	"context"
	"fmt"

	"switchboard/worker"
)

// Health tells how transports are.
type Health = worker.Health

// followHealth follows the status events of the plan's transports, if its router
// asked for their health; ctx bounds the wait for a broker that is out of reach.
func (d *Dispatcher) followHealth(ctx context.Context, p *plan) error {
	if !p.wantsHealth {
		return nil
	}
	if err := d.health.listen(ctx, p.names.Transports); err != nil {
		return fmt.Errorf("making the queue of the transports' status events: %w", err)
	}
	return nil
}

// hearHealth hears transports' status events; stop ends that and waits for it.
func (d *Dispatcher) hearHealth(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		d.health.run(ctx)
	}()
	return func() {
		cancel()
		<-stopped
	}
}
