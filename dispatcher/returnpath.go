package dispatcher

import (
	"context"
	"fmt"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/store"
)

// returnPath is where an outbound message came from, and so where its events go:
// an exposed name, followed by a slash and the endpoint where that is not the
// default one (no connector's name has a slash).
//
// It travels in the message's routing_metadata. Transports of others do not put
// that into their events; for them the dispatcher remembers the return path of
// each message by its ID, in the state store it shares with its replicas.
type returnPath string

// noReturnPath is that of what the dispatcher's own router sent: a reply, or a
// message passed from one transport to another.
const noReturnPath = returnPath(message.Nowhere)

// returnPathOf is the return path of what goes out because of an arrival.
func returnPathOf(e *message.Envelope) returnPath {
	if e.Flow != message.Outbound {
		return noReturnPath
	}
	if endpoint := e.Message.Endpoint(); endpoint != message.DefaultEndpoint {
		return returnPath(e.Connector + "/" + endpoint)
	}
	return returnPath(e.Connector)
}

func (p returnPath) split() (connector, endpoint string) {
	connector, endpoint, named := strings.Cut(string(p), "/")
	if !named {
		endpoint = message.DefaultEndpoint
	}
	return connector, endpoint
}

// routeEvent makes the target of an event whose return path is known; rule says
// from where.
func (c *configuration) routeEvent(ctx context.Context, e *message.Envelope, path returnPath, rule string) ([]Target, error) {
	if path == noReturnPath {
		return nil, message.Discard("no application sent the message")
	}
	connector, endpoint := path.split()
	if e.Event.Endpoint() != endpoint {
		e.Event.SetEndpoint(endpoint)
	}
	if r, changes := c.router.(Returner); changes {
		t, err := r.Return(ctx, *e, connector)
		t.Rule = rule
		return []Target{t}, err
	}
	return []Target{{Connector: connector, Rule: rule}}, nil
}

// pushReturnPath adds a return path to those of the dispatchers before.
func pushReturnPath(routing *message.Object, path returnPath) {
	routing.Set(message.PathKey, append(returnPaths(routing), path))
}

func returnPaths(routing *message.Object) []returnPath {
	var paths []returnPath
	if routing.Decode(message.PathKey, &paths) != nil {
		return nil // not ours
	}
	return paths
}

// lastReturnPath is the one the last dispatcher added; "" when it leads to none
// of ours.
func lastReturnPath(routing *message.Object, isOurs func(connector string) bool) returnPath {
	paths := returnPaths(routing)
	if len(paths) == 0 {
		return ""
	}
	last := paths[len(paths)-1]
	if connector, _ := last.split(); last != noReturnPath && !isOurs(connector) {
		return ""
	}
	return last
}

// popReturnPath takes our return path off, so that the next dispatcher finds its
// own; "" when there is none.
func popReturnPath(routing *message.Object, isOurs func(connector string) bool) returnPath {
	last := lastReturnPath(routing, isOurs)
	if last == "" {
		return ""
	}
	if paths := returnPaths(routing); len(paths) > 1 {
		routing.Set(message.PathKey, paths[:len(paths)-1])
	} else {
		routing.Delete(message.PathKey)
	}
	return last
}

// How long a batch waits for a state store that does not answer: messages go on
// without being remembered, events are tried again later.
const (
	rememberTimeout = 2 * time.Second
	recallTimeout   = 10 * time.Second
)

// memoryKey is where the return path of an outbound message is remembered.
func (d *Dispatcher) memoryKey(messageID string) string {
	return "events/" + d.runtime.Name + "/" + messageID
}

// toRemember is what is to be remembered of an arrival, if anything.
func (d *Dispatcher) toRemember(c *configuration, e *message.Envelope, targets []Target) []store.Entry {
	if !c.options.RememberOutbound || d.runtime.State == nil {
		return nil
	}
	var entries []store.Entry
	for _, t := range targets {
		if t.Envelope.Flow == message.Outbound {
			entries = append(entries, store.Entry{
				Key: d.memoryKey(t.Envelope.ID()), Value: string(returnPathOf(e)), TTL: c.options.ExpireRoutingMemory.Std(),
			})
		}
	}
	return entries
}

func (d *Dispatcher) store(ctx context.Context, entries []store.Entry) error {
	ctx, cancel := d.within(ctx, rememberTimeout)
	defer cancel()
	return d.runtime.State.Set(ctx, entries...)
}

// within bounds how long the state store may take; one in memory needs no clock.
func (d *Dispatcher) within(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	if store.InMemory(d.runtime.State) {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, most)
}

// mustRecall says that only memory can tell where an event returns to.
func (d *Dispatcher) mustRecall(c *configuration, e *message.Envelope) bool {
	return c.options.RememberOutbound && d.runtime.State != nil && lastReturnPath(e.Routing(), c.exposes) == ""
}

// recalled are the return paths remembered under keys.
func (d *Dispatcher) recalled(ctx context.Context, keys []string) (map[string]string, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	ctx, cancel := d.within(ctx, recallTimeout)
	defer cancel()
	paths, err := d.runtime.State.Get(ctx, keys...)
	if err != nil {
		return nil, fmt.Errorf("looking up which application sent the message of an event: %w", err)
	}
	return paths, nil
}
