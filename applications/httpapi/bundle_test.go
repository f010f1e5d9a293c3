package httpapi_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	api "github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"switchboard/applications"
	"switchboard/applications/applicationtest"
	"switchboard/applications/httpapi"
	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/dispatcher"
	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/options"
	"switchboard/persistence"
	"switchboard/routers"
	"switchboard/store"
	"switchboard/store/sqlite"
	"switchboard/worker"
)

const (
	person = "+27831234567"
	token  = "a-token-of-the-shop"
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// bundle is a fleet of the application "shop" behind a dispatcher, with a record, and the
// test in the place of the transport "sms" and of the webhook.
type bundle struct {
	testing.TB
	place
	hook *hook
	sent chan *message.Message // what the transport gets
	url  string
	stop func() // ends the application
}

// place is where a fleet runs. Where others share the broker, suffix ends the names of its
// workers and connectors.
type place struct {
	broker broker.Broker
	db     store.Database // empty, and migrated
	suffix string
}

func openEmbedded(t testing.TB) place {
	t.Helper()
	b := memory.New(memory.Settings{})
	db, err := sqlite.Open(t.Context(), t.TempDir()+"/record.db", slog.New(slog.DiscardHandler))
	if err == nil {
		err = db.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = b.Close(context.Background()), db.Close() })
	return place{broker: b, db: db}
}

// sms, shop, record and join are the names of the transport, the application, the persistence
// worker and the dispatcher.
func (p place) sms() string    { return "sms" + p.suffix }
func (p place) shop() string   { return "shop" + p.suffix }
func (p place) record() string { return "record" + p.suffix }
func (p place) join() string   { return "join" + p.suffix }

// newBundle starts the fleet in a place of its own. yaml is the application's; HOOK in it is
// the webhook's address, SMS the transport's name.
func newBundle(t testing.TB, yaml string) *bundle {
	t.Helper()
	return newBundleIn(t, openEmbedded(t), yaml)
}

func newBundleIn(t testing.TB, in place, yaml string) *bundle {
	t.Helper()
	b := &bundle{TB: t, place: in, hook: newHook(t), sent: make(chan *message.Message, 1000)}
	outbound := message.Key(b.sms(), message.Outbound)
	outside := broker.Queue{Name: outbound, Keys: []string{outbound}}
	b.background(func(ctx context.Context) error {
		return b.broker.Consume(ctx, outside, 1000, func(d *broker.Delivery) {
			defer d.Ack()
			m, err := message.Decode(d.Body)
			if err != nil {
				t.Error(err)
				return
			}
			b.sent <- m
		})
	})
	b.background(b.recorder().Run)
	b.background(b.dispatcher().Run)
	b.start(yaml)
	testutil.Eventually(t, "the fleet consumes", func() bool {
		for _, queue := range []string{
			message.Key(b.sms(), message.Inbound), message.Key(b.shop(), message.Inbound), message.Key(b.shop(), message.Outbound), persistence.RecordQueue(b.record()),
		} {
			if info, err := b.broker.Inspect(t.Context(), queue); err != nil || info.Consumers == 0 {
				return false
			}
		}
		return true
	})
	return b
}

func (b *bundle) env(name, kind string) worker.Dependencies {
	return worker.Dependencies{Name: name, Kind: kind, Broker: b.broker, State: b.db, Record: b.db, Logger: slog.New(slog.DiscardHandler)}
}

func (b *bundle) dispatcher() worker.Worker {
	o := dispatcher.DefaultOptions()
	o.Transports, o.Exposed = options.Names{b.sms()}, options.Names{b.shop()}
	r := routers.NewSimple()
	r.RouteMappings = options.Map[options.Names]{{Key: b.sms(), Value: options.Names{b.shop()}}}
	if err := r.Check(o.Names()); err != nil {
		b.Fatal(err)
	}
	return dispatcher.New(b.env(b.join(), worker.KindDispatcher), o, r)
}

func (b *bundle) recorder() worker.Worker {
	p := persistence.New()
	p.Name, p.Transports, p.Exposed = b.record(), options.Names{b.sms()}, options.Names{b.shop()}
	w, err := p.Worker(b.env(p.Name, worker.KindWorker))
	if err != nil {
		b.Fatal(err)
	}
	return w
}

// background runs something until the returned stop, or the test's end.
func (b *bundle) background(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.Errorf("a worker ended with %v", err)
		}
	})
	b.Cleanup(stop)
	return stop
}

// start starts the application, the second time in the place of the first.
func (b *bundle) start(yaml string) {
	b.Helper()
	app := httpapi.New()
	if err := applicationtest.Configure(app, strings.NewReplacer("HOOK", b.hook.URL, "SMS", b.sms()).Replace(yaml)); err != nil {
		b.Fatal(err)
	}
	o := applications.DefaultOptions()
	o.TransportName = b.shop()
	b.stop = b.background(applications.New(b.env(b.shop(), worker.KindApplication), o, app).Run)
	addr, err := app.Addr(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.url = "http://" + addr.String()
}

const plain = `
web_host: 127.0.0.1
tokens: {shop: {token: ` + token + `, scopes: [send, read, broadcast, retry]}}
channels: [SMS]
allow_private: true
webhook: {url: HOOK, secret: ` + secret + `}
`

// says publishes what a person writes.
func (b *bundle) says(text string, change ...func(*message.Message)) *message.Message {
	b.Helper()
	m := message.New()
	m.From, m.To, m.Content, m.TransportName, m.TransportType = person, "8080", text, b.sms(), "sms"
	for _, c := range change {
		c(m)
	}
	b.publish(&message.Envelope{Flow: message.Inbound, Connector: b.sms(), Message: m})
	return m
}

func (b *bundle) publish(e *message.Envelope) {
	b.Helper()
	if err := b.broker.Publish(b.Context(), broker.Publication{Key: e.Key(), Body: e.Encode()}); err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) reports(e *message.Event) {
	b.Helper()
	b.publish(&message.Envelope{Flow: message.EventFlow, Connector: b.sms(), Event: e})
}

// next is the next of what comes.
func next[T any](b *bundle, from <-chan T) (v T) {
	b.Helper()
	select {
	case v = <-from:
	case <-time.After(testutil.Patience):
		b.Fatal("nothing came")
	}
	return v
}

// answer is what a request is answered with.
type answer struct {
	status int
	header http.Header
	body   string
}

// into decodes the body.
func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
}

// ask makes a request with the token; headers are pairs.
func (b *bundle) ask(method, path, body string, headers ...string) answer {
	b.Helper()
	q, err := http.NewRequestWithContext(b.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	got, err := http.DefaultClient.Do(q)
	if err != nil {
		b.Fatal(err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		b.Fatal(err)
	}
	b.described(q, body, got, text)
	return answer{got.StatusCode, got.Header, string(text)}
}

// described asserts that openapi.yaml describes a request, where it was taken, and its answer.
func (b *bundle) described(q *http.Request, body string, got *http.Response, text []byte) {
	b.Helper()
	q = q.Clone(b.Context())
	q.Body = io.NopCloser(strings.NewReader(body))
	route, path, err := described(b).router.FindRoute(q)
	if err != nil {
		return // a path that there is not
	}
	input := &openapi3filter.RequestValidationInput{
		Request: q, PathParams: path, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}
	q.Header.Set("Content-Type", "application/json")
	if err := openapi3filter.ValidateRequest(b.Context(), input); err != nil && got.StatusCode < 300 {
		b.Errorf("openapi.yaml does not describe %s %s %s: %v", q.Method, q.URL, body, err)
	}
	err = openapi3filter.ValidateResponse(b.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: got.StatusCode, Header: got.Header, Body: io.NopCloser(bytes.NewReader(text)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if err != nil {
		b.Errorf("openapi.yaml does not describe the answer %d %s of %s %s: %v", got.StatusCode, text, q.Method, q.URL, err)
	}
}

// problem asserts that a request is refused, and why.
func (b *bundle) problem(a answer, status int, kind string) {
	b.Helper()
	var p struct{ Type, Detail string }
	a.into(b, &p)
	if a.status != status || p.Type != "/docs#problem-"+kind || a.header.Get("Content-Type") != "application/problem+json" || p.Detail == "" && kind != "key-reused" {
		b.Errorf("got %d %s, want %d %s", a.status, a.body, status, kind)
	}
}

// id posts a message and returns its id.
func (b *bundle) post(body string, headers ...string) string {
	b.Helper()
	a := b.ask("POST", "/messages", body, headers...)
	if a.status != http.StatusAccepted {
		b.Fatalf("posting %s: %d %s", body, a.status, a.body)
	}
	var m struct{ ID string }
	a.into(b, &m)
	return m.ID
}

// notice is what the webhook was told.
type notice struct {
	header http.Header
	gone   <-chan struct{} // closed when the answer is not waited for any more
	ID     string
	Type   string
	Data   struct {
		ID, From, To, Content, Type, Status, Reason string
		MessageID                                   string `json:"message_id"`
	}
}

// hook is the webhook. It answers as answer says, 200 where that is nil.
type hook struct {
	*httptest.Server
	got chan notice

	mu     sync.Mutex
	answer func(w http.ResponseWriter, n notice)
}

func newHook(t testing.TB) *hook {
	h := &hook{got: make(chan notice, 1000)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		n := notice{header: q.Header, gone: q.Context().Done()}
		if err == nil {
			err = json.Unmarshal(body, &n)
		}
		if err != nil {
			t.Errorf("the webhook got %q: %v", body, err)
		}
		if q.URL.Path == "/elsewhere" {
			t.Error("a redirect was followed")
		}
		if !signed(q.Header, body) {
			t.Errorf("the signature of %s is wrong: %v", body, q.Header)
		}
		var value any
		if err := json.Unmarshal(body, &value); err != nil {
			t.Error(err)
		} else if err := described(t).doc.Components.Schemas["Notice"].Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
			t.Errorf("openapi.yaml does not describe %s: %v", body, err)
		}
		h.got <- n
		h.mu.Lock()
		answer := h.answer
		h.mu.Unlock()
		if answer != nil {
			answer(w, n)
		}
	}))
	t.Cleanup(h.Close)
	return h
}

// signed verifies a signature as standardwebhooks.com says.
func signed(h http.Header, body []byte) bool {
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"), body)
	return h.Get("Webhook-Signature") == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (h *hook) answers(answer func(w http.ResponseWriter, n notice)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

// describedAPI is openapi.yaml.
type describedAPI struct {
	doc    *openapi3.T
	router api.Router
}

var loaded = sync.OnceValues(func() (describedAPI, error) {
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err == nil {
		err = doc.Validate(context.Background())
	}
	if err != nil {
		return describedAPI{}, err
	}
	router, err := gorillamux.NewRouter(doc)
	return describedAPI{doc, router}, err
})

func described(t testing.TB) describedAPI {
	t.Helper()
	d, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	return d
}
