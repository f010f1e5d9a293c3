package fleet

import (
	"context"
	"sync/atomic"

	"switchboard/broker"
)

// countingBroker is the broker as one worker sees it. It counts the queues the
// worker consumes: a worker that waits for something else first, its database
// say, is running but not ready.
type countingBroker struct {
	broker.Broker
	queues *atomic.Int64
}

// Consume implements broker.Consumer.
func (b countingBroker) Consume(ctx context.Context, q broker.Queue, prefetch int, handle func(*broker.Delivery)) error {
	return b.ConsumeWithin(ctx, q, broker.Fixed(prefetch), handle)
}

// ConsumeWithin implements broker.Consumer.
func (b countingBroker) ConsumeWithin(ctx context.Context, q broker.Queue, limit func() int, handle func(*broker.Delivery)) error {
	b.queues.Add(1)
	defer b.queues.Add(-1)
	return b.Broker.ConsumeWithin(ctx, q, limit, handle)
}
