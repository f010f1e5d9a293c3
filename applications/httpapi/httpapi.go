// Package httpapi is the application of programs that speak HTTP: they send messages by
// requests, and learn by a webhook what people write and what became of their messages.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"switchboard/applications"
	"switchboard/applications/webhook"
	"switchboard/internal/current"
	"switchboard/internal/listen"
	"switchboard/internal/msisdn"
	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
	"switchboard/worker/optouts"
)

// Application is an HTTP API for one application. Its fields are its options.
type Application struct {
	// WebHost is the address of this machine to listen on; default localhost, which only
	// this machine can reach: put a proxy before it. In a container write 0.0.0.0.
	WebHost string `yaml:"web_host"`
	// WebPort is the TCP port to listen on; 0 takes any free one.
	WebPort int `yaml:"web_port"`
	// Tokens are what requests prove themselves with, by a name for logs and metrics.
	Tokens options.Map[Token] `yaml:"tokens"`
	// Webhook is told what people write, and what became of messages.
	Webhook *Webhook `yaml:"webhook"`
	// AllowPrivate lets the webhook be in a private network or on this machine.
	AllowPrivate bool `yaml:"allow_private"`
	// ChannelNames are the transports whose health is told, and by which broadcasts and
	// scheduled messages may go.
	ChannelNames options.Names `yaml:"channels"`
	// OptOutList is the list of the opt_out middleware that requests look after. Default: none.
	OptOutList string `yaml:"opt_out_list"`
	// Country is whose national numbers are on it (ZA), as the middleware's file says.
	Country string `yaml:"country"`
	// ReplyFor is how long a message from a person can be replied to. Default 24h.
	ReplyFor options.Duration `yaml:"reply_for"`

	env     applications.Env
	metrics *metrics
	port    listen.Port
	current current.Value[*run]
	running *run // of Run, for Close
}

// Webhook is how the application's program is told of messages and events.
type Webhook struct {
	webhook.Webhook `yaml:",inline"`
	// MessagesOnly leaves out events: acks, nacks and delivery reports.
	MessagesOnly bool `yaml:"messages_only"`
	// RetryFor is how long something is tried again, with growing gaps; then it is a dead
	// letter. Default 24h.
	RetryFor options.Duration `yaml:"retry_for"`
	// MaxRequests is how many requests are at the webhook at once. Default 100.
	MaxRequests int `yaml:"max_requests"`
}

var (
	_ applications.Application    = (*Application)(nil)
	_ applications.Runner         = (*Application)(nil)
	_ applications.Relay          = (*Application)(nil)
	_ applications.Windowed       = (*Application)(nil)
	_ applications.Deduplicator   = (*Application)(nil)
	_ applications.Linter         = (*Application)(nil)
	_ applications.ChannelWatcher = (*Application)(nil)
	_ worker.Listener             = (*Application)(nil)
)

const (
	defaultReplyFor    = 24 * time.Hour
	defaultRetryFor    = 24 * time.Hour
	defaultMaxRequests = 100
	maxMaxRequests     = 1000
)

// New makes an Application with its defaults.
func New() *Application {
	return &Application{WebHost: "localhost", ReplyFor: options.Duration(defaultReplyFor)}
}

// Validate checks the options.
func (a *Application) Validate() error {
	errs := []error{options.Port("web_port", a.WebPort)}
	if a.ReplyFor <= 0 {
		errs = append(errs, options.Fieldf("reply_for", "must be above 0"))
	}
	if err := optouts.CheckName(a.OptOutList); a.OptOutList != "" && err != nil {
		errs = append(errs, options.Field(err, "opt_out_list"))
	}
	if _, err := msisdn.Country(a.Country); err != nil {
		errs = append(errs, options.Field(err, "country"))
	}
	if len(a.Tokens) == 0 {
		errs = append(errs, options.Fieldf("tokens", "is missing; without a token nobody may ask for anything"))
	}
	seen := map[string]string{}
	for i := range a.Tokens {
		t := &a.Tokens[i]
		errs = append(errs, options.Under(t.Value.validate(), "tokens", t.Key))
		if other, twice := seen[t.Value.Token.Reveal()]; twice && t.Value.Token != "" {
			errs = append(errs, options.Field(fmt.Errorf("has the token of %s; each needs its own", other), "tokens", t.Key))
		}
		seen[t.Value.Token.Reveal()] = t.Key
	}
	for _, name := range a.ChannelNames {
		if err := worker.CheckConnector(name); err != nil {
			errs = append(errs, options.Field(err, "channels", name))
		}
	}
	if a.Webhook != nil {
		errs = append(errs, options.Under(a.Webhook.Validate(), "webhook"))
	}
	return errors.Join(errs...)
}

// Validate checks the options.
func (w *Webhook) Validate() error {
	if w.RetryFor == 0 {
		w.RetryFor = options.Duration(defaultRetryFor)
	}
	if w.MaxRequests == 0 {
		w.MaxRequests = defaultMaxRequests
	}
	if w.RetryFor < 0 {
		return options.Fieldf("retry_for", "must be above 0")
	}
	if w.MaxRequests < 0 || w.MaxRequests > maxMaxRequests {
		return options.Fieldf("max_requests", "must be from 1 to %d", maxMaxRequests)
	}
	return w.Webhook.Validate()
}

// Lint warns of what can be guessed: tokens, and who posts to the webhook.
func (a *Application) Lint() error {
	var errs []error
	for _, t := range a.Tokens {
		if len(t.Value.Token.Reveal()) < leastToken {
			errs = append(errs, options.Field(fmt.Errorf("is short enough to be guessed: use %d characters or more", leastToken), "tokens", t.Key, "token"))
		}
	}
	if a.Webhook != nil && a.Webhook.Secret == "" {
		errs = append(errs, options.Fieldf("webhook", "is not signed, so anybody who finds its address can post to it: set secret"))
	}
	return errors.Join(errs...)
}

// Listens is the address of the configuration.
func (a *Application) Listens() []string {
	return []string{net.JoinHostPort(a.WebHost, strconv.Itoa(a.WebPort))}
}

// Deduplicates says that a second copy is posted with the first's id, and answered with the
// same replies.
func (*Application) Deduplicates() bool { return true }

// Channels are the transports whose health it asks for.
func (a *Application) Channels() []string { return a.ChannelNames }

// InFlight is how many messages and events are handled at once.
func (a *Application) InFlight() int { return inFlight }

const inFlight = 500

// Receive is never called: Accept takes its place.
func (*Application) Receive(context.Context, *message.Message) ([]*message.Message, error) {
	return nil, message.Permanent(errors.New("the HTTP API passes messages on; it answers none itself"))
}

// Provision takes the state store, the record, the logger and the registry of metrics.
func (a *Application) Provision(_ context.Context, env applications.Env) error {
	if env.State == nil {
		return message.Permanent(errors.New("the HTTP API needs a state store; set DATABASE_URL"))
	}
	a.env = env
	var err error
	a.metrics, err = newMetrics(env.Registerer)
	return err
}

// Addr is the address that is listened on; it waits until there is one.
func (a *Application) Addr(ctx context.Context) (net.Addr, error) { return a.port.Addr(ctx) }

const (
	// stopGrace is how long a stop waits for answers that are being written.
	stopGrace = 3 * time.Second
	// readTimeout is how long a request may take to arrive.
	readTimeout = 30 * time.Second
)

// Run answers requests, and posts what waits for the webhook, until ctx ends.
func (a *Application) Run(ctx context.Context, out applications.Sender) error {
	r, err := newRun(ctx, a, out)
	if err != nil {
		return err
	}
	a.running = r
	defer r.close()
	a.current.Set(r)
	if a.env.HTTP != nil { // a conversation is tried, without a network
		<-ctx.Done()
		return nil
	}
	listener, err := a.port.Open(ctx, a.Listens()[0], "web_port")
	if err != nil {
		return message.Permanent(err)
	}
	defer a.port.Forget()
	a.env.Logger.Info("listening for requests", "url", fmt.Sprintf("http://%s", listener.Addr()))
	server := listen.HTTPServer(r.routes())
	server.ReadTimeout = readTimeout
	return listen.Serve(ctx, server, listen.Limited(listener), stopGrace, a.env.Logger)
}
