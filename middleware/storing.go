package middleware

import (
	"context"

	"switchboard/message"
	"switchboard/worker"
)

// Storing is there so that a file that names Vumi's StoringMiddleware still
// runs: it stores nothing and says so once. The persistence worker keeps the
// record of messages, for every connector of the fleet and without slowing any
// worker down.
type Storing struct {
	// StorePrefix is accepted and ignored.
	StorePrefix string `yaml:"store_prefix"`
	// StoreOnConsume is accepted and ignored.
	StoreOnConsume bool `yaml:"store_on_consume"`
	// RedisManager is accepted and ignored.
	RedisManager any `yaml:"redis_manager"`
	// RiakManager is accepted and ignored.
	RiakManager any `yaml:"riak_manager"`
}

var _ worker.Middleware = (*Storing)(nil)

// NewStoring makes the middleware with its defaults.
func NewStoring() *Storing { return &Storing{} }

// Provision warns.
func (s *Storing) Provision(_ context.Context, env worker.Env) error {
	env.Logger.Warn("the storing middleware does nothing here; run a persistence worker, which records every message")
	return nil
}

// Wrap leaves everything as it is.
func (s *Storing) Wrap(_ message.Flow, next worker.Handler) worker.Handler { return next }
