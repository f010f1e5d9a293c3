// Package smpp is a transport that speaks SMPP 3.3, 3.4 and 5.0 to an SMSC as an
// ESME does: it binds, submits messages within a window and a rate, keeps the
// receipts' way back to the messages, and takes what people send. Section
// numbers (§) are those of the SMPP 3.4 specification, issue 1.2.
//
// Package binds keeps the binds up and schedules submits over them; package
// submissions remembers what was submitted, and finds the message of a receipt.
// Here, a run is one run of a transport, with its sender, receiver and querier.
package smpp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/current"
	"switchboard/message"
	"switchboard/store"
	"switchboard/transports"
	"switchboard/transports/smpp/binds"
	"switchboard/worker"
)

// Transport is an ESME. Its fields are its options.
type Transport struct {
	Options `yaml:",inline"`

	state      store.State
	logger     *slog.Logger
	registerer prometheus.Registerer
	metrics    *metrics
	monitor    *worker.Monitor
	remember   time.Duration // how long what was sent is remembered

	current current.Value[*run] // of the present Run
}

var (
	_ transports.Transport    = (*Transport)(nil)
	_ transports.Acknowledger = (*Transport)(nil)
	_ transports.Windowed     = (*Transport)(nil)
	_ transports.Rememberer   = (*Transport)(nil)
	_ worker.Listener         = (*Transport)(nil)
)

// New makes a transport with its defaults, which binds as a transceiver.
func New() *Transport {
	return &Transport{Options: defaultOptions(), logger: slog.New(slog.DiscardHandler)}
}

// NewTransmitter makes a transport that only sends, for a pair of workers that
// share split_bind_prefix.
func NewTransmitter() *Transport {
	t := New()
	t.BindMode = binds.ModeTransmitter
	return t
}

// NewReceiver makes a transport that only receives.
func NewReceiver() *Transport {
	t := New()
	t.BindMode = binds.ModeReceiver
	return t
}

// Provision takes the state store, the logger and the registry of metrics.
func (t *Transport) Provision(_ context.Context, env transports.Env) error {
	if env.State == nil {
		return message.Permanent(errors.New("the SMPP transport needs a state store; set DATABASE_URL"))
	}
	if t.TransportName == "" {
		t.TransportName = env.Name
	}
	// A transmitter and a receiver of one SMSC share what they remember.
	t.state, t.logger, t.registerer, t.monitor = env.Shared("smpp"), env.Logger, env.Registerer, env.Monitor
	m, err := newMetrics(env.Registerer, t.TransportName)
	t.metrics = m
	return err
}

// Remember says for how long what was sent is to be remembered.
func (t *Transport) Remember(ttl time.Duration) { t.remember = ttl }

// AcksItself says that no acks are wanted, as disable_ack does.
func (t *Transport) AcksItself() bool { return t.DisableAck }

// handling is how many more messages are in flight than are at the SMSC: a database
// records hundreds at once, and would be waited for with fewer.
const handling = 400

// InFlight is how many messages Send is of use for at once: no more than a rate
// lets go in about a second, so that a stop need not wait for many.
func (t *Transport) InFlight() int {
	more := handling
	if t.MTTPS > 0 {
		more = min(more, t.MTTPS*t.Binds)
	}
	return t.Window*t.Binds + more
}

// Listens says where SMSCs that use outbind find the transport.
func (t *Transport) Listens() []string {
	e, err := binds.ParseEndpoint(t.OutbindEndpoint)
	if err != nil {
		return nil // there is none, or Validate says so
	}
	return []string{e.Address}
}

// Run keeps the binds until ctx ends, then unbinds.
func (t *Transport) Run(ctx context.Context, publisher transports.Publisher) error {
	if t.state == nil {
		return message.Permanent(errors.New("starting SMPP: Provision was not called"))
	}
	r, err := newRun(t, publisher)
	if err != nil {
		return message.Permanent(err)
	}
	t.current.Set(r)
	defer t.current.Clear()
	return r.run(ctx)
}

// running is the present run; it waits until there is one.
func (t *Transport) running(ctx context.Context) (*run, error) {
	r, err := t.current.Get(ctx)
	if err != nil {
		return nil, fmt.Errorf("waiting for SMPP to start: %w", err)
	}
	return r, nil
}

var errReceiver = errors.New("this SMPP transport is bound as a receiver and cannot send; send through the transmitter")

// Send submits a message, and returns the SMSC's id of its first segment. It waits while
// nothing is bound, the window is full or the rate is used up.
func (t *Transport) Send(ctx context.Context, m *message.Message) (providerID string, err error) {
	return t.through(ctx, func(s *sender) (string, error) { return s.send(ctx, m, nil) })
}

// SendAgain is Send for a message that was in flight before: parts the SMSC took
// are not submitted again, and those it did not answer are treated as
// unknown_policy says.
func (t *Transport) SendAgain(ctx context.Context, m *message.Message) (providerID string, err error) {
	return t.through(ctx, func(s *sender) (string, error) { return s.sendAgain(ctx, m) })
}

// through sends by the present run, which does not end meanwhile.
func (t *Transport) through(ctx context.Context, send func(*sender) (string, error)) (providerID string, err error) {
	if !t.BindMode.Sends() {
		return "", message.Permanent(errReceiver)
	}
	r, err := t.running(ctx)
	if err != nil {
		return "", err
	}
	r.sends.RLock()
	defer r.sends.RUnlock()
	return send(r.sender)
}
