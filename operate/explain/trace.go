package explain

import (
	"context"

	"switchboard/fleet"
	"switchboard/message"
)

// Hop is an envelope on a connector, and who takes it there.
type Hop struct {
	Connector string       `json:"connector"`
	Flow      message.Flow `json:"flow"`
	// Takers are more than one only where workers compete for the queue.
	Takers []Taker `json:"takers,omitempty"` // none: nobody of these files
	// Body is the envelope as it lies in the queue.
	Body *message.Envelope `json:"-"`
}

// Taker is a worker that takes an envelope.
type Taker struct {
	Worker string `json:"worker"`
	Kind   string `json:"kind"`
	Class  string `json:"class"`
	File   string `json:"file"`
	// Changes are what the worker's middleware changed as it took it.
	Changes []Change `json:"changes,omitempty"`
	// Routes are where a dispatcher sends it; several get a copy each.
	Routes []Route `json:"routes,omitempty"`
	// Discarded is why the worker drops it on purpose.
	Discarded string `json:"discarded,omitempty"`
	// Error is why the worker dead-letters it.
	Error string `json:"error,omitempty"`
}

// Route is one way out of a dispatcher.
type Route struct {
	Rule    string   `json:"rule,omitempty"` // what decided, as the router names it
	At      string   `json:"at,omitempty"`   // file:line of that
	Changes []Change `json:"changes,omitempty"`
	Hop     Hop      `json:"hop"`
}

// trace follows an envelope that was put on a connector to all its ends.
func (f *Fleet) trace(ctx context.Context, e *message.Envelope) Hop {
	hop := Hop{Connector: e.Connector, Flow: e.Flow, Body: e}
	for _, m := range f.takers(e.Connector, e.Flow) {
		hop.Takers = append(hop.Takers, f.take(ctx, m, e.Clone()))
	}
	return hop
}

// body is what changes are looked for in; nothing where only the way counts.
func (f *Fleet) body(e *message.Envelope) []byte {
	if f.brief {
		return nil
	}
	return e.Encode()
}

func (f *Fleet) take(ctx context.Context, m *member, e *message.Envelope) Taker {
	taker := Taker{Worker: m.Name, Kind: m.Kind, Class: m.Class, File: m.Path}
	if m.Kind == fleet.KindDispatcher {
		f.dispatch(ctx, m, e, &taker)
		return taker
	}
	before := f.body(e)
	err := m.stack.Consume(ctx, e, keep(e))
	taker.Changes = changes(before, f.body(e))
	taker.fail(err)
	return taker
}

// dispatch asks a dispatcher. Circles end where the dispatcher itself ends them,
// by max_hops.
func (f *Fleet) dispatch(ctx context.Context, m *member, e *message.Envelope, taker *Taker) {
	decision, err := m.simulator.Decide(ctx, e)
	seen := f.body(decision.Arrival)
	taker.Changes = changes(f.body(e), seen)
	if err != nil {
		taker.fail(err)
		return
	}
	for _, t := range decision.Targets {
		route := Route{Rule: t.Rule, Changes: changes(seen, f.body(t.Envelope))}
		if t.Rule != "" && !f.brief {
			route.At = m.RuleAt(t.Rule)
		}
		route.Hop = f.trace(ctx, t.Envelope)
		taker.Routes = append(taker.Routes, route)
	}
}

func (t *Taker) fail(err error) {
	if err == nil {
		return
	}
	if reason, discarded := message.DiscardReason(err); discarded {
		t.Discarded = reason
		return
	}
	t.Error = err.Error()
}

// End is where an envelope comes to rest.
type End struct {
	Hop    Hop
	Worker *Taker // nil: it waits for somebody who is not of these files
}

// Ends are all places where the envelope comes to rest: workers that are no
// dispatchers, queues that nobody here takes from, dispatchers that drop or
// dead-letter it.
func (h Hop) Ends() []End {
	if len(h.Takers) == 0 {
		return []End{{Hop: h}}
	}
	var ends []End
	for _, taker := range h.Takers {
		if len(taker.Routes) == 0 {
			ends = append(ends, End{h, &taker})
		}
		for _, route := range taker.Routes {
			ends = append(ends, route.Hop.Ends()...)
		}
	}
	return ends
}

// arrives says whether the envelope comes to somebody, or waits for somebody
// elsewhere.
func (e End) arrives() bool {
	return e.Worker == nil || e.Worker.Error == "" && e.Worker.Discarded == ""
}
