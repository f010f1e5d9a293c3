package worker

import (
	"context"
	"errors"
	"fmt"

	"switchboard/broker"
	"switchboard/message"
)

// Runtime is what a frame is built on: it consumes queues, publishes envelopes,
// and keeps the life of the plugin and its middleware.
type Runtime struct {
	Dependencies
	Settings Settings
}

// Declare makes the queue of a connector's flow exist, so that what is published
// to it before its consumer starts is kept.
func (r *Runtime) Declare(ctx context.Context, connector string, flow message.Flow) error {
	return r.Broker.Declare(ctx, Subscription{Connector: connector, Flow: flow}.queue(r.Settings.QueueType))
}

// Provision gives the middleware and the plugin their environments.
func (r *Runtime) Provision(ctx context.Context, plugin any, env Env) error {
	if err := r.Stack.Provision(ctx, env); err != nil {
		return err
	}
	return Provision(ctx, plugin, env)
}

// Close ends the plugin and the middleware.
func (r *Runtime) Close(plugin any) {
	if err := errors.Join(Close(plugin), r.Stack.Close()); err != nil {
		r.Logger.Warn("a plugin did not close cleanly", "error", err)
	}
}

// Publish passes the envelope through the middleware and blocks until the
// broker has it.
func (r *Runtime) Publish(ctx context.Context, e *message.Envelope) error {
	return r.Stack.Publish(ctx, e, r.publish)
}

func (r *Runtime) publish(ctx context.Context, e *message.Envelope) error {
	body := e.Encode()
	err := r.Settings.CheckSize(body)
	if err == nil {
		err = r.Broker.Publish(ctx, broker.Publication{Key: e.Key(), Body: body})
	}
	r.Metrics.published(r.Name, e, err)
	return describePublish(e, err)
}

// PublishAsync publishes past the middleware and without waiting: done is called
// with the outcome.
func (r *Runtime) PublishAsync(ctx context.Context, e *message.Envelope, done func(error)) {
	body := e.Encode()
	published := func(err error) {
		r.Metrics.published(r.Name, e, err)
		done(describePublish(e, err))
	}
	if err := r.Settings.CheckSize(body); err != nil {
		published(err)
		return
	}
	r.Broker.PublishAsync(ctx, broker.Publication{Key: e.Key(), Body: body}, published)
}

// PublishBack gives an envelope to the consumer of this connector's flow and to
// nobody else who listens there, past the middleware, and blocks until the
// broker has it.
func (r *Runtime) PublishBack(ctx context.Context, e *message.Envelope) error {
	if err := r.Declare(ctx, e.Connector, e.Flow); err != nil {
		return err
	}
	return r.Put(ctx, e.Key(), e)
}

// Put puts an envelope at the end of a queue, past the middleware, and blocks until the
// broker has it.
func (r *Runtime) Put(ctx context.Context, queue string, e *message.Envelope) error {
	body := e.Encode()
	if err := r.Settings.CheckSize(body); err != nil {
		return describePublish(e, err)
	}
	return describePublish(e, r.Broker.Publish(ctx, broker.Publication{Queue: queue, Body: body}))
}

// PublishBody publishes a body that is no envelope (a failure, a status, a
// receipt) for whoever wants it; that nobody does is no error.
func (r *Runtime) PublishBody(ctx context.Context, key string, body []byte) error {
	err := r.Broker.Publish(ctx, broker.Publication{Key: key, Body: body})
	if errors.Is(err, broker.ErrUnroutable) {
		return nil
	}
	return err
}

func describePublish(e *message.Envelope, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("publishing %s to %s: %w", e, e.Key(), err)
	if errors.Is(err, broker.ErrUnroutable) {
		return message.Permanent(err)
	}
	return err
}
