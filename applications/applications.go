// Package applications is the frame around every application. It has the
// application answer inbound messages, publishes the replies, and acknowledges a
// message when the broker has all of them.
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
	//   - message.Permanent: the message is dead-lettered.
	//   - Any other error: it is tried again later.
	//   - A message may come twice when a process dies while it is handled. Its
	//     replies then have the same IDs, and no transport of this fleet sends
	//     them twice.
	Receive(ctx context.Context, m *message.Message) (replies []*message.Message, err error)
}

// SessionEnder is the optional ability to learn that a session ended. Without it
// a session's close is ignored: there is nobody left to answer.
type SessionEnder interface {
	EndSession(ctx context.Context, m *message.Message) error
}

// EventReceiver is the optional ability to learn what became of messages. Without
// it events are ignored.
type EventReceiver interface {
	ReceiveEvent(ctx context.Context, e *message.Event) error
}

// Windowed is the optional ability to handle many messages at once: where the
// file leaves amqp_prefetch_count open, InFlight of each queue are in flight.
type Windowed interface {
	InFlight() int
}

// ChannelWatcher is the optional ability to ask for the health of transports (Env.Health):
// those of Channels.
type ChannelWatcher interface {
	Channels() []string
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

// Deduplicator is the optional ability of an application to recognise a second
// copy of a message or event by itself, or to handle it twice without harm. The
// frame does not remember what it handled then.
type Deduplicator interface {
	Deduplicates() bool
}

// Linter is the optional ability of an application to warn of options that are
// valid and may not be meant. The loader calls it after Validate.
type Linter interface{ Lint() error }

// Env is what an application may use; its documentation tells the life of an
// application.
type Env = worker.Env
