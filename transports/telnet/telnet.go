// Package telnet is a transport for people who type: with telnet (RFC 854), nc
// or PuTTY. A connection is a session, a line is a message, /quit ends it.
package telnet

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"switchboard/internal/listen"
	"switchboard/message"
	"switchboard/options"
	"switchboard/transports"
)

// Transport is a telnet server. A person's address is the host:port of the
// connection ([host]:port for IPv6), so it ends with the connection.
type Transport struct {
	// TelnetPort is the TCP port to listen on; 0 takes any free one. Either
	// this or twisted_endpoint must be given. Example: 9010.
	TelnetPort *int `yaml:"telnet_port"`
	// TelnetHost is the address of this machine that telnet_port is opened on:
	// 0.0.0.0 for all of them. Telnet has no passwords and no encryption.
	TelnetHost string `yaml:"telnet_host"`
	// TwistedEndpoint is the port as Vumi's files have it, with an interface
	// where only one is to be listened on; default none.
	// Example: tcp:9010:interface=127.0.0.1.
	TwistedEndpoint string `yaml:"twisted_endpoint"`
	// ToAddr is the address people's messages are sent to; default telnet.
	// Example: "9292".
	ToAddr string `yaml:"to_addr"`
	// TransportType is the messages' transport_type; default telnet.
	TransportType string `yaml:"transport_type"`
	// MaxConnections is how many people may be connected at once; whoever
	// comes after them is told to try again later. Default 1000.
	MaxConnections int `yaml:"max_connections"`

	addressed bool // people say who they are, and to whom they speak

	logger *slog.Logger

	port    listen.Port
	mu      sync.Mutex
	clients map[string]*client // by address
}

var _ transports.Transport = (*Transport)(nil)

const (
	defaultAddress        = "telnet"
	defaultHost           = "127.0.0.1"
	defaultMaxConnections = 1000
)

// New makes a transport with its defaults.
func New() *Transport {
	return &Transport{
		TelnetHost: defaultHost, ToAddr: defaultAddress, TransportType: defaultAddress, MaxConnections: defaultMaxConnections,
		logger: slog.New(slog.DiscardHandler), clients: map[string]*client{},
	}
}

// NewAddressed makes a transport that asks people for to_addr and from_addr first.
func NewAddressed() *Transport {
	t := New()
	t.addressed = true
	return t
}

// Validate checks the options.
func (t *Transport) Validate() error {
	errs := []error{t.validatePort()}
	if t.ToAddr == "" {
		errs = append(errs, options.Fieldf("to_addr", "must not be empty: replies come from it"))
	}
	if t.MaxConnections < 1 {
		errs = append(errs, options.Fieldf("max_connections", "must be at least 1"))
	}
	return errors.Join(errs...)
}

func (t *Transport) validatePort() error {
	if (t.TelnetPort == nil) == (t.TwistedEndpoint == "") {
		return options.Fieldf("telnet_port", "either telnet_port or twisted_endpoint must be given, for example telnet_port: 9010")
	}
	_, err := t.listenAddress()
	return err
}

// Provision takes the logger.
func (t *Transport) Provision(_ context.Context, env transports.Env) error {
	t.logger = env.Logger
	return nil
}

// Addr is the address the server listens on; it waits until there is one.
func (t *Transport) Addr(ctx context.Context) (net.Addr, error) { return t.port.Addr(ctx) }

// stopGrace is how long the end of the sessions may take to reach the broker
// when the transport stops.
const stopGrace = 3 * time.Second

// Run serves people until ctx ends; then it hangs up on each of them and says
// that their sessions are over.
func (t *Transport) Run(ctx context.Context, line transports.Publisher) error {
	listener, err := t.listen(ctx)
	if err != nil {
		return err
	}
	defer t.port.Forget()
	work, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	hungUp := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(hungUp)
		_ = listener.Close()
		t.hangUpAll()
		time.AfterFunc(stopGrace, giveUp)
	})
	// The next Run must not have its clients hung up by the end of this one.
	defer func() {
		if !stop() {
			<-hungUp
		}
	}()
	var group sync.WaitGroup
	statuses := transports.NewStatuses(line, t.logger)
	statuses.Tell("listener", message.OK, "listening", "People can connect.")
	group.Go(func() { statuses.Run(ctx) })
	listen.Accept(ctx, listener, t.logger, func(conn net.Conn) {
		group.Go(func() { t.protect(conn, func() { t.serve(ctx, work, conn, line) }) })
	})
	group.Wait()
	return nil
}

func (t *Transport) listen(ctx context.Context) (net.Listener, error) {
	address, err := t.listenAddress()
	if err != nil {
		return nil, message.Permanent(err)
	}
	listener, err := t.port.Open(ctx, address, "telnet_port")
	if err != nil {
		return nil, message.Permanent(err)
	}
	t.logger.Info("listening for telnet", "address", listener.Addr().String())
	return listener, nil
}

// protect makes a panic over one connection that connection's end, and not the
// process's.
func (t *Transport) protect(conn net.Conn, serve func()) {
	defer func() {
		if v := recover(); v != nil {
			t.logger.Error("a telnet session panicked and is hung up", "client", conn.RemoteAddr(), "panic", v, "stack", string(debug.Stack()))
			_ = conn.Close()
		}
	}()
	serve()
}

// unknownAddress is, word for word, the nack_reason of Vumi's transport.
type unknownAddress struct{}

func (unknownAddress) Error() string { return "Unknown address." }

// Send writes a message to the person connected from its to_addr. A session
// close hangs up after it.
func (t *Transport) Send(ctx context.Context, m *message.Message) (providerID string, err error) {
	t.mu.Lock()
	c := t.clients[m.To]
	t.mu.Unlock()
	if c == nil {
		return "", message.Permanent(unknownAddress{})
	}
	if err := c.write(ctx, encodeText(m.Content)); err != nil {
		return "", err
	}
	if m.SessionEvent == message.SessionClose {
		t.remove(c)
		c.hangUp()
	}
	return "", nil
}
