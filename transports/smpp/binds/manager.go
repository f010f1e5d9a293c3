// Package binds keeps a transport's binds to an SMSC up (SMPP 3.4 §2), and
// submits through them: what is given to the Queue goes out in order, within
// each bind's window and rate, through whichever bind may take it. What the SMSC
// delivers goes to Settings.Deliver.
package binds

import (
	"context"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"switchboard/internal/backoff"
	"switchboard/internal/listen"
	"switchboard/message"
	"switchboard/smpp/pdu"
)

// Settings are what a Manager needs.
type Settings struct {
	*Options
	// Deliver takes what a deliver_sm or data_sm brings, in the order of its
	// coming, and returns the work to be done for it: in order for one person, in
	// parallel for several; it ends soon when its context does. A message.Permanent
	// error rejects it for good.
	Deliver func(p *pdu.PDU, m *pdu.Message) func(context.Context) error
	// Status tells how the binds are.
	Status func(health message.Health, kind, text string, reasons ...string)
	// Pace is called when mt_tps, or what throttling taught, holds a submit back.
	Pace func()
	// ProtocolError counts what the SMSC should not have sent.
	ProtocolError func(what string)
	Metrics       *Metrics
	Logger        *slog.Logger
}

// Manager keeps binds.
type Manager struct {
	Queue *Queue

	settings Settings
	address  string // of the SMSC, host:port
	wrapped  bool   // in TLS
	binds    []*bind
	up       atomic.Int32
}

// NewManager makes a manager; nothing is connected before Run.
func NewManager(settings Settings) *Manager {
	m := &Manager{settings: settings}
	m.Queue = newQueue(&m.settings, m.throttled)
	m.address, m.wrapped, _ = settings.Address() // checked
	for n := range settings.Binds {
		for _, kind := range settings.BindMode.kinds() {
			m.binds = append(m.binds, m.newBind(kind, n))
		}
	}
	return m
}

func (m *Manager) newBind(kind pdu.CommandID, n int) *bind {
	name := map[pdu.CommandID]string{
		pdu.CmdBindTransceiver: "transceiver", pdu.CmdBindTransmitter: "transmitter", pdu.CmdBindReceiver: "receiver",
	}[kind]
	if n > 0 {
		name = fmt.Sprintf("%s %d", name, n+1)
	}
	b := &bind{Manager: m, name: name}
	if kind != pdu.CmdBindReceiver {
		b.tx = &transmitter{queue: m.Queue, name: name, window: m.settings.Window, metrics: m.settings.Metrics.transmitter(name, m.settings.Window, m.settings.MTTPS)}
		b.tx.pace.limit.Most, b.tx.pace.throttle.delay = m.settings.MTTPS, m.settings.ThrottleDelay.Std()
		m.Queue.transmitters = append(m.Queue.transmitters, b.tx)
	}
	b.connect(kind)
	return b
}

// Run keeps every bind until ctx ends and all are unbound.
func (m *Manager) Run(ctx context.Context) error {
	var group sync.WaitGroup
	defer group.Wait()
	if m.settings.OutbindEndpoint != "" {
		outbind, _ := ParseEndpoint(m.settings.OutbindEndpoint) // checked
		l, err := listen.Open(ctx, outbind.Address, "outbind_endpoint")
		if err != nil {
			return message.Permanent(err)
		}
		m.settings.Logger.Info("listening for outbind", "address", l.Addr().String())
		group.Go(func() { m.acceptOutbinds(ctx, l) })
	}
	for _, b := range m.binds {
		group.Go(func() { b.run(ctx) })
	}
	group.Go(func() { backoff.Every(ctx, tickEvery, m.Queue.tick) })
	return nil
}

// tickEvery is how often rates are shown, and what could not be sent is tried.
const tickEvery = time.Second

// health is how the transport is, now that a bind is up.
func (m *Manager) health() message.Health {
	if int(m.up.Load()) < len(m.binds) {
		return message.Degraded
	}
	return message.OK
}

// without is how the transport is without a bind: the others may be up.
func (m *Manager) without() message.Health {
	if m.up.Load() > 0 {
		return message.Degraded
	}
	return message.Down
}

func (m *Manager) throttled(bind string, throttled bool) {
	if throttled {
		m.settings.Logger.Warn("the SMSC asks for less traffic; slowing down", "bind", bind)
		m.settings.Status(message.Degraded, "throttled", bind+": the SMSC asks for less traffic")
		return
	}
	m.settings.Logger.Info("the SMSC takes full traffic again", "bind", bind)
	m.settings.Status(m.health(), "throttled_end", bind+": the SMSC takes full traffic again")
}

// maxOutbinds is how many SMSCs may have asked to be bound to at once.
const maxOutbinds = 10

func (m *Manager) acceptOutbinds(ctx context.Context, l net.Listener) {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	free := make(chan *bind, maxOutbinds)
	for n := range maxOutbinds {
		b := &bind{Manager: m, name: fmt.Sprintf("outbind %d", n+1)}
		b.connect(pdu.CmdBindReceiver)
		free <- b
	}
	listen.Accept(ctx, l, m.settings.Logger, func(conn net.Conn) {
		select {
		case b := <-free:
			sessions.Go(func() {
				b.acceptOutbind(ctx, conn)
				free <- b
			})
		default:
			_ = conn.Close()
		}
	})
}

// expected reports whether an outbind is from whom it should be.
func (m *Manager) expected(o *pdu.Outbind) bool {
	same := func(want, got string) bool {
		return want == "" || subtle.ConstantTimeCompare([]byte(want), []byte(got)) == 1
	}
	return same(m.settings.OutbindSystemID, o.SystemID) && same(m.settings.OutbindPassword.Reveal(), o.Password)
}
