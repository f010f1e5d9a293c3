package transports

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/store"
	"switchboard/worker"
)

// MessageID is the ID of the message that a transport makes of what the outside
// calls id: the same each time it is delivered.
func MessageID(transport, id string) string {
	sum := sha256.Sum256([]byte(transport + "\x00" + id))
	return hex.EncodeToString(sum[:16])
}

// Deliveries makes one message of what the outside delivers several times, because
// it did not get the answer or did not wait for it. The replicas of a transport know
// of each other's through the state store; without one only copies that come at the
// same time are recognised.
type Deliveries struct {
	work   context.Context
	state  store.State
	ttl    time.Duration
	logger *slog.Logger

	group   sync.WaitGroup
	mu      sync.Mutex
	running map[string]*delivering // by message ID
}

type delivering struct {
	done chan struct{}
	err  error // once done is closed
}

// NewDeliveries remembers in state, which may be nil, for ttl. What was begun goes on
// until work ends, also where the outside waits no longer: it will come again.
func NewDeliveries(work context.Context, state store.State, ttl time.Duration, logger *slog.Logger) *Deliveries {
	return &Deliveries{work: work, state: state, ttl: ttl, logger: logger, running: map[string]*delivering{}}
}

// Wait waits for all that was begun.
func (d *Deliveries) Wait() { d.group.Wait() }

const deliveredPrefix = "delivered/"

// Inbound publishes a message whose ID follows from the outside's own (MessageID),
// unless it was published before. In both cases nil says that the broker has it.
func (d *Deliveries) Inbound(ctx context.Context, out Publisher, m *message.Message) error {
	one := d.begin(out, m)
	select {
	case <-one.done:
		return one.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin publishes, or joins a copy that is being published.
func (d *Deliveries) begin(out Publisher, m *message.Message) *delivering {
	d.mu.Lock()
	defer d.mu.Unlock()
	if one := d.running[m.ID]; one != nil {
		return one
	}
	one := &delivering{done: make(chan struct{})}
	d.running[m.ID] = one
	d.group.Go(func() {
		defer close(one.done)
		one.err = worker.Protect(func() error { return d.publish(d.work, out, m) })
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.running, m.ID)
	})
	return one
}

func (d *Deliveries) publish(ctx context.Context, out Publisher, m *message.Message) error {
	if d.state == nil {
		return out.Inbound(ctx, m)
	}
	key := deliveredPrefix + m.ID
	switch found, err := d.state.Get(ctx, key); {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil: // whoever handles it looks whether it has been
		d.logger.Debug("asking whether a message was delivered before failed", "message_id", m.ID, "error", err)
		m.RoutingMetadata.Set(message.AgainKey, true)
	case found[key] != "":
		return nil
	}
	if err := out.Inbound(ctx, m); err != nil {
		return err
	}
	if err := d.state.Set(ctx, store.Entry{Key: key, Value: "1", TTL: d.ttl}); err != nil {
		d.logger.Debug("remembering that a message was delivered failed; it may be published twice if it comes again",
			"message_id", m.ID, "error", err)
	}
	return nil
}
