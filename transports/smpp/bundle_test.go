package smpp

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp/simulator"
	"switchboard/store"
	"switchboard/store/memory"
	"switchboard/transports"
	"switchboard/transports/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is a transport bound to a simulated SMSC, and the fleet it speaks to.
type bundle struct {
	*testing.T
	*Transport
	smsc     *simulator.SMSC
	line     *transporttest.Publisher
	state    store.State
	registry *prometheus.Registry
	stop     func()
}

// simulate starts an SMSC that ends with the test.
func simulate(t testing.TB, settings simulator.Settings) *simulator.SMSC {
	t.Helper()
	v, err := simulator.Start(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// connected makes a transport for an address; it is not running yet.
func connected(t testing.TB, address string, state store.State, reg prometheus.Registerer, opts ...func(*Transport)) *Transport {
	t.Helper()
	tr := configured(t, address, opts...)
	env := transports.Env{Name: "worker", State: state, Logger: logger(t), Registerer: reg}
	if err := tr.Provision(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	return tr
}

// configured makes a transport for an address, without an environment.
func configured(t testing.TB, address string, opts ...func(*Transport)) *Transport {
	t.Helper()
	tr := New()
	host, port, _ := strings.Cut(address, ":")
	tr.Host, tr.TransportName, tr.SystemID, tr.Password = host, "smpp_transport", "esme", "secret"
	tr.Port, _ = strconv.Atoi(port)
	tr.InitialReconnectDelay = options.Duration(10 * time.Millisecond)
	for _, option := range opts {
		option(tr)
	}
	if err := tr.Validate(); err != nil {
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

// start runs a transport against an SMSC with these settings.
func start(t *testing.T, settings simulator.Settings, opts ...func(*Transport)) *bundle {
	t.Helper()
	b := &bundle{T: t, smsc: simulate(t, settings), line: transporttest.NewPublisher(), state: remember(t), registry: prometheus.NewRegistry()}
	b.Transport = connected(t, b.smsc.Addr(), b.state, b.registry, opts...)
	b.stop = transporttest.Start(t, b.Transport, b.line)
	return b
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), transporttest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// outgoing is a message to a person.
func outgoing(text string) *message.Message {
	m := message.New()
	m.To, m.From, m.Content, m.TransportName, m.TransportType = "27831234567", "9292", text, "smpp_transport", "sms"
	m.RoutingMetadata.Set("switchboard_exposed", "app")
	return m
}

func (b *bundle) send(m *message.Message) string {
	b.Helper()
	id, err := b.Send(within(b), m)
	if err != nil {
		b.Fatalf("sending %.40q: %v", m.Content, err)
	}
	return id
}

// metric is the sum of a metric's series that have a label.
func (b *bundle) metric(name, label, value string) (sum float64) {
	b.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, pair := range m.GetLabel() {
				if pair.GetName() == label && pair.GetValue() == value {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
	}
	return sum
}

// memoryOf is the part of a state that the transports of an SMSC share.
func memoryOf(state store.State) store.State { return transports.Env{State: state}.Shared("smpp") }
