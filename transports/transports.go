// Package transports is the frame around every transport: it hands outbound
// messages to the transport, tells the application what became of them, and
// lets go of them only then; and it publishes what the transport receives.
package transports

import (
	"context"

	"switchboard/message"
	"switchboard/worker"
)

// Transport speaks one outside protocol. Its methods are called from several
// goroutines, after Provision (see Env).
type Transport interface {
	// Run speaks with the outside until ctx ends. It gives what people send to
	// line, and answers the outside only after line has returned: then the
	// broker has the message.
	Run(ctx context.Context, line Publisher) error
	// Send hands a message to the outside and returns the identifier the
	// outside gave it, or "". Messages to one address come one after the other.
	//
	//   - message.Permanent: it cannot be sent; the application gets a nack.
	//   - message.RetryAfter, or any other error: it is tried again later.
	//   - It may block until the outside is there, as long as ctx lasts.
	Send(ctx context.Context, m *message.Message) (providerID string, err error)
}

// Publisher is how a transport speaks to its fleet. Each method returns when the
// broker has what it was given.
type Publisher interface {
	// Inbound takes a message from a person. transport_name is filled in.
	Inbound(ctx context.Context, m *message.Message) error
	// Event takes an event about an outbound message (NewDeliveryReport, …).
	Event(ctx context.Context, e *message.Event) error
	// Status takes word of how the transport is.
	Status(ctx context.Context, s *message.Status) error
}

// Env are what a transport may use; it asks for them by a method
// Provision(context.Context, Env) error.
type Env = worker.Env

// Acknowledger is the optional ability of a transport to tell when the frame
// should not publish an ack after Send: the transport reports by itself.
type Acknowledger interface {
	AcksItself() bool
}

// Windowed is the optional ability of a transport to have many messages
// underway at once: where the file leaves amqp_prefetch_count open, the frame
// has InFlight messages in hand.
type Windowed interface {
	InFlight() int
}

// Resender is the optional ability of a transport to tell a message that may
// have been in hand before from a new one: the frame then calls SendAgain in
// Send's place, with the same promises.
type Resender interface {
	SendAgain(ctx context.Context, m *message.Message) (providerID string, err error)
}
