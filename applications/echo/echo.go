// Package echo is an application that answers with what it was told: to try a
// channel, or a dispatcher's routes.
package echo

import (
	"context"

	"switchboard/applications"
	"switchboard/message"
)

// Application echoes. It has no options.
type Application struct{}

var (
	_ applications.Application  = (*Application)(nil)
	_ applications.Deduplicator = (*Application)(nil)
)

// New makes an echo.
func New() *Application { return &Application{} }

// Deduplicates says that a second copy does no harm: transports recognise the
// second echo.
func (*Application) Deduplicates() bool { return true }

const help = "This is an echo: whatever you send comes back."

// Receive answers with the same text. A message without any is not answered, but
// for a session that begins: its person waits.
func (*Application) Receive(_ context.Context, m *message.Message) ([]*message.Message, error) {
	switch {
	case m.SessionEvent == message.SessionClose:
		return nil, nil
	case m.Content != "":
		return []*message.Message{m.Reply(m.Content)}, nil
	case m.SessionEvent == message.SessionNew:
		return []*message.Message{m.Reply(help)}, nil
	}
	return nil, nil
}
