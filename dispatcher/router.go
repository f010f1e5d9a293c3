// Package dispatcher is the worker that joins connectors. It consumes what
// transports and applications publish, asks its router where each envelope goes,
// publishes it there, and acknowledges it when the broker has confirmed. Read
// pipeline.go from top to bottom for the way of an envelope.
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
	//   - No targets, or an error, dead-letters the arrival, after as many attempts
	//     as the error asks for (message.Permanent: one).
	//   - message.Discard(reason) as error drops it.
	//   - An event gets here only when neither its return path nor memory tells
	//     who sent the message it is about.
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
// made with options.Field.
type Checker interface {
	Check(names Names) error
}

// Linter is the optional ability of a router to warn of options that are valid and
// probably not meant: a transport without a route, a route that is never taken.
// It is called after Check; its errors are made with options.Field.
type Linter interface {
	Lint(names Names) error
}

// Preparer is the optional ability of a router that asks the state store to ask
// for many messages at once. Prepare is called with arrivals that Route is about
// to be called with, in order, and fetches what they need in one round trip; what
// it cannot fetch, Route asks for itself.
type Preparer interface {
	Prepare(ctx context.Context, arrivals []Arrival)
}

// Returner is the optional ability of a router to change an event on its return
// path, as it changes inbound messages (their transport_name, say). The event's
// application is known already: Return must not choose another.
type Returner interface {
	Return(ctx context.Context, a Arrival, exposed string) (Target, error)
}

// Env is what a router may use; its documentation tells the life of a router.
type Env = worker.Env
