// Package xmpp is a transport that speaks XMPP: as an account of a server, or as a
// component that serves a domain of addresses. A message is sent when the server has
// acknowledged it (XEP-0198; a component asks by a ping), and a person's message is
// acknowledged when the broker has it.
//
// A run is one run of a transport. It keeps a session (package switchboard/xmpp) up
// and gives it what Send brings; its receiver makes messages and events of what
// comes; its sent remembers which message a receipt or an error is about.
package xmpp

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"switchboard/internal/current"
	"switchboard/message"
	"switchboard/store"
	"switchboard/transports"
	"switchboard/worker"
)

// Transport is an XMPP client or component. Its fields are its options.
type Transport struct {
	Options `yaml:",inline"`

	state   store.State
	logger  *slog.Logger
	metrics *metrics

	selfPing time.Duration // how often each room is asked whether we are in it
	remember time.Duration // of what was sent, that it is not sent again

	current current.Value[*run] // of the present Run
}

var (
	_ transports.Transport  = (*Transport)(nil)
	_ transports.Windowed   = (*Transport)(nil)
	_ transports.Rememberer = (*Transport)(nil)
	_ transports.Linter     = (*Transport)(nil)
	_ worker.Account        = (*Transport)(nil)
)

// New makes a transport with its defaults.
func New() *Transport {
	return &Transport{Options: defaultOptions(), selfPing: selfPingEvery, logger: slog.New(slog.DiscardHandler)}
}

// Provision takes the state store, the logger and the registry of metrics.
func (t *Transport) Provision(_ context.Context, env transports.Env) error {
	if env.State == nil {
		return message.Permanent(errors.New("the XMPP transport needs a state store; set DATABASE_URL"))
	}
	if t.TransportName == "" {
		t.TransportName = env.Name
	}
	t.state, t.logger = env.Shared("xmpp"), env.Logger
	m, err := newMetrics(env.Registerer, t.TransportName)
	t.metrics = m
	return err
}

// InFlight is how many messages Send is of use for at once.
func (t *Transport) InFlight() int { return t.Window }

// Remember says how long what was sent is to be remembered.
func (t *Transport) Remember(ttl time.Duration) { t.remember = ttl }

// Run keeps the session until ctx ends.
func (t *Transport) Run(ctx context.Context, publisher transports.Publisher) error {
	if t.state == nil {
		return message.Permanent(errors.New("starting XMPP: Provision was not called"))
	}
	r, err := newRun(t, publisher)
	if err != nil {
		return message.Permanent(err)
	}
	t.current.Set(r)
	defer t.current.Clear()
	return r.run(ctx)
}

// Send sends a message and returns the id of its stanza once the server has it. It
// waits while the server is away.
func (t *Transport) Send(ctx context.Context, m *message.Message) (providerID string, err error) {
	return t.send(ctx, m, false)
}

// SendAgain is Send for a message that was in flight before: what the server has is
// not sent again, and what it may have is treated as unknown_policy says.
func (t *Transport) SendAgain(ctx context.Context, m *message.Message) (providerID string, err error) {
	return t.send(ctx, m, true)
}

func (t *Transport) send(ctx context.Context, m *message.Message, again bool) (providerID string, err error) {
	r, err := t.current.Get(ctx)
	if err != nil {
		return "", err
	}
	r.sends.RLock()
	defer r.sends.RUnlock()
	return r.send(ctx, m, again)
}
