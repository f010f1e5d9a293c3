package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/broker"
	"switchboard/internal/backoff"
)

// How soon a lost connection is tried again. After a connection that lasted, the
// delays begin anew.
const (
	firstRetry   = 100 * time.Millisecond
	longestRetry = 5 * time.Second
	lasted       = 250 * time.Millisecond
)

// refusalsNeeded is how many refusals in a row make a refused login: RabbitMQ hangs
// up without a reason, as a broker that goes down does.
const refusalsNeeded = 2

// errLogin is wrapped into the error of a refused login.
var errLogin = errors.New("RabbitMQ refuses the login: check user, password and vhost in the URL, and the user's permissions")

// errNoGoodbye is why a connection is cut that RabbitMQ does not close in time.
var errNoGoodbye = errors.New("RabbitMQ did not close the connection in time")

// link keeps one connection up.
type link struct {
	role    string
	dialer  *dialer
	closing <-chan struct{}
	log     *slog.Logger
	metrics *metrics

	mu         sync.Mutex
	session    *session // nil while there is none
	changed    chan struct{}
	err        error // why there is none
	refusals   int
	up         time.Time // since when there is a session
	connects   int
	blocked    string
	reconnects int
}

type linkState struct {
	connected  bool
	blocked    string
	reconnects int
	err        error
}

func newLink(role string, d *dialer, closing <-chan struct{}, log *slog.Logger, m *metrics) *link {
	m.connected.WithLabelValues(role).Set(0)
	return &link{
		role: role, dialer: d, closing: closing, metrics: m,
		log:     log.With("component", "broker", "role", role),
		changed: make(chan struct{}),
		err:     errors.New("connecting"),
	}
}

// session is one connection from dialling until it is lost.
type session struct {
	conn   *amqp.Connection
	socket *socket
	gone   chan struct{} // closed when it is lost
	reason error         // set before gone is closed
}

// wait returns when the connection is lost, or ctx ends.
func (s *session) wait(ctx context.Context) error {
	select {
	case <-s.gone:
		return s.reason
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run connects again and again until ctx ends. serve uses the connection and
// returns when it cannot be used any more.
func (l *link) run(ctx context.Context, serve func(context.Context, *session) error) {
	retry := backoff.Backoff{Min: firstRetry, Max: longestRetry}
	for ctx.Err() == nil {
		if l.down(ctx, l.once(ctx, serve)) {
			retry.Reset()
		}
		retry.Wait(ctx)
	}
}

func (l *link) once(ctx context.Context, serve func(context.Context, *session) error) error {
	conn, sock, err := l.dialer.dial(ctx, l.role)
	if err != nil {
		return err
	}
	s := &session{conn: conn, socket: sock, gone: make(chan struct{})}
	closes := conn.NotifyClose(make(chan *amqp.Error, 1))
	blocks := conn.NotifyBlocked(make(chan amqp.Blocking, 16))
	var watch sync.WaitGroup
	watch.Go(func() { l.watch(s, closes, blocks) })
	err = serve(ctx, s)
	// In alarm RabbitMQ does not read, but its heartbeats keep the connection alive.
	hangUp := time.AfterFunc(closeHandshake, func() { sock.out.Fail(errNoGoodbye) })
	defer hangUp.Stop()
	if e := conn.CloseDeadline(time.Now().Add(closeHandshake)); e != nil && !errors.Is(e, amqp.ErrClosed) {
		l.log.Debug("closing connection", "error", e)
	}
	watch.Wait()
	if ctx.Err() == nil && s.reason != nil {
		err = s.reason // says more than the error of the call it interrupted
	}
	return err
}

// watch reads the connection's notifications until it is closed.
func (l *link) watch(s *session, closes <-chan *amqp.Error, blocks <-chan amqp.Blocking) {
	for {
		select {
		case e, open := <-closes:
			if open && s.reason == nil {
				s.reason = e
				continue // until the library has closed all channels
			}
			l.setBlocked("")
			close(s.gone)
			return
		case b, open := <-blocks:
			if !open {
				blocks = nil
				continue
			}
			l.block(b)
		}
	}
}

func (l *link) block(b amqp.Blocking) {
	if !b.Active {
		l.log.Info("RabbitMQ takes bodies again")
		l.setBlocked("")
		return
	}
	reason := b.Reason
	if reason == "" {
		reason = "RabbitMQ is short of resources"
	}
	l.log.Warn("RabbitMQ takes no bodies: publishing waits", "reason", reason)
	l.metrics.blockings.Inc()
	l.setBlocked(reason)
}

func (l *link) setBlocked(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.blocked == reason {
		return
	}
	l.blocked = reason
	l.metrics.blocked.WithLabelValues(l.role).Set(boolGauge(reason != ""))
	l.broadcast()
}

// offer lets get return a connection that is set up.
func (l *link) offer(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session, l.err, l.refusals, l.up = s, nil, 0, time.Now()
	l.connects++
	if l.connects > 1 {
		l.reconnects++
		l.metrics.reconnects.WithLabelValues(l.role).Inc()
	}
	l.metrics.connected.WithLabelValues(l.role).Set(1)
	l.log.Info("connected to RabbitMQ", "host", l.dialer.host, "reconnects", l.reconnects)
	l.broadcast()
}

// down records that there is no connection and why. It reports whether there was one
// that lasted.
func (l *link) down(ctx context.Context, err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.session != nil
	l.session = nil
	l.metrics.connected.WithLabelValues(l.role).Set(0)
	if err == nil {
		err = errors.New("the connection was closed")
	}
	if refused(err) {
		l.refusals++
	} else {
		l.refusals = 0
	}
	if l.refusals >= refusalsNeeded {
		err = fmt.Errorf("%w (%w)", errLogin, err)
	}
	if ctx.Err() == nil && (was || l.err == nil || l.err.Error() != err.Error()) {
		l.log.Warn("not connected to RabbitMQ, trying again", "host", l.dialer.host, "error", err)
	}
	l.err = err
	l.broadcast()
	return was && time.Since(l.up) > lasted
}

// refused reports whether err is a refused login and not a lost connection. Other
// reasons may pass: too many connections, a vhost that does not exist yet.
func refused(err error) bool {
	var e *amqp.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code == amqp.AccessRefused || e.Code == amqp.NotAllowed && strings.Contains(e.Reason, "access to vhost")
}

func (l *link) broadcast() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *link) state() linkState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return linkState{connected: l.session != nil, blocked: l.blocked, reconnects: l.reconnects, err: l.err}
}

// get waits for a connection until ctx ends or Close is called. With failRefused, a
// refused login fails with errLogin.
func (l *link) get(ctx context.Context, failRefused bool) (*session, error) {
	for {
		l.mu.Lock()
		s, changed, err := l.session, l.changed, l.err
		l.mu.Unlock()
		if s != nil && !s.conn.IsClosed() {
			return s, nil
		}
		if failRefused && errors.Is(err, errLogin) {
			return nil, err
		}
		if err := l.pause(ctx, changed); err != nil {
			return nil, err
		}
	}
}

// pause waits for a change; its error says what did not happen.
func (l *link) pause(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-l.closing:
		return broker.ErrClosed
	case <-ctx.Done():
		st := l.state()
		if st.err != nil {
			return fmt.Errorf("waiting for RabbitMQ on %s (%w): %w", l.dialer.host, st.err, ctx.Err())
		}
		if st.blocked != "" {
			return fmt.Errorf("waiting until RabbitMQ takes bodies again (%s): %w", st.blocked, ctx.Err())
		}
		return ctx.Err()
	}
}
