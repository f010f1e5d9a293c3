// Package dispatcher is the worker that joins connectors: it takes envelopes
// from transports and applications, asks its router where each goes, publishes
// it there, and lets go of it when the broker has confirmed.
package dispatcher

import (
	"context"

	"switchboard/message"
	"switchboard/worker"
)

// Router is a dispatcher's rule. It decides; the dispatcher does the rest.
type Router interface {
	// Route says where an arrival goes: one target, or several that each get a
	// copy. It is called with the arrivals of each queue one at a time, in
	// order, with those of several queues at once, and must not publish anything
	// itself.
	//
	//   - No targets, or an error, sets the arrival aside in the dead letters,
	//     after as many attempts as the error asks for (message.Permanent: one).
	//   - message.Discard(reason) as error lets it go on purpose.
	//   - An event gets here only when nothing better tells who sent the
	//     message it is about.
	Route(ctx context.Context, a Arrival) ([]Target, error)
}

// Arrival is an envelope and the connector it came by. The router may read it
// and must not change it.
type Arrival = message.Envelope

// Target is where an envelope goes.
type Target struct {
	Connector string
	// Flow is the flow it goes on in; the arrival's own when empty.
	Flow message.Flow
	// Envelope is a changed copy (Arrival.Clone) to send instead of the arrival;
	// nil sends the arrival as it is.
	Envelope *message.Envelope
	// Rule says which rule decided, for `switchboard route`; may be empty.
	Rule string
}

// To makes targets that get the arrival as it is.
func To(connectors ...string) []Target {
	targets := make([]Target, len(connectors))
	for i, c := range connectors {
		targets[i] = Target{Connector: c}
	}
	return targets
}

// Names are the connectors of a dispatcher.
type Names struct {
	// Transports are where inbound messages and events come from and outbound
	// ones go.
	Transports []string
	// Exposed are where applications (or further dispatchers) are.
	Exposed []string
}

// Checker is the optional ability of a router to check its options against the
// dispatcher's connectors: a route to a name that is not there. Its errors are
// made with config.Field.
type Checker interface {
	Check(names Names) error
}

// Linter is the optional ability of a router to point at what stops nothing and
// is probably not meant: a transport without a route, a route that is never
// taken. It is called after Check; its errors are made with config.Field.
type Linter interface {
	Lint(names Names) error
}

// Env are what a router may use; it asks for them by a method
// Provision(context.Context, Env) error.
type Env = worker.Env
