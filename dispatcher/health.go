package dispatcher

import (
	"context"

	"switchboard/worker"
)

// Health tells how transports are.
type Health = worker.Health

// followHealth follows the status events of a configuration's transports, if its
// router asked for their health; ctx bounds the wait for a broker that is out of
// reach.
func (d *Dispatcher) followHealth(ctx context.Context, c *configuration) error {
	if !c.wantsHealth {
		return nil
	}
	return d.health.Follow(ctx, c.names.Transports)
}
