// Package applications is the frame around every application: it hands inbound
// messages to the application and publishes its replies, and lets go of a
// message only when the broker has every reply.
package applications

import (
	"context"

	"switchboard/message"
	"switchboard/worker"
)

// Application answers messages.
type Application interface {
	// Receive takes a message and returns the replies (message.Reply), which go
	// out in their order. Messages from one person come one after the other.
	//
	//   - message.Permanent: the message is set aside in the dead letters.
	//   - Any other error: it is tried again later.
	//   - A message may come twice; its replies then have the same IDs, and no
	//     transport of this fleet sends them twice.
	Receive(ctx context.Context, m *message.Message) (replies []*message.Message, err error)
}

// SessionEnder is the optional ability to hear that a session ended. Without it
// a session's close is let go: there is nobody left to answer.
type SessionEnder interface {
	EndSession(ctx context.Context, m *message.Message) error
}

// EventReceiver is the optional ability to hear what became of messages. Without
// it events are let go.
type EventReceiver interface {
	ReceiveEvent(ctx context.Context, e *message.Event) error
}

// Windowed is the optional ability to handle many messages at once: where the
// file leaves amqp_prefetch_count open, InFlight of each queue are in flight.
type Windowed interface {
	InFlight() int
}

// Runner is the optional ability to speak first. Run lasts until ctx ends.
type Runner interface {
	Run(ctx context.Context, out Sender) error
}

// Sender takes messages to people.
type Sender interface {
	// Send returns when the broker has the message.
	Send(ctx context.Context, m *message.Message) error
}

// Env are what an application may use; it asks for them by a method
// Provision(context.Context, Env) error.
type Env = worker.Env
