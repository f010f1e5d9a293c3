package dispatcher

import (
	"context"
	"fmt"

	"switchboard/message"
	"switchboard/store"
	"switchboard/worker"
)

// Transports that are not ours do not carry the stamp from a message into its
// events. For them the dispatcher remembers, in the state store it shares with
// its replicas, the home of every outbound message by its ID.

// memoryKey is where the home of an outbound message is remembered.
func (d *Dispatcher) memoryKey(messageID string) string {
	return "events/" + d.core.Name + "/" + messageID
}

// dispatched is an item that is decided and not yet published.
type dispatched struct {
	item    *worker.Item
	targets []Target
	home    home // to be remembered; "" is nothing
	expires store.Entry
}

// remember writes the homes of a batch in one round trip, then publishes it: an
// event can come as soon as its message is out. A store that is out of reach
// must not hold messages up; their events then go by the router alone.
func (d *Dispatcher) remember(ctx context.Context, batch []dispatched) {
	entries := make([]store.Entry, 0, len(batch))
	for _, b := range batch {
		if b.home != "" {
			entries = append(entries, b.expires)
		}
	}
	if len(entries) > 0 {
		if err := d.core.State.Set(ctx, entries...); err != nil && ctx.Err() == nil {
			d.core.Logger.Warn("remembering where messages came from failed; their events may not find the way back",
				"worker", d.core.Name, "messages", len(entries), "error", err)
		}
	}
	for _, b := range batch {
		d.publish(ctx, b.item, b.targets)
	}
}

// entry is what is to be remembered of an outbound item; "" is nothing.
func (d *Dispatcher) entry(p *plan, e *message.Envelope, targets []Target) (home, store.Entry) {
	if !p.options.RememberOutbound || d.core.State == nil {
		return "", store.Entry{}
	}
	h := homeOfTargets(e, targets)
	return h, store.Entry{Key: d.memoryKey(e.ID()), Value: string(h), TTL: p.options.ExpireRoutingMemory.Std()}
}

// homeOfTargets is the home of what goes out to transports; "" when nothing does.
func homeOfTargets(e *message.Envelope, targets []Target) home {
	for _, t := range targets {
		if t.Envelope.Flow != message.Outbound {
			continue
		}
		if e.Flow == message.Outbound {
			return homeOf(e)
		}
		return nowhere
	}
	return ""
}

// recall asks for the homes of a batch's events in one round trip, then routes
// and publishes each in turn.
func (d *Dispatcher) recall(ctx context.Context, batch []*worker.Item) {
	p := d.plan.Load()
	var keys []string
	for _, item := range batch {
		if p.mustRecall(item.Envelope) {
			keys = append(keys, d.memoryKey(item.ID()))
		}
	}
	homes, err := d.homes(ctx, keys)
	for _, item := range batch {
		if err != nil && p.mustRecall(item.Envelope) {
			item.Done(err)
			continue
		}
		d.route(ctx, item, home(homes[d.memoryKey(item.ID())]))
	}
}

func (d *Dispatcher) homes(ctx context.Context, keys []string) (map[string]string, error) {
	if len(keys) == 0 || d.core.State == nil {
		return nil, nil
	}
	homes, err := d.core.State.Get(ctx, keys...)
	if err != nil {
		return nil, fmt.Errorf("looking up which application sent the message of an event: %w", err)
	}
	return homes, nil
}

// mustRecall says that only memory can tell an event's home.
func (p *plan) mustRecall(e *message.Envelope) bool {
	return p.options.RememberOutbound && stamped(e.Routing(), p.exposes) == ""
}
