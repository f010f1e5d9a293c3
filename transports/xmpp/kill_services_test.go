//go:build services

package xmpp

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/internal/testutil"
	"switchboard/internal/xmpptest"
	"switchboard/message"
	"switchboard/options"
	"switchboard/transports"
	"switchboard/worker"
	"switchboard/xmpp"
)

// private is a Prosody of the test's own.
type private struct {
	t        *testing.T
	dir      string
	settings string // in Prosody's configuration
	xmpptest.Server
}

func startPrivate(t *testing.T, domain string, settings ...string) *private {
	t.Helper()
	p := &private{t: t, dir: t.TempDir(), settings: strings.Join(settings, " "), Server: xmpptest.Server{Domain: domain}}
	t.Cleanup(func() { p.do("down") })
	p.do("up", "--private", "prosody")
	variables := map[string]string{}
	for line := range strings.SplitSeq(p.do("env", "prosody"), "\n") {
		for word := range strings.FieldsSeq(strings.TrimPrefix(line, "export ")) {
			name, value, _ := strings.Cut(word, "=")
			variables[name] = value
		}
	}
	p.Server = xmpptest.FindIn(t, func(name string) string { return variables[name] })
	p.Domain = domain
	return p
}

func (p *private) do(args ...string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Getenv("SERVICES"), args...)
	cmd.Env = append(os.Environ(), "SERVICES_DIR="+p.dir, "XMPP_DOMAIN="+p.Domain, "XMPP_SETTINGS="+p.settings)
	said, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("scripts/services %s: %v", strings.Join(args, " "), err)
	}
	return string(said)
}

// worker runs a transport in its frame on the real broker.
type inFrame struct {
	*Transport
	t      *testing.T
	broker broker.Broker
	events chan *message.Event
	in     chan *message.Message
}

func onRabbitMQ(t *testing.T, s xmpptest.Server, opts ...func(*Transport)) *inFrame {
	t.Helper()
	b, err := fleet.OpenBroker(os.Getenv("AMQP_URL"), t.Name(), slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &inFrame{t: t, broker: b, events: make(chan *message.Event, 100_000), in: make(chan *message.Message, 100_000)}
	name := "xmpp-" + message.NewID()[:12]
	tr := New()
	tr.TransportName, tr.Username, tr.Password, tr.TLSCAFile = name, s.Account(t, "bot"), xmpptest.Password, s.CA
	setAddress(tr, s.Addr)
	for _, option := range opts {
		option(tr)
	}
	if err := tr.Validate(); err != nil {
		t.Fatal(err)
	}
	f.Transport = tr
	frameOptions := transports.DefaultOptions()
	frameOptions.TransportName = name
	monitor := worker.NewMonitor(name, nil)
	env := worker.Dependencies{Name: name, Broker: b, State: remember(t), Logger: logger(t), Monitor: monitor}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		if err := transports.New(env, frameOptions, tr).Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	consume := func(flow message.Flow, take func([]byte)) {
		key := message.Key(name, flow)
		group.Go(func() {
			_ = b.Consume(ctx, broker.Queue{Name: key, Keys: []string{key}}, 500, func(d *broker.Delivery) {
				take(d.Body)
				d.Ack()
			})
		})
	}
	consume(message.EventFlow, func(body []byte) {
		if e, err := message.DecodeEvent(body); err == nil {
			f.events <- e
		}
	})
	consume(message.Inbound, func(body []byte) {
		if m, err := message.Decode(body); err == nil {
			f.in <- m
		}
	})
	t.Cleanup(func() {
		cancel()
		group.Wait()
		for _, flow := range []message.Flow{message.Inbound, message.Outbound, message.EventFlow} {
			_ = b.Delete(context.Background(), message.Key(name, flow))
		}
		_ = b.Close(context.Background())
	})
	key := message.Key(name, message.Outbound)
	if err := b.Declare(ctx, broker.Queue{Name: key, Keys: []string{key}}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *inFrame) publish(to, text string) *message.Message {
	f.t.Helper()
	m := message.New()
	m.To, m.From, m.Content, m.TransportName, m.TransportType = to, f.Username, text, f.TransportName, "xmpp"
	if err := f.broker.Publish(f.t.Context(), broker.Publication{Key: message.Key(f.TransportName, message.Outbound), Body: m.Encode()}); err != nil {
		f.t.Fatal(err)
	}
	return m
}

// A message goes from RabbitMQ to a person and its acknowledgement back; what the person
// answers comes in.
func TestOnRabbitMQ(t *testing.T) {
	s := xmpptest.Find(t)
	f := onRabbitMQ(t, s)
	p := people.Join(t, s)
	m := f.publish(p.JID, "hello")
	if text := p.Message(t).ChildText(xmpp.NSClient, "body"); text != "hello" {
		t.Errorf("got %q", text)
	}
	seen := map[message.EventType]bool{}
	for range 2 {
		e := <-f.events
		seen[e.Type] = e.MessageID == m.ID
	}
	if !seen[message.Ack] || !seen[message.DeliveryReport] {
		t.Errorf("events: %v", seen)
	}
	p.Send(t, chat(f.Username, "m1", "hi"))
	if m := <-f.in; m.Content != "hi" || m.TransportName != f.TransportName {
		t.Errorf("received %s", m.Encode())
	}
}

// The server is killed again and again under load: every message is acknowledged or
// said to be unknown and sent again, all arrive, and twice at most what was in flight.
func TestServerIsKilled(t *testing.T) {
	s := startPrivate(t, xmpptest.Domain)
	const window, many, kills = 20, 600, 3
	f := onRabbitMQ(t, s.Server, func(tr *Transport) {
		tr.Window, tr.UnknownPolicy, tr.PingInterval = window, transports.UnknownResend, options.Duration(5*time.Second)
	})
	jid := s.Account(t, "person")
	arrived := newCounter()
	leave := arrived.listen(t, s.Server, jid)
	ids := map[string]bool{}
	for i := range many {
		ids[f.publish(jid, fmt.Sprint("text ", i)).ID] = true
	}
	for kill := 1; kill <= kills; kill++ {
		testutil.EventuallyWithin(t, 2*time.Minute, "messages arrive", func() bool { return arrived.count() >= kill*many/(kills+2) })
		s.do("kill-prosody")
		leave()
		s.do("start-prosody")
		leave = arrived.listen(t, s.Server, jid)
	}
	defer leave()
	acked := map[string]bool{}
	for len(acked) < many {
		select {
		case e := <-f.events:
			switch e.Type {
			case message.Ack:
				acked[e.MessageID] = true
			case message.Nack:
				t.Fatalf("%s was refused: %s", e.MessageID, e.NackReason)
			}
		case <-time.After(2 * time.Minute):
			t.Fatalf("%d of %d are acknowledged", len(acked), many)
		}
	}
	testutil.EventuallyWithin(t, time.Minute, "every message arrives, or was lost by the killed server after it had acknowledged it", func() bool {
		return arrived.distinct() >= many-kills*window
	})
	twice := arrived.count() - arrived.distinct()
	t.Logf("%d acknowledged, %d arrived, %d of them twice", len(acked), arrived.distinct(), twice)
	if twice > kills*window {
		t.Errorf("%d arrived twice, more than was in flight at %d kills (%d each)", twice, kills, window)
	}
}

// counter counts what a person gets, by its id.
type counter struct {
	mu   sync.Mutex
	all  int
	seen map[string]int
}

func newCounter() *counter { return &counter{seen: map[string]int{}} }

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

func (c *counter) distinct() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen)
}

// listen logs somebody in who counts, until leave.
func (c *counter) listen(t *testing.T, s xmpptest.Server, jid string) (leave func()) {
	t.Helper()
	p := people.Login(t, s, jid)
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		for {
			e, err := p.NextIn(ctx, t, func(e *xmpp.Element) bool { return e.Name == "message" && e.Child(xmpp.NSClient, "body") != nil })
			if err != nil {
				return
			}
			c.mu.Lock()
			c.all++
			c.seen[e.Attr("id")]++
			c.mu.Unlock()
		}
	})
	return sync.OnceFunc(func() {
		cancel()
		group.Wait()
	})
}
