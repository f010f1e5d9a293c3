// Package transports is the frame around every transport. It has the transport
// send outbound messages, tells the application what became of them, and
// acknowledges them then; and it publishes what the transport receives.
package transports

import (
	"context"
	"time"

	"switchboard/message"
	"switchboard/worker"
)

// Transport speaks one outside protocol. Its methods are called from several
// goroutines, after Provision (see Env).
type Transport interface {
	// Run speaks with the outside until ctx ends. It publishes what people send,
	// and answers the outside only after out has returned: then the broker has the
	// message.
	Run(ctx context.Context, out Publisher) error
	// Send sends a message and returns the identifier the outside gave it, or "".
	// Messages to one address come one after the other.
	//
	//   - message.Permanent: it cannot be sent; the application gets a nack.
	//   - message.RetryAfter, or any other error: it is tried again later.
	//   - It may block until the outside is there, as long as ctx lasts.
	Send(ctx context.Context, m *message.Message) (providerID string, err error)
}

// Publisher is how a transport publishes. Each method returns when the broker has
// what it was given.
type Publisher interface {
	// Inbound takes a message from a person. transport_name is filled in.
	Inbound(ctx context.Context, m *message.Message) error
	// Event takes an event about an outbound message (NewDeliveryReport, …).
	Event(ctx context.Context, e *message.Event) error
	// Status says how a component of the transport is. Dispatchers choose by it,
	// and the process shows it on /status; call it at each change, and first when
	// Run begins.
	Status(ctx context.Context, s *message.Status) error
}

// Env is what a transport may use; its documentation tells the life of a
// transport.
type Env = worker.Env

// Acknowledger is the optional ability of a transport to tell when the frame
// should not publish an ack after Send: the transport reports by itself.
type Acknowledger interface {
	AcksItself() bool
}

// Windowed is the optional ability of a transport to send many messages at once:
// where the file leaves amqp_prefetch_count open, InFlight messages are in flight.
type Windowed interface {
	InFlight() int
}

// Resender is the optional ability of a transport to tell a message that may have
// been sent before from a new one: for it the frame calls SendAgain in Send's
// place, with the same promises.
type Resender interface {
	SendAgain(ctx context.Context, m *message.Message) (providerID string, err error)
}

// Rememberer is the optional ability of a Resender to remember by itself what it has
// sent, so that SendAgain does not send it twice. The frame calls Remember first, and
// says for how long; 0 is not at all. For others the frame remembers.
type Rememberer interface {
	Resender
	Remember(ttl time.Duration)
}

// Linter is the optional ability of a transport to point at what runs and may not
// be meant, for `switchboard check`.
type Linter interface {
	Lint() error
}
