package fleet

import (
	"context"
	"sync/atomic"

	"switchboard/broker"
)

// attended is the broker as one worker sees it. It counts the queues the worker
// consumes: a worker that waits for something else first, its database say, is
// running but not ready.
type attended struct {
	broker.Broker
	queues *atomic.Int64
}

// Consume implements broker.Consumer.
func (a attended) Consume(ctx context.Context, q broker.Queue, prefetch int, handle func(*broker.Delivery)) error {
	a.queues.Add(1)
	defer a.queues.Add(-1)
	return a.Broker.Consume(ctx, q, prefetch, handle)
}
