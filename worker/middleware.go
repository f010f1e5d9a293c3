package worker

import (
	"context"
	"fmt"
	"slices"

	"switchboard/message"
)

// Middleware sees, and may change, every envelope a worker consumes and
// publishes. An error is the envelope's outcome, as a plugin's is:
// message.Discard lets it go on purpose.
type Middleware interface {
	Consumed(ctx context.Context, e *message.Envelope) error
	Published(ctx context.Context, e *message.Envelope) error
}

// Layer is a middleware at its place in a stack.
type Layer struct {
	Name string
	Middleware
	// Lower priorities come first; equal ones in the file's order (in reverse
	// where published).
	ConsumePriority, PublishPriority int
}

// Stack is a worker's middleware: consumed envelopes pass it in order,
// published ones in reverse.
type Stack struct{ consume, publish []Layer }

// NewStack sorts layers, given in the file's order.
func NewStack(layers ...Layer) Stack {
	s := Stack{consume: slices.Clone(layers), publish: slices.Clone(layers)}
	slices.SortStableFunc(s.consume, func(a, b Layer) int { return a.ConsumePriority - b.ConsumePriority })
	slices.Reverse(s.publish)
	slices.SortStableFunc(s.publish, func(a, b Layer) int { return a.PublishPriority - b.PublishPriority })
	return s
}

// Bind gives the layers their env.
func (s Stack) Provision(ctx context.Context, env Env) error {
	for _, l := range s.consume {
		if err := Provision(ctx, l.Middleware, env); err != nil {
			return fmt.Errorf("middleware %s: %w", l.Name, err)
		}
	}
	return nil
}

// Consumed passes a consumed envelope through the stack.
func (s Stack) Consumed(ctx context.Context, e *message.Envelope) error {
	for _, l := range s.consume {
		if err := l.Middleware.Consumed(ctx, e); err != nil {
			return fmt.Errorf("middleware %s: %w", l.Name, err)
		}
	}
	return nil
}

// Published passes an envelope that is about to be published through the stack.
func (s Stack) Published(ctx context.Context, e *message.Envelope) error {
	for _, l := range s.publish {
		if err := l.Middleware.Published(ctx, e); err != nil {
			return fmt.Errorf("middleware %s: %w", l.Name, err)
		}
	}
	return nil
}
