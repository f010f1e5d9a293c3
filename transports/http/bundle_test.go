package http_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	nethttp "net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store/memory"
	"switchboard/transports"
	"switchboard/transports/http"
	"switchboard/transports/transporttest"
)

// asked is a request that the provider got.
type asked struct {
	Method, Path, RawQuery, Body string
	Header                       nethttp.Header
	Form                         url.Values
}

func readAsked(q *nethttp.Request) asked {
	body, _ := io.ReadAll(q.Body)
	a := asked{Method: q.Method, Path: q.URL.Path, RawQuery: q.URL.RawQuery, Body: string(body), Header: q.Header}
	a.Form, _ = url.ParseQuery(a.Body)
	return a
}

func (a asked) json(t testing.TB) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(a.Body), &members); err != nil {
		t.Fatalf("the request's body %q is no JSON: %v", a.Body, err)
	}
	return members
}

// provider is an HTTP provider that answers as it is told.
type provider struct {
	*httptest.Server
	asked chan asked

	mu     sync.Mutex
	answer func(a asked) (status int, header map[string]string, body string)
	close  func()
}

func newProvider() *provider {
	p := &provider{asked: make(chan asked, 10_000)}
	p.Server = httptest.NewServer(p)
	p.answers(200, nil, `{"id":"p-1"}`)
	p.close = sync.OnceFunc(p.Server.Close)
	return p
}

func (p *provider) answers(status int, header map[string]string, body string) {
	p.answersWith(func(asked) (int, map[string]string, string) { return status, header, body })
}

func (p *provider) answersWith(answer func(a asked) (int, map[string]string, string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func (p *provider) ServeHTTP(w nethttp.ResponseWriter, q *nethttp.Request) {
	a := readAsked(q)
	p.mu.Lock()
	answer := p.answer
	p.mu.Unlock()
	status, header, text := answer(a)
	p.asked <- a
	answerWith(w, status, header, text)
}

func (p *provider) next(t testing.TB) asked {
	t.Helper()
	select {
	case a := <-p.asked:
		return a
	case <-time.After(testutil.Patience):
		t.Fatal("waited in vain for a request")
	}
	panic("unreachable")
}

// bundle is a channel with its provider, and the fleet's side of it.
type bundle struct {
	*http.Transport
	*transporttest.Publisher
	received atomic.Int64 // messages that the broker has
	events   atomic.Int64
	refuses  atomic.Bool // the broker takes no events
	now      time.Time   // zero is the present
	stopping chan struct{}
	taken    func(*message.Message) error // what Inbound returns, where it is set
	provider *provider
	client   *nethttp.Client
	registry *prometheus.Registry
	state    *memory.State
}

// open makes a channel to a provider. secrets are those of options whose names
// they have.
func open(t testing.TB, preset string, settings map[string]string, secrets map[string]options.Secret, change ...func(*http.Transport)) *bundle {
	t.Helper()
	b := unprovisioned(preset, settings, secrets)
	for _, c := range change {
		c(b.Transport)
	}
	b.provision(t)
	return b
}

func unprovisioned(preset string, settings map[string]string, secrets map[string]options.Secret) *bundle {
	b := &bundle{
		Transport: http.New(), Publisher: transporttest.NewPublisher(), provider: newProvider(), registry: prometheus.NewRegistry(),
		client: &nethttp.Client{Transport: &nethttp.Transport{}}, state: memory.New(),
	}
	port := 0
	b.Provider, b.WebPort, b.WebHost, b.TransportName = preset, &port, "127.0.0.1", "channel"
	b.Options, b.Secrets = map[string]string{}, secrets
	for name, value := range settings {
		b.Options[name] = strings.ReplaceAll(value, "PROVIDER", b.provider.URL)
	}
	return b
}

func (b *bundle) provision(t testing.TB) {
	t.Helper()
	if err := b.Validate(); err != nil {
		t.Fatal(err)
	}
	err := b.Provision(t.Context(), transports.Env{
		Name: "channel", State: b.state, Logger: slog.New(slog.DiscardHandler), Now: b.clock, Registerer: b.registry, Stopping: b.stopping,
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) clock() time.Time {
	if b.now.IsZero() {
		return time.Now()
	}
	return b.now
}

// Event counts what is reported.
func (b *bundle) Event(ctx context.Context, e *message.Event) error {
	if b.refuses.Load() {
		return errors.New("no broker")
	}
	b.events.Add(1)
	return b.Publisher.Event(ctx, e)
}

// start runs a channel until the test ends.
func start(t testing.TB, preset string, settings map[string]string, secrets map[string]options.Secret, change ...func(*http.Transport)) *bundle {
	t.Helper()
	b := unprovisioned(preset, settings, secrets)
	for _, c := range change {
		c(b.Transport)
	}
	b.run(t)
	return b
}

func (b *bundle) run(t testing.TB) {
	t.Helper()
	b.provision(t)
	t.Cleanup(b.provider.close)
	transporttest.Start(t, b.Transport, b)
	t.Cleanup(b.client.CloseIdleConnections)
	t.Cleanup(func() { _ = b.state.Close() })
}

// query is fields as a mapping.
func query(t testing.TB, text string) map[string][]string {
	t.Helper()
	fields, err := url.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

// call makes a request of the provider's.
func (b *bundle) call(t testing.TB, method, path, kind, body string, header ...string) (status int, answer string) {
	t.Helper()
	status, answer, _ = b.callFull(t, method, path, kind, body, header...)
	return status, answer
}

func (b *bundle) callFull(t testing.TB, method, path, kind, body string, header ...string) (int, string, nethttp.Header) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testutil.Patience)
	defer cancel()
	addr, err := b.Addr(ctx)
	if err != nil {
		t.Fatal(err)
	}
	q, err := nethttp.NewRequestWithContext(ctx, method, "http://"+addr.String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		q.Header.Set("Content-Type", kind)
	}
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	response, text := testutil.Do(t, b.client, q)
	return response.StatusCode, text, response.Header
}

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

// outbound is a message to a person.
func outbound(text string) *message.Message {
	m := message.New()
	m.To, m.From, m.Content, m.TransportName = "+27831234567", "+27820001001", text, "channel"
	m.RoutingMetadata.Set(message.PathKey, []string{"app"})
	return m
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testutil.Patience)
	t.Cleanup(cancel)
	return ctx
}

func (b *bundle) sends(t testing.TB, m *message.Message) string {
	t.Helper()
	id, err := b.Send(within(t), m)
	if err != nil {
		t.Fatalf("sending: %v", err)
	}
	return id
}

// Inbound counts what the broker takes.
func (b *bundle) Inbound(ctx context.Context, m *message.Message) error {
	err := b.Publisher.Inbound(ctx, m)
	if err == nil {
		b.received.Add(1)
	}
	if err == nil && b.taken != nil {
		err = b.taken(m)
	}
	return err
}

func form(pairs ...string) string {
	fields := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		fields.Add(pairs[i], pairs[i+1])
	}
	return fields.Encode()
}
