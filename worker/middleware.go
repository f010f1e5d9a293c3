package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"switchboard/message"
)

// Handler does the rest of the work with an envelope; its error is the
// envelope's outcome.
type Handler func(ctx context.Context, e *message.Envelope) error

// Middleware is laid around what a worker does with the envelopes it consumes
// and publishes. Each envelope passes it once in a worker.
type Middleware interface {
	// Wrap returns a handler around next, or next itself for a flow that the
	// middleware has nothing to do with. It is called once for each flow, after
	// Provision.
	//
	//   - next returns when the work is done: a message is sent or answered, or
	//     published and confirmed by the broker. Its error says what becomes of
	//     the envelope (message.Discard, Permanent, RetryAfter, …).
	//   - The handler may change the envelope before it calls next, call next
	//     again, or return without calling it: its own error is the outcome then,
	//     and nil drops the envelope.
	//   - It calls next with its ctx or one made of it, and not after it returned.
	//   - It is called from several goroutines. In a dispatcher, the envelopes of
	//     one queue come in their order until next is called.
	Wrap(flow message.Flow, next Handler) Handler
}

// Layer is a middleware in a stack.
type Layer struct {
	Name string
	Middleware
	// Lower priorities are further out; equal ones in the file's order (in
	// reverse for published envelopes).
	ConsumePriority, PublishPriority int
}

// Stack is a worker's middleware. Consumed envelopes pass the first layer
// first, published ones the last.
type Stack struct {
	consume, publish []Layer
	chains           *chains
}

// NewStack sorts layers, given in the file's order.
func NewStack(layers ...Layer) Stack {
	s := Stack{consume: slices.Clone(layers), publish: slices.Clone(layers), chains: new(chains)}
	slices.SortStableFunc(s.consume, func(a, b Layer) int { return a.ConsumePriority - b.ConsumePriority })
	slices.Reverse(s.publish)
	slices.SortStableFunc(s.publish, func(a, b Layer) int { return a.PublishPriority - b.PublishPriority })
	return s
}

// Provision gives the layers their environments.
func (s Stack) Provision(ctx context.Context, env Env) error {
	for _, l := range s.consume {
		if err := Provision(ctx, l.Middleware, env.layer(l.Name)); err != nil {
			return fmt.Errorf("middleware %s: %w", l.Name, err)
		}
	}
	return nil
}

// Close ends the layers.
func (s Stack) Close() error {
	var errs []error
	for _, l := range slices.Backward(s.consume) {
		if err := Close(l.Middleware); err != nil {
			errs = append(errs, fmt.Errorf("middleware %s: %w", l.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Consume passes a consumed envelope through the stack to next.
func (s Stack) Consume(ctx context.Context, e *message.Envelope, next Handler) error {
	if len(s.consume) == 0 {
		return Protect(func() error { return next(ctx, e) })
	}
	return pass(ctx, e, s.chains.of(s).consume[e.Flow], next)
}

// Publish passes an envelope that is to be published through the stack to next.
func (s Stack) Publish(ctx context.Context, e *message.Envelope, next Handler) error {
	if len(s.publish) == 0 {
		return next(ctx, e)
	}
	return pass(ctx, e, s.chains.of(s).publish[e.Flow], next)
}

// Start is Consume for work that goes on by itself: start begins it and calls
// its done with the outcome. Start returns when start has returned, or a
// middleware ended the envelope's way before; so what is started one after the
// other keeps its order, and waits for no outcome. done is called once.
func (s Stack) Start(ctx context.Context, e *message.Envelope, start func(ctx context.Context, e *message.Envelope, done func(error)), done func(error)) {
	if len(s.consume) == 0 {
		start(ctx, e, done)
		return
	}
	started := make(chan struct{})
	release := sync.OnceFunc(func() { close(started) })
	go func() {
		err := s.Consume(ctx, e, func(ctx context.Context, e *message.Envelope) error {
			outcome := make(chan error, 1)
			start(ctx, e, func(err error) { outcome <- err })
			release()
			return <-outcome
		})
		release()
		done(err)
	}()
	<-started
}

// chains are the handlers of a stack, by flow. They are built when they are
// first used; their innermost handler is the one in its context.
type chains struct {
	once             sync.Once
	consume, publish map[message.Flow]Handler
}

func (c *chains) of(s Stack) *chains {
	c.once.Do(func() { c.consume, c.publish = chain(s.consume), chain(s.publish) })
	return c
}

func chain(layers []Layer) map[message.Flow]Handler {
	byFlow := map[message.Flow]Handler{}
	for _, flow := range [...]message.Flow{message.Inbound, message.Outbound, message.EventFlow} {
		handler := innermost
		for _, l := range slices.Backward(layers) {
			handler = l.wrap(flow, handler)
		}
		byFlow[flow] = handler
	}
	return byFlow
}

// wrap names the layer in its own errors, not in those of next.
func (l Layer) wrap(flow message.Flow, next Handler) Handler {
	handler := l.Wrap(flow, next)
	return func(ctx context.Context, e *message.Envelope) error {
		err := handler(ctx, e)
		var named outcome
		if err == nil || errors.As(err, &named) {
			return err
		}
		return outcome{fmt.Errorf("middleware %s: %w", l.Name, err)}
	}
}

// outcome is an error whose origin needs no further mention.
type outcome struct{ error }

func (o outcome) Unwrap() error { return o.error }

type nextKey struct{}

func pass(ctx context.Context, e *message.Envelope, chain, next Handler) error {
	err := Protect(func() error { return chain(context.WithValue(ctx, nextKey{}, next), e) })
	if o, is := err.(outcome); is { //nolint:errorlint // only the outermost wrapping is taken off
		return o.error
	}
	return err
}

func innermost(ctx context.Context, e *message.Envelope) error {
	next, has := ctx.Value(nextKey{}).(Handler)
	if !has {
		return errors.New("a middleware called next with a context of its own")
	}
	if err := next(ctx, e); err != nil {
		return outcome{err}
	}
	return nil
}

// Pair is the shape of Vumi's middleware: one method for what is consumed and
// one for what is published. Either changes the envelope, or ends its way with
// an error.
type Pair interface {
	Consumed(ctx context.Context, e *message.Envelope) error
	Published(ctx context.Context, e *message.Envelope) error
}

// FromPair makes a middleware of a pair. A transport consumes outbound messages
// and publishes the rest, an application the other way round; in a dispatcher
// every envelope is consumed, once, and what the router makes by itself too.
func FromPair(p Pair) Middleware { return &pair{Pair: p} }

type pair struct {
	Pair
	env Env
}

// Provision provisions the pair.
func (p *pair) Provision(ctx context.Context, env Env) error {
	p.env = env
	return Provision(ctx, p.Pair, env)
}

// Close closes the pair.
func (p *pair) Close() error { return Close(p.Pair) }

// Wrap calls one of the pair's methods before next.
func (p *pair) Wrap(flow message.Flow, next Handler) Handler {
	before := p.Consumed
	if p.env.Publishes(flow) {
		before = p.Published
	}
	return func(ctx context.Context, e *message.Envelope) error {
		if err := before(ctx, e); err != nil {
			return err
		}
		return next(ctx, e)
	}
}
