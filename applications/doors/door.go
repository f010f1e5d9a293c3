// Package doors is applications that speak other products' HTTP, so that programs written
// for those send and get their messages through this fleet unchanged: each product's words
// are in a file of its own, and a Door does the work.
package doors

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/applications"
	"switchboard/applications/webhook"
	"switchboard/internal/collectors"
	"switchboard/internal/current"
	"switchboard/internal/listen"
	"switchboard/internal/webclient"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/worker"
)

// Door is the port that clients' programs ask, and what is remembered for them.
type Door struct {
	// WebHost is the address of this machine to listen on; default localhost, which only
	// this machine can reach: put a proxy before it. In a container write 0.0.0.0.
	WebHost string `yaml:"web_host"`
	// WebPort is the TCP port to listen on; 0 takes any free one.
	WebPort int `yaml:"web_port"`
	// RememberFor is how long after a message was sent its client is told of events.
	RememberFor options.Duration `yaml:"remember_for"`
	Caller      `yaml:",inline"`

	routes   func(*http.ServeMux)
	report   func(*message.Event, *record) []*webhook.Request
	env      applications.Env
	state    *store.Batcher
	requests *prometheus.CounterVec
	port     listen.Port
	out      current.Value[applications.Sender]
}

// Caller is how clients' programs are called.
type Caller struct {
	// Timeout is how long a client may take to answer a call.
	Timeout options.Duration `yaml:"timeout"`
	// AllowPrivate lets calls go to private networks and to this machine.
	AllowPrivate bool `yaml:"allow_private"`

	web   *webclient.Client
	hosts hosts
	// taken says whether an answer of 2xx means that the client has what it was told; nil
	// is always.
	taken func(webclient.Answer) error
}

const (
	defaultRemember = options.Duration(7 * 24 * time.Hour)
	defaultTimeout  = options.Duration(10 * time.Second)
	// stopGrace is how long a stop waits for requests that are being answered.
	stopGrace = 3 * time.Second
	// readTimeout is how long a request may take to arrive.
	readTimeout = 30 * time.Second
	// inFlight is how many messages, and how many events, are in flight at once: called, or
	// waiting for a place at their host.
	inFlight = 500
	// maxRecipients bounds to how many people one request may send.
	maxRecipients = 1000
)

func newDoor(port int) Door {
	return Door{WebHost: "localhost", WebPort: port, RememberFor: defaultRemember, Caller: newCaller()}
}

func newCaller() Caller { return Caller{Timeout: defaultTimeout} }

func (c *Caller) validate() error {
	if c.Timeout <= 0 {
		return options.Fieldf("timeout", "must be above 0")
	}
	return nil
}

func (d *Door) validate() error {
	errs := []error{d.Caller.validate(), options.Port("web_port", d.WebPort)}
	if d.RememberFor <= 0 {
		errs = append(errs, options.Fieldf("remember_for", "must be above 0"))
	}
	return errors.Join(errs...)
}

// Provision takes the network.
func (c *Caller) Provision(_ context.Context, env applications.Env) error {
	c.web = webclient.New(webclient.Settings{Timeout: c.Timeout.Std(), AllowPrivate: c.AllowPrivate, MaxIdle: perHost, Transport: env.HTTP})
	return nil
}

// Close ends the connections.
func (c *Caller) Close() error { return c.web.Close() }

// InFlight is how many messages and events are in flight at once.
func (*Caller) InFlight() int { return inFlight }

// call calls a client, and returns its answer when it has what it was told.
func (c *Caller) call(ctx context.Context, r *webhook.Request) (webclient.Answer, error) {
	leave, err := c.hosts.enter(ctx, r.URL)
	if err != nil {
		return webclient.Answer{}, err
	}
	answer, err := webhook.Do(ctx, c.web, *r)
	leave(err)
	if err == nil && c.taken != nil {
		err = c.taken(answer)
	}
	return answer, err
}

// Provision takes the network, the state store and the registry of metrics.
func (d *Door) Provision(ctx context.Context, env applications.Env) error {
	if env.State == nil {
		return message.Permanent(errors.New("what is sent here is remembered in a state store; set DATABASE_URL"))
	}
	set := collectors.Set{Registerer: env.Registerer, Prefix: "switchboard_door_"}
	d.requests = set.Counter("requests_total", "Requests of clients, by what they were answered.", "status")
	d.env, d.state = env, store.NewBatcher(env.State, store.BatchSettings{})
	return errors.Join(set.Err, d.Caller.Provision(ctx, env))
}

// Close ends the connections.
func (d *Door) Close() error {
	if d.state == nil {
		return nil
	}
	return errors.Join(d.state.Close(), d.Caller.Close())
}

// Listens is the address of the configuration.
func (d *Door) Listens() []string {
	return []string{net.JoinHostPort(d.WebHost, strconv.Itoa(d.WebPort))}
}

// Addr is the address that is listened on; it waits until there is one.
func (d *Door) Addr(ctx context.Context) (net.Addr, error) { return d.port.Addr(ctx) }

// Run answers clients until ctx ends.
func (d *Door) Run(ctx context.Context, out applications.Sender) error {
	listener, err := d.port.Open(ctx, d.Listens()[0], "web_port")
	if err != nil {
		return message.Permanent(err)
	}
	defer d.port.Forget()
	d.out.Set(out)
	defer d.out.Clear()
	d.env.Logger.Info("listening for clients", "address", listener.Addr().String())
	mux := http.NewServeMux()
	d.routes(mux)
	server := listen.HTTPServer(mux)
	server.ReadTimeout = readTimeout
	return listen.Serve(ctx, server, listen.Limited(listener), stopGrace, d.env.Logger)
}

// answer is what a request gets.
type answer struct {
	status int
	kind   string // Content-Type; text/plain where empty
	body   string
}

func text(status int, format string, args ...any) answer {
	return answer{status: status, body: fmt.Sprintf(format, args...)}
}

func jsonAnswer(status int, value any) answer {
	body, _ := json.Marshal(value) // of texts, numbers, maps and message.Objects
	return answer{status, "application/json", string(body)}
}

// handle answers the requests of a pattern.
func (d *Door) handle(mux *http.ServeMux, pattern string, do func(*http.Request) answer) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, q *http.Request) {
		var a answer
		body, err := io.ReadAll(q.Body)
		switch tooLarge := (*http.MaxBytesError)(nil); {
		case errors.As(err, &tooLarge):
			a = text(http.StatusRequestEntityTooLarge, "The request is too large.")
		case err != nil:
			a = text(http.StatusBadRequest, "The request's body did not come.")
		default:
			q.Body = io.NopCloser(bytes.NewReader(body))
			a = do(q)
		}
		d.requests.WithLabelValues(strconv.Itoa(a.status)).Inc()
		if a.kind == "" {
			a.kind = "text/plain; charset=utf-8"
		}
		if a.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="switchboard"`)
		}
		w.Header().Set("Content-Type", a.kind)
		w.WriteHeader(a.status)
		_, _ = w.Write([]byte(a.body)) // a client that is gone asks again
	})
}

// handleForm is handle with what a form and the query say in q.Form. A field that cannot be
// read refuses the request: a text would be sent without it.
func (d *Door) handleForm(mux *http.ServeMux, pattern string, do func(*http.Request) answer) {
	d.handle(mux, pattern, func(q *http.Request) answer {
		body, _ := io.ReadAll(q.Body) // is in memory
		// Old clients do not escape a semicolon, and old servers take it as it is.
		q.URL.RawQuery = strings.ReplaceAll(q.URL.RawQuery, ";", "%3B")
		q.Body = io.NopCloser(bytes.NewReader(bytes.ReplaceAll(body, []byte(";"), []byte("%3B"))))
		if bad, is := errors.AsType[url.EscapeError](q.ParseForm()); is {
			return text(http.StatusBadRequest, "The request's fields cannot be read: %v", bad)
		}
		q.Body = io.NopCloser(bytes.NewReader(body))
		return do(q)
	})
}

// fieldsOf are the fields of a form and the query, or the members of a JSON object.
func fieldsOf(q *http.Request) (url.Values, error) {
	if !strings.HasPrefix(q.Header.Get("Content-Type"), "application/json") {
		return q.Form, nil
	}
	var members map[string]any
	decoder := json.NewDecoder(q.Body)
	decoder.UseNumber() // an address may be one
	if err := decoder.Decode(&members); err != nil {
		return nil, err
	}
	fields := url.Values{}
	for name, value := range members {
		if value != nil {
			fields.Set(name, fmt.Sprint(value))
		}
	}
	return fields, nil
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// Via is the way that what clients send leaves by.
type Via struct {
	// SendVia is the transport_name of what is sent, for dispatchers that route by it.
	SendVia string `yaml:"send_via"`
	// Endpoint is the endpoint that it leaves by. Default: default.
	Endpoint string `yaml:"endpoint"`
	// From is the sender of what names none.
	From string `yaml:"from"`
}

// Account is one that clients log in to.
type Account struct {
	// Password is the account's.
	Password options.Secret `yaml:"password"`
	Via      `yaml:",inline"`
}

// accountKey has the account's name in helper_metadata, for routing by it.
const accountKey = "account"

// message makes what an account sends.
func (v Via) message(account, to, from, content string) *message.Message {
	m := message.New()
	m.To, m.From, m.Content = to, from, strings.ToValidUTF8(content, "\uFFFD")
	if m.From == "" {
		m.From = v.From
	}
	m.TransportName, m.TransportType = v.SendVia, "sms"
	if v.Endpoint != "" {
		m.SetEndpoint(v.Endpoint)
	}
	if account != "" {
		m.HelperMetadata.Set(accountKey, account)
	}
	return m
}

// Login is what clients must log in with (HTTP basic authentication).
type Login struct {
	// WebUsername must come with every request. Default: anybody may send.
	WebUsername string `yaml:"web_username"`
	// WebPassword must come with it.
	WebPassword options.Secret `yaml:"web_password"`
}

func (l *Login) checkLogin() error {
	return checkPair(l.WebUsername, l.WebPassword, "web_username", "web_password")
}

// checkPair refuses a name without a password, which anybody has, and a password that
// nothing asks for.
func checkPair(name string, password options.Secret, nameKey, passwordKey string) error {
	if (name == "") == (password == "") {
		return nil
	}
	return options.Fieldf(nameKey, "and %s go together", passwordKey)
}

func (l *Login) admits(q *http.Request) bool {
	name, password, _ := q.BasicAuth()
	return l.WebUsername == "" || equal(name, l.WebUsername) && equal(password, l.WebPassword.Reveal())
}

// Lint warns where anybody may send.
func (l *Login) Lint() error { return lintOpen(l.WebUsername, "web_username") }

func lintOpen(secret, key string) error {
	if secret != "" {
		return nil
	}
	return options.Fieldf(key, "is missing: anybody who finds the port can send messages")
}

func checkAccounts(accounts map[string]Account, key string) error {
	if len(accounts) == 0 {
		return options.Fieldf(key, "is missing; write who may send, with a password each")
	}
	var errs []error
	for name, account := range accounts {
		if account.Password == "" {
			errs = append(errs, options.Field(errors.New("is missing"), key, name, "password"))
		}
	}
	return errors.Join(errs...)
}

// logIn finds an account by its name and password.
func logIn(accounts map[string]Account, name, password string) (Account, bool) {
	account, known := accounts[name]
	return account, known && equal(account.Password.Reveal(), password)
}

// record is what is remembered of a message that was sent.
type record struct {
	ID      string            `json:"i"`
	URL     string            `json:"u,omitempty"` // called when there is news
	Method  string            `json:"m,omitempty"`
	Wanted  int               `json:"w,omitempty"` // which news, in the product's own terms
	To      string            `json:"t,omitempty"`
	From    string            `json:"f,omitempty"`
	Account string            `json:"a,omitempty"`
	Sent    string            `json:"s,omitempty"` // the transport's own ID of it
	Told    int               `json:"n,omitempty"` // the stage of the last event
	More    map[string]string `json:"o,omitempty"` // the product's own
}

func recordOf(m *message.Message, account string) *record {
	return &record{ID: m.ID, To: m.To, From: m.From, Account: account}
}

// The stages of a message. Clients are not told of an earlier one after a later one, as
// when a call failed and is tried again.
const (
	stageSent = 1 + iota
	stagePending
	stageFinal
)

func stageOf(e *message.Event) int {
	switch {
	case e.Type == message.Ack:
		return stageSent
	case e.Type == message.DeliveryReport && e.DeliveryStatus == message.Pending:
		return stagePending
	}
	return stageFinal
}

const recordPrefix = "sent/"

// send sends a message for a client. r is remembered first, so that no event comes before
// it; nil remembers nothing.
func (d *Door) send(ctx context.Context, m *message.Message, r *record) error {
	out, err := d.out.Get(ctx)
	if err == nil && r != nil {
		err = d.remember(ctx, r)
	}
	if err == nil {
		err = out.Send(ctx, m)
	}
	if err != nil {
		d.env.Logger.Warn("a client's message was not taken; it is told to send it again", "message_id", m.ID, "error", err)
	}
	return err
}

func (d *Door) remember(ctx context.Context, r *record) error {
	value, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return d.state.Set(ctx, store.Entry{Key: recordPrefix + r.ID, Value: string(value), TTL: d.RememberFor.Std()})
}

// recall returns what is remembered of a message; nil where nothing is.
func (d *Door) recall(ctx context.Context, id string) (*record, error) {
	found, err := d.state.Get(ctx, recordPrefix+id)
	value, known := found[recordPrefix+id]
	if err != nil || !known {
		return nil, err
	}
	r := new(record)
	return r, json.Unmarshal([]byte(value), r)
}

// ReceiveEvent tells the client who sent a message what became of it.
func (d *Door) ReceiveEvent(ctx context.Context, e *message.Event) error {
	if d.report == nil {
		return nil
	}
	r, err := d.recall(ctx, e.MessageID)
	if err != nil || r == nil || stageOf(e) < r.Told {
		return err
	}
	if e.Type == message.Ack {
		r.Sent = e.SentMessageID
	}
	for _, request := range d.report(e, r) {
		if _, err := d.call(ctx, request); err != nil {
			return fmt.Errorf("telling a client of message %s: %w", e.MessageID, err)
		}
	}
	r.Told = stageOf(e)
	return d.remember(ctx, r)
}

// isBlocked says that a message was refused because its person wants none.
func isBlocked(e *message.Event) bool {
	return e.Type == message.Nack && strings.HasPrefix(e.NackReason, "blocked")
}

const inboundPrefix = "received/"

// keep remembers a person's message, so that a client can reply to it by its ID.
func (d *Door) keep(ctx context.Context, m *message.Message, ttl time.Duration) error {
	return d.state.Set(ctx, store.Entry{Key: inboundPrefix + m.ID, Value: string(m.Encode()), TTL: ttl})
}

// kept returns a message by its ID; nil where none is kept.
func (d *Door) kept(ctx context.Context, id string) (*message.Message, error) {
	found, err := d.state.Get(ctx, inboundPrefix+id)
	value, known := found[inboundPrefix+id]
	if err != nil || !known {
		return nil, err
	}
	return message.Decode([]byte(value))
}

// form is a call with fields, in the query of a GET and in the body of others.
func form(method, address string, fields url.Values) *webhook.Request {
	r := &webhook.Request{Method: method, URL: address, Header: http.Header{}}
	switch {
	case method != http.MethodGet:
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Body = []byte(fields.Encode())
	case strings.Contains(address, "?"):
		r.URL += "&" + fields.Encode()
	default:
		r.URL += "?" + fields.Encode()
	}
	return r
}

// checkURL says what is wrong with an address that may be left out.
func checkURL(address, key string) error {
	if address == "" {
		return nil
	}
	return options.Under(webclient.CheckURL(address), key)
}

var (
	_ worker.Listener            = (*Door)(nil)
	_ applications.Runner        = (*Door)(nil)
	_ applications.EventReceiver = (*Door)(nil)
	_ applications.Windowed      = (*Door)(nil)
)
