package middleware

import (
	"context"

	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
)

// StaticProvider sets the provider (the network operator) of every message that
// passes, inbound and outbound, whatever it was.
type StaticProvider struct {
	// Provider is the name to set.
	Provider string `yaml:"provider"`
}

var _ worker.Middleware = (*StaticProvider)(nil)

// NewStaticProvider makes the middleware with its defaults.
func NewStaticProvider() *StaticProvider { return &StaticProvider{} }

// Validate checks that there is a provider.
func (s *StaticProvider) Validate() error {
	if s.Provider == "" {
		return options.Fieldf("provider", "is missing")
	}
	return nil
}

// Wrap sets the provider.
func (s *StaticProvider) Wrap(flow message.Flow, next worker.Handler) worker.Handler {
	if flow == message.EventFlow {
		return next
	}
	return func(ctx context.Context, e *message.Envelope) error {
		e.Message.Provider = s.Provider
		return next(ctx, e)
	}
}
