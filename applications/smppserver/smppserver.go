// Package smppserver is an application that old SMPP clients bind to as if it
// were an SMSC: what customers submit goes out through the fleet, receipts and
// people's messages come back over their binds, and wait while they are away.
// Section numbers (§) are those of the SMPP 3.4 specification, issue 1.2.
package smppserver

import (
	"context"
	"errors"
	"fmt"
	"net"

	"switchboard/applications"
	"switchboard/internal/current"
	"switchboard/message"
	"switchboard/store/lease"
)

// Application is an SMPP server for customers. Its fields are its options.
type Application struct {
	Options `yaml:",inline"`

	env     applications.Env
	metrics *metrics
	lease   *lease.Lease
	engine  current.Value[*engine] // of the present Run, or the last
}

var (
	_ applications.Application  = (*Application)(nil)
	_ applications.Runner       = (*Application)(nil)
	_ applications.Relay        = (*Application)(nil)
	_ applications.Windowed     = (*Application)(nil)
	_ applications.Deduplicator = (*Application)(nil)
)

// Deduplicates says that the server remembers which messages and events its customers
// have.
func (*Application) Deduplicates() bool { return true }

// leaseKey is where the process that serves the customers has its lease.
const leaseKey = "lease"

// New makes a server with its defaults, that nobody may bind to yet.
func New() *Application {
	return &Application{Options: defaultOptions()}
}

// Provision takes the state store, the logger and the registry of metrics. It waits
// while another process serves the customers of the server of this name, so
// that this one takes nothing from the queues meanwhile.
func (a *Application) Provision(ctx context.Context, env applications.Env) error {
	if env.State == nil {
		return message.Permanent(errors.New("the SMPP server needs a state store; set DATABASE_URL"))
	}
	m, err := newMetrics(env.Registerer)
	if err != nil {
		return err
	}
	a.env, a.metrics, a.lease = env, m, lease.New(env.State, leaseKey, env.Logger)
	return a.lease.Acquire(ctx)
}

// Run serves customers until ctx ends, or another process has taken over; then
// it answers what is in flight, and unbinds them.
func (a *Application) Run(ctx context.Context, out applications.Sender) error {
	if a.env.State == nil {
		return message.Permanent(errors.New("starting the SMPP server: Provision was not called"))
	}
	e, err := newEngine(a, out)
	if err != nil {
		return message.Permanent(err)
	}
	defer a.lease.Release()
	defer e.end()
	if err = a.lease.Keep(ctx); err == nil {
		err = e.start(ctx)
	}
	a.engine.Set(e) // also one that failed: who waits for it shall not wait longer
	if err != nil {
		return err
	}
	a.metrics.active.Set(1)
	defer a.metrics.active.Set(0)
	defer e.stop()
	select {
	case <-ctx.Done():
		return nil
	case <-a.lease.Taken():
		return fmt.Errorf("another process has taken over this server, which unbinds its customers: %w", lease.ErrTaken)
	}
}

// Addrs are the addresses customers connect to: that of smpp_port, then that of
// tls_port. It waits until they are open.
func (a *Application) Addrs(ctx context.Context) ([]net.Addr, error) {
	e, err := a.engine.Get(ctx)
	if err != nil {
		return nil, fmt.Errorf("waiting for the SMPP server to start: %w", err)
	}
	var list []net.Addr
	for _, v := range e.servers {
		list = append(list, v.Addr())
	}
	return list, nil
}

// InFlight is so many that customers and the state store answer many at once.
func (a *Application) InFlight() int { return inFlight }

const inFlight = 500

// Receive is never called: Accept takes its place.
func (a *Application) Receive(context.Context, *message.Message) ([]*message.Message, error) {
	return nil, message.Permanent(errors.New("the SMPP server passes messages on; it answers none"))
}
