// Package echo is an application that answers with what it was told: to try a
// channel, or a dispatcher's routes.
package echo

import (
	"context"
	"strings"

	"switchboard/applications"
	"switchboard/message"
)

// Application echoes. It has no options.
type Application struct{}

var _ applications.Application = (*Application)(nil)

// New makes an echo.
func New() *Application { return &Application{} }

const help = "This is an echo: whatever you send comes back."

// Receive answers with the same text. A message without any (a session that
// begins) and a bare "echo" are told what this is.
func (*Application) Receive(_ context.Context, m *message.Message) ([]*message.Message, error) {
	text := strings.TrimSpace(m.Content)
	switch {
	case m.SessionEvent == message.SessionClose:
		return nil, nil
	case text == "", strings.EqualFold(text, "echo"):
		return []*message.Message{m.Reply(help)}, nil
	}
	return []*message.Message{m.Reply(m.Content)}, nil
}
