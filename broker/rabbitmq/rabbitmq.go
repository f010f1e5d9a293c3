// Package rabbitmq implements broker.Broker on RabbitMQ 3.10 to 4.x by AMQP 0-9-1. It
// reconnects by itself and declares again what was declared; callers notice only
// that it took a while.
package rabbitmq

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/broker"
	"switchboard/internal/inflight"
)

// The defaults of Settings.
const (
	DefaultHeartbeat     = 10 * time.Second
	DefaultPublishWindow = 1000
)

const (
	// closeHandshake bounds closing a connection to a broker that does not answer.
	closeHandshake = 2 * time.Second
	// maxName bounds a connection's name, in bytes. RabbitMQ takes no frame above 4 KiB before
	// the login, and says of a longer one that user or password are wrong.
	maxName = 1000
)

// Settings of a connection to RabbitMQ. Only URL is needed.
type Settings struct {
	// URL is amqp://user:password@host:port/vhost, or amqps:// for TLS.
	URL string
	// Name is how RabbitMQ's management page shows the connections; a long one is cut.
	Name string
	// Heartbeat is sent on an idle connection, in whole seconds; a connection
	// that is silent for about three times as long is closed.
	Heartbeat time.Duration
	// PublishWindow bounds the confirms outstanding.
	PublishWindow int
	TLS           TLS
	// DeadLetter makes the headers of a body over broker.MaxBody that no consumer receives:
	// it moves to the dead letters of its queue. Consumers receive such bodies where it is
	// nil, and over TLS.
	DeadLetter func(d *broker.Delivery, size uint64) broker.Headers
	Logger     *slog.Logger          // none when nil
	Metrics    prometheus.Registerer // none when nil
}

// TLS are the PEM files of an amqps connection. They are read at each connect, so
// renewed certificates need no restart.
type TLS struct {
	CAFile     string // whom to trust; the system's authorities when empty
	CertFile   string // the client's certificate, if the broker asks for one
	KeyFile    string // and its key
	ServerName string // as in the broker's certificate; the URL's host when empty
}

// Broker has one connection to publish and one to consume, so that flow control on
// the one never stops the acknowledgements on the other. Browsing and moving large bodies
// have one for as long as they take.
type Broker struct {
	topology  *topology
	publisher *publisher
	publish   *link
	consume   *link // also for Admin: it is never blocked
	browse    *link // of which each Browse has a connection of its own
	delays    *delays
	log       *slog.Logger
	metrics   *metrics
	tracker   consumerTracker

	deadLetter func(d *broker.Delivery, size uint64) broker.Headers
	// Only serveConsumers uses these.
	tooLarge    bool // a body waits in a queue that is
	failedMoves int  // in a row

	closing    chan struct{} // closed when Close begins: nothing new is taken
	draining   chan struct{} // closed once all confirms are in: the last acks are sent
	stop       context.CancelFunc
	links      sync.WaitGroup
	consumers  inflight.Group // that still have acknowledgements to send
	beginClose sync.Once
	endClose   sync.Once
}

var _ broker.Broker = (*Broker)(nil)

// Open begins to connect and returns at once: RabbitMQ need not be up. It fails only
// for settings that can never work.
func Open(s Settings) (*Broker, error) {
	s.setDefaults()
	dialer, err := newDialer(s)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(s.Metrics)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Broker{
		topology: newTopology(),
		log:      s.Logger,
		metrics:  m,
		closing:  make(chan struct{}),
		draining: make(chan struct{}),
		stop:     stop,

		deadLetter: s.DeadLetter,
	}
	b.delays = newDelays(b)
	b.publisher = newPublisher(b, s.PublishWindow)
	b.publish = newLink("publish", dialer, b.closing, s.Logger, m)
	b.consume = newLink(roleConsume, dialer, b.closing, s.Logger, m)
	b.browse = &link{ // without a metric, as it is up only while it is used
		role: roleBrowse, dialer: dialer, closing: b.closing, metrics: m,
		log:     s.Logger.With("component", "broker", "role", roleBrowse),
		changed: make(chan struct{}),
	}
	b.links.Go(func() { b.publish.run(ctx, b.publisher.serve) })
	b.links.Go(func() { b.consume.run(ctx, b.serveConsumers) })
	return b, nil
}

func (s *Settings) setDefaults() {
	if s.Heartbeat <= 0 {
		s.Heartbeat = DefaultHeartbeat
	}
	if s.PublishWindow <= 0 {
		s.PublishWindow = DefaultPublishWindow
	}
	if s.Name == "" {
		s.Name = "switchboard"
	}
	if len(s.Name) > maxName {
		s.Name = strings.ToValidUTF8(s.Name[:maxName], "") + " …"
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
}

// serveConsumers lets consumers use a connection until it is lost.
func (b *Broker) serveConsumers(ctx context.Context, s *session) error {
	ch, err := s.conn.Channel()
	if err != nil {
		return fmt.Errorf("opening channel: %w", err)
	}
	if err := declareExchange(ch); err != nil {
		return err
	}
	if err := ch.Close(); err != nil {
		return fmt.Errorf("closing channel: %w", err)
	}
	if b.tooLarge {
		if err := b.moveAllLarge(ctx, s); err != nil {
			return err
		}
	}
	b.consume.offer(s)
	err = s.wait(ctx)
	b.tooLarge = s.socket.tooLarge.Load()
	return err
}

// State implements broker.Broker.
func (b *Broker) State() broker.State {
	p, c := b.publish.state(), b.consume.state()
	st := broker.State{
		Connected:  p.connected && c.connected,
		Blocked:    p.blocked,
		Reconnects: p.reconnects + c.reconnects,
		Idle:       b.tracker.idle(),
		Unroutable: b.publisher.unroutableKey(),
	}
	if st.Blocked == "" {
		st.Blocked = c.blocked
	}
	switch {
	case !p.connected:
		st.LastError = p.err
	case !c.connected:
		st.LastError = c.err
	}
	if b.isClosing() {
		st.Connected, st.LastError = false, broker.ErrClosed
	}
	return st
}

func (b *Broker) isClosing() bool {
	select {
	case <-b.closing:
		return true
	default:
		return false
	}
}

// Close implements broker.Broker.
func (b *Broker) Close(ctx context.Context) error {
	b.beginClose.Do(func() { close(b.closing) })
	err := b.publisher.drain(ctx)
	b.endClose.Do(func() { close(b.draining) })
	if e := b.consumers.Wait(ctx); e != nil && err == nil {
		err = fmt.Errorf("closing: sending the last acknowledgements: %w", e)
	}
	b.stop()
	b.links.Wait()
	b.publisher.callbacks.Wait()
	return err
}
