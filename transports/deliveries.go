package transports

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/singleflight"

	"switchboard/internal/inflight"
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

// Deliveries does once what the outside delivers several times, because it did not get
// the answer or did not wait for it. The replicas of a transport know of each other's
// through the state store; without one only copies that come at the same time are
// recognised.
type Deliveries struct {
	work   context.Context
	state  store.State
	ttl    time.Duration
	logger *slog.Logger

	calls   inflight.Group
	flights singleflight.Group
}

// NewDeliveries remembers in state, which may be nil, messages for ttl. What was begun
// goes on until work ends, also where the outside waits no longer: it will come again.
func NewDeliveries(work context.Context, state store.State, ttl time.Duration, logger *slog.Logger) *Deliveries {
	return &Deliveries{work: work, state: state, ttl: ttl, logger: logger}
}

// Wait waits for all that was begun; nothing begins any more.
func (d *Deliveries) Wait() { _ = d.calls.Wait(context.Background()) }

// Inbound publishes a message whose ID follows from the outside's own (MessageID),
// unless it was published before. In both cases nil says that the broker has it.
func (d *Deliveries) Inbound(ctx context.Context, out Publisher, m *message.Message) (first bool, err error) {
	return d.Once(ctx, store.Entry{Key: "delivered/" + m.ID, Value: "1", TTL: d.ttl}, func(ctx context.Context, unsure error) error {
		if unsure != nil { // whoever handles it looks whether it has been
			m.RoutingMetadata.Set(message.AgainKey, true)
		}
		return out.Inbound(ctx, m)
	})
}

// Once does what leaves an entry in the state, unless the entry is there. Copies wait for
// the one that does it, which alone is the first. do is told the error where the state does
// not say. A panic in it is logged, and Permanent.
func (d *Deliveries) Once(ctx context.Context, leaves store.Entry, do func(ctx context.Context, unsure error) error) (first bool, err error) {
	if !d.calls.Begin() {
		return false, context.Canceled
	}
	mine := false // written only where this call is the one that does it
	come := d.flights.DoChan(leaves.Key, func() (any, error) {
		return nil, d.guard(leaves.Key, func() (err error) {
			mine, err = d.unlessDone(leaves, do)
			return err
		})
	})
	select {
	case one := <-come:
		d.calls.Done()
		return mine, one.Err
	case <-ctx.Done():
		go func() {
			defer d.calls.Done()
			<-come
		}()
		return false, ctx.Err()
	}
}

// guard does work. A panic in it is Permanent: what was polled would panic each time that it
// is tried.
func (d *Deliveries) guard(key string, work func() error) error {
	err := worker.Protect(work)
	if panicked, is := errors.AsType[*worker.PanicError](err); is {
		d.logger.Error("taking what came from outside panicked; please report this", "key", key, "error", err, "stack", string(panicked.Stack))
		return message.Permanent(err)
	}
	return err
}

func (d *Deliveries) unlessDone(leaves store.Entry, do func(context.Context, error) error) (first bool, err error) {
	if d.state == nil {
		return true, do(d.work, nil)
	}
	found, unsure := d.state.Get(d.work, leaves.Key)
	if err := d.work.Err(); unsure != nil && err != nil {
		return false, err
	}
	if _, there := found[leaves.Key]; there {
		return false, nil
	}
	if unsure != nil {
		d.logger.Debug("asking whether it came before failed", "key", leaves.Key, "error", unsure)
	}
	if err := do(d.work, unsure); err != nil {
		return true, err
	}
	if err := d.state.Set(d.work, leaves); err != nil {
		d.logger.Debug("remembering that it came failed; it may be taken twice if it comes again", "key", leaves.Key, "error", err)
	}
	return true, nil
}
