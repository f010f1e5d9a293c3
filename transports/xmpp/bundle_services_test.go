//go:build services

package xmpp

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/testutil"
	"switchboard/internal/xmpptest"
	"switchboard/message"
	"switchboard/store"
	"switchboard/store/memory"
	"switchboard/transports"
	"switchboard/transports/transporttest"
	"switchboard/xmpp"
)

// people are those of all tests: starting Python takes a second.
var people *xmpptest.People

func TestMain(m *testing.M) {
	var err error
	if people, err = xmpptest.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	people.Close()
	os.Exit(code)
}

// bundle is a transport at a real server, and the fleet it speaks to.
type bundle struct {
	*testing.T
	*Transport
	server   xmpptest.Server
	line     *transporttest.Publisher
	registry *prometheus.Registry
	state    store.State
	stop     func()
}

// account makes a transport with an account of its own; it is not running yet.
func account(t testing.TB, s xmpptest.Server, state store.State, reg prometheus.Registerer, opts ...func(*Transport)) *Transport {
	t.Helper()
	return provisioned(t, state, reg, append([]func(*Transport){func(tr *Transport) {
		tr.Username, tr.Password, tr.TLSCAFile = s.Account(t, "bot"), xmpptest.Password, s.CA
		setAddress(tr, s.Addr)
	}}, opts...)...)
}

func setAddress(tr *Transport, address string) {
	host, port, _ := net.SplitHostPort(address)
	tr.Host = host
	tr.Port, _ = strconv.Atoi(port)
}

func provisioned(t testing.TB, state store.State, reg prometheus.Registerer, opts ...func(*Transport)) *Transport {
	t.Helper()
	tr := New()
	tr.TransportName = "xmpp_transport"
	for _, option := range opts {
		option(tr)
	}
	if err := tr.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := tr.Provision(t.Context(), transports.Env{Name: "worker", State: state, Logger: logger(t), Registerer: reg}); err != nil {
		t.Fatal(err)
	}
	return tr
}

func logger(t testing.TB) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

func remember(t testing.TB) *memory.State {
	s := memory.New()
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// start runs a transport with an account of its own, beside those of other tests.
func start(t *testing.T, opts ...func(*Transport)) *bundle {
	t.Helper()
	t.Parallel()
	b := &bundle{T: t, server: xmpptest.Find(t), line: transporttest.NewPublisher(), state: remember(t), registry: prometheus.NewRegistry()}
	b.Transport = account(t, b.server, b.state, b.registry, opts...)
	b.run()
	return b
}

// run runs the transport, and waits until it is connected.
func (b *bundle) run() {
	b.Helper()
	b.stop = transporttest.Start(b.T, b.Transport, b.line)
	b.status("connected")
}

// status waits for a status event.
func (b *bundle) status(kind string) *message.Status {
	b.Helper()
	for {
		if s := b.line.NextStatus(b); s.Type == kind {
			return s
		}
	}
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testutil.Patience)
	t.Cleanup(cancel)
	return ctx
}

// to is a message to somebody.
func (b *bundle) to(address, text string) *message.Message {
	m := message.New()
	m.To, m.From, m.Content, m.TransportName, m.TransportType = address, b.Username, text, b.TransportName, "xmpp"
	m.RoutingMetadata.Set("switchboard_path", []string{"app"})
	return m
}

// chat is a stanza of somebody's.
func chat(to, id, text string, more ...*xmpp.Element) *xmpp.Element {
	return xmpp.New(xmpp.NSClient, "message", append([]*xmpp.Element{xmpp.NewText(xmpp.NSClient, "body", text)}, more...)...).
		Set("type", "chat").Set("to", to).Set("id", id)
}

func request() *xmpp.Element { return xmpp.New(xmpp.NSReceipts, "request") }

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) *transporttest.Outside {
		s := xmpptest.Find(t)
		state := memory.New()
		tr := account(t, s, state, nil, func(o *Transport) { o.MaxEqualReplies = 0 })
		c := &chatter{t: t, transport: tr, person: people.Join(t, s, xmpptest.Silent)}
		return &transporttest.Outside{Transport: tr, Say: c.say, Hear: c.hear, Leave: sync.OnceFunc(func() { _ = state.Close() })}
	})
}

// chatter is a person who waits for receipts.
type chatter struct {
	t         *testing.T
	transport *Transport
	person    *xmpptest.Person
	heard     []string
}

func (c *chatter) say(ctx context.Context, text string) error {
	r, err := c.transport.current.Get(ctx)
	if err != nil {
		return err
	}
	if _, err := r.await(ctx, nil); err != nil {
		return err
	}
	id := message.NewID()
	c.person.Send(c.t, chat(c.transport.Username, id, text, request()))
	e, err := c.person.NextIn(ctx, c.t, func(e *xmpp.Element) bool {
		if body := e.ChildText(xmpp.NSClient, "body"); body != "" && e.Attr("type") == "chat" {
			c.heard = append(c.heard, body)
		}
		return e.Child(xmpp.NSReceipts, "received").Attr("id") == id || e.Attr("type") == "error" && e.Attr("id") == id
	})
	if err == nil && e.Attr("type") == "error" {
		err = xmpp.ErrorOf(e)
	}
	return err
}

func (c *chatter) hear(ctx context.Context) (string, error) {
	if len(c.heard) > 0 {
		text := c.heard[0]
		c.heard = c.heard[1:]
		return text, nil
	}
	e, err := c.person.NextIn(ctx, c.t, func(e *xmpp.Element) bool { return e.Child(xmpp.NSClient, "body") != nil })
	return e.ChildText(xmpp.NSClient, "body"), err
}
