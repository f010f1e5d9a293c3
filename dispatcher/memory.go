package dispatcher

import (
	"context"
	"fmt"
	"time"

	"switchboard/message"
	"switchboard/store"
)

// Transports that are not ours do not carry the stamp from a message into its
// events. For them the dispatcher remembers, in the state store it shares with
// its replicas, the home of every outbound message by its ID.

// How long a batch waits for a state store that does not answer: messages go
// on without being remembered, events are tried again later.
const (
	rememberTimeout = 2 * time.Second
	recallTimeout   = 10 * time.Second
)

// memoryKey is where the home of an outbound message is remembered.
func (d *Dispatcher) memoryKey(messageID string) string {
	return "events/" + d.core.Name + "/" + messageID
}

// memoryOf is what is to be remembered of an item, if anything.
func (d *Dispatcher) memoryOf(p *plan, e *message.Envelope, targets []Target) []store.Entry {
	if !p.options.RememberOutbound || d.core.State == nil {
		return nil
	}
	var entries []store.Entry
	for _, t := range targets {
		if t.Envelope.Flow == message.Outbound {
			entries = append(entries, store.Entry{
				Key: d.memoryKey(t.Envelope.ID()), Value: string(homeOf(e)), TTL: p.options.ExpireRoutingMemory.Std(),
			})
		}
	}
	return entries
}

// remember writes what a batch leaves in memory in one round trip, and then
// publishes it: an event can come as soon as its message is out. A store that
// is out of reach holds no message up; their events then go by the router alone.
func (d *Dispatcher) remember(ctx context.Context, batch []decided) {
	entries := make([]store.Entry, 0, len(batch))
	for _, b := range batch {
		entries = append(entries, b.memory...)
	}
	if err := d.set(ctx, entries); err != nil && ctx.Err() == nil {
		d.core.Logger.Warn("remembering where messages came from failed; their events may not find the way back",
			"messages", len(entries), "error", err)
	}
	for _, b := range batch {
		publish(ctx, b.item, b.targets)
	}
}

func (d *Dispatcher) set(ctx context.Context, entries []store.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, rememberTimeout)
	defer cancel()
	return d.core.State.Set(ctx, entries...)
}

// recall asks for the homes of a batch of events in one round trip, then routes
// and publishes each in turn.
func (d *Dispatcher) recall(ctx context.Context, batch []taken) {
	unknown := make([]bool, len(batch))
	var keys []string
	for i, item := range batch {
		if unknown[i] = d.mustRecall(item.plan, item.Envelope); unknown[i] {
			keys = append(keys, d.memoryKey(item.ID()))
		}
	}
	homes, err := d.homes(ctx, keys)
	for i, item := range batch {
		if unknown[i] && err != nil {
			item.done(err)
			continue
		}
		d.route(ctx, item, home(homes[d.memoryKey(item.ID())]))
	}
}

func (d *Dispatcher) homes(ctx context.Context, keys []string) (map[string]string, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, recallTimeout)
	defer cancel()
	homes, err := d.core.State.Get(ctx, keys...)
	if err != nil {
		return nil, fmt.Errorf("looking up which application sent the message of an event: %w", err)
	}
	return homes, nil
}

// mustRecall says that only memory can tell an event's home.
func (d *Dispatcher) mustRecall(p *plan, e *message.Envelope) bool {
	return p.options.RememberOutbound && d.core.State != nil && stamped(e.Routing(), p.exposes) == ""
}
