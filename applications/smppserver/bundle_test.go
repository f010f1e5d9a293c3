package smppserver

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"switchboard/applications"
	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// bundle is a server in its frame, on a broker in memory.
type bundle struct {
	*testing.T
	broker   *memory.Broker
	state    store.State
	attempts int // max_attempts; 0 for the default
	registry *prometheus.Registry
	log      *lockedBuffer
	app      *Application
	outbound chan *message.Message
	stop     func() // waits until the worker has ended
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

const (
	connector = "esmes"
	password  = "s3cret-77"
)

// acme is a customer with a number of its own.
func acme() Customer {
	return Customer{Password: password, Addresses: options.Names{"9292", "2783*"}}
}

// begin runs a server with the customer acme, changed by the options, and is
// the fleet behind it.
func begin(t *testing.T, opts ...func(*Application)) *bundle {
	t.Helper()
	b := prepare(t)
	b.collect()
	b.run(opts...)
	return b
}

// prepare makes the broker and the state for a server.
func prepare(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{
		T: t, broker: memory.New(memory.Settings{}), registry: prometheus.NewRegistry(),
		log: new(lockedBuffer), outbound: make(chan *message.Message, 1000),
	}
	state := statememory.New()
	b.state = state
	t.Cleanup(func() { _ = b.broker.Close(context.Background()); _ = state.Close() })
	for _, flow := range [...]message.Flow{message.Inbound, message.EventFlow} {
		key := message.Key(connector, flow)
		if err := b.broker.Declare(t.Context(), broker.Queue{Name: key, Keys: []string{key}}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// run starts a server anew on what there is.
func (b *bundle) run(opts ...func(*Application)) {
	b.Helper()
	port := 0
	b.app = New()
	b.app.SMPPPort, b.app.Interface = &port, "127.0.0.1"
	b.app.RefusedBindDelay = options.Duration(time.Millisecond)
	b.app.Customers = options.Map[Customer]{{Key: "acme", Value: acme()}}
	for _, option := range opts {
		option(b.app)
	}
	if err := b.app.Validate(); err != nil {
		b.Fatal(err)
	}
	registerer, remove := worker.NewRegisterer(b.registry, "server")
	env := worker.Dependencies{
		Name: "server", Kind: worker.KindApplication, Broker: b.broker, State: b.state, Registerer: registerer,
		Logger: b.logger(),
	}
	conf := applications.DefaultOptions()
	conf.TransportName = connector
	if b.attempts > 0 {
		conf.MaxAttempts = b.attempts
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := applications.New(env, conf, b.app).Run(ctx)
		remove()
		ended <- err
	}()
	var once sync.Once
	b.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				b.Errorf("the worker ended with %v", err)
			}
		})
	}
	b.Cleanup(b.stop)
	if _, err := b.app.Addrs(within(b)); err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (b *bundle) collect() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	key := message.Key(connector, message.Outbound)
	go func() {
		defer close(done)
		_ = b.broker.Consume(ctx, broker.Queue{Name: key, Keys: []string{key}}, 100, func(d *broker.Delivery) {
			m, err := message.Decode(d.Body)
			if err != nil {
				b.Error(err)
				return
			}
			b.outbound <- m
			d.Ack()
		})
	}()
	b.Cleanup(func() { cancel(); <-done })
}

// sent is the next message the fleet got.
func (b *bundle) sent() *message.Message {
	b.Helper()
	select {
	case m := <-b.outbound:
		return m
	case <-time.After(patience):
		b.Fatal("no message reached the broker")
		return nil
	}
}

func (b *bundle) none() {
	b.Helper()
	select {
	case m := <-b.outbound:
		b.Fatalf("the fleet got %s", m.Encode())
	default:
	}
}

func (b *bundle) publish(key string, body []byte) {
	b.Helper()
	if err := b.broker.Publish(within(b), broker.Publication{Key: key, Body: body}); err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) event(e *message.Event) {
	b.Helper()
	b.publish(message.Key(connector, message.EventFlow), e.Encode())
}

// says is a message from a person to one of the customer's addresses.
func (b *bundle) says(text string, change ...func(*message.Message)) *message.Message {
	b.Helper()
	m := message.New()
	m.From, m.To, m.Content, m.TransportType = "+27831234567", "9292", text, "sms"
	for _, c := range change {
		c(m)
	}
	b.publish(message.Key(connector, message.Inbound), m.Encode())
	return m
}

// eventually waits for a condition that nothing tells about.
func (b *bundle) eventually(what string, is func() bool) {
	b.Helper()
	for deadline := time.Now().Add(patience); !is(); {
		if time.Now().After(deadline) {
			b.Fatalf("it never came about that %s; the log:\n%s", what, b.log)
		}
		time.Sleep(time.Millisecond)
	}
}

// undelivered is how many messages and receipts a customer does not have.
func (c *customer) undelivered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting + c.direct
}

// queued is how many messages and receipts wait for the customer.
func (b *bundle) queued() int {
	e, err := b.app.engine.Get(within(b))
	if err != nil {
		b.Fatal(err)
	}
	return e.customers["acme"].undelivered()
}

func (b *bundle) metric(name string, labels map[string]string) (sum float64) {
	b.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	next:
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if want, asked := labels[l.GetName()]; asked && want != l.GetValue() {
					continue next
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}
