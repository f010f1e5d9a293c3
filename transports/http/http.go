// Package http is a transport that speaks to any HTTP provider as a description in
// YAML says: how its requests are checked and read, what is answered, how messages
// are sent and what its answers mean. The descriptions of well-known providers come
// with the program (Presets); docs/channels-http.md explains them.
//
// A description is compiled once (compile) into expressions that know nothing but
// their input (language). A run is one run of a transport: its receiver answers
// requests (inbound), its sender makes them (outbound), and both remember in the
// state store (memory) what finds its way back to what.
package http

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	nethttp "net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchboard/internal/current"
	"switchboard/internal/listen"
	"switchboard/internal/tlsfiles"
	"switchboard/message"
	"switchboard/options"
	"switchboard/transports"
	"switchboard/worker"
)

// Transport is a channel to an HTTP provider. Its fields are its options.
type Transport struct {
	// TransportName is the transport's connector; the worker's name when empty.
	TransportName string `yaml:"transport_name"`
	// Provider is a preset's name, or the path of a file with a description, as in
	// ./mine.yaml. `switchboard http presets` lists the presets.
	Provider string `yaml:"provider"`
	// Options are those of the description, by name: `switchboard http show
	// PRESET` lists them. Example: {account_sid: AC0123}.
	Options map[string]string `yaml:"options"`
	// Secrets are the description's secrets, by name. Example: {auth_token: ${TWILIO_TOKEN}}.
	Secrets map[string]options.Secret `yaml:"secrets"`
	// TransportType is the messages' transport_type. Default: the description's.
	TransportType string `yaml:"transport_type"`

	// WebHost is the address of this machine to listen on; default localhost,
	// which only this machine can reach: put a proxy before it. In a container
	// write 0.0.0.0.
	WebHost string `yaml:"web_host"`
	// WebPort is the TCP port to listen on; 0 takes any free one. Without it
	// nothing is listened for.
	WebPort *int `yaml:"web_port"`
	// WebPath is the path that the description's paths are below; default /.
	WebPath string `yaml:"web_path"`
	// PublicURL is what the provider calls WebPath, as in
	// https://sms.example.org/twilio. Signatures are computed with it, and receipts asked for at it.
	PublicURL string `yaml:"public_url"`
	// WebUsername must come with every request (HTTP basic authentication).
	WebUsername string `yaml:"web_username"`
	// WebPassword must come with it.
	WebPassword options.Secret `yaml:"web_password"`
	// WebSources are the addresses or networks that requests may come from;
	// default all. Behind a proxy it is the proxy's that counts. Example: [192.0.2.0/24].
	WebSources options.Names `yaml:"web_sources"`
	// Poll asks the provider for messages, in place of waiting for its requests,
	// where the description can.
	Poll bool `yaml:"poll"`

	// ReplyWait is how long a request of the provider's waits for the reply to its message,
	// where the description can put it in the answer. A later reply is sent as others are.
	// Default 0s: none waits.
	ReplyWait options.Duration `yaml:"reply_wait"`

	// MTTPS is how many requests are sent in a second at most; default the
	// description's, where it has one, else no limit.
	MTTPS float64 `yaml:"mt_tps"`
	// MaxInFlight is how many requests are under way at once. Default 20.
	MaxInFlight int `yaml:"max_in_flight"`
	// Timeout is how long a request may take. Default 30s.
	Timeout options.Duration `yaml:"timeout"`
	// Proxy is the proxy to send through, as in http://proxy.example.org:3128.
	// Default: what HTTPS_PROXY and HTTP_PROXY say.
	Proxy string `yaml:"proxy"`
	// TLSCA is a PEM file of the authorities that the provider's certificate must
	// come from; default the system's.
	TLSCA              string `yaml:"tls_ca"`
	transports.Unknown `yaml:",inline"`
	// ThirdPartyIDExpiry is how long the way back of a message's receipts is
	// remembered. Default 168h.
	ThirdPartyIDExpiry options.Duration `yaml:"third_party_id_expiry"`
	// RememberReceived is how long a message from a person is remembered, so that
	// one that the provider repeats is one message. Default 72h.
	RememberReceived options.Duration `yaml:"remember_received"`
	// HeldReceiptExpiry is how long a receipt of a message that is not known is
	// kept, in case the provider's id of it comes later. Default 1h.
	HeldReceiptExpiry options.Duration `yaml:"held_receipt_expiry"`
	// ReassemblyTTL is how long the parts of a long message wait for each other;
	// then what is there is received. Default 10m.
	ReassemblyTTL options.Duration `yaml:"reassembly_ttl"`
	// OptOutList is the list of the opt_out middleware that people are put on who
	// a provider says want no messages. Example: default.
	OptOutList string `yaml:"opt_out_list"`
	// ChannelLog is how many of the last requests and answers are kept, without
	// secrets, for `switchboard trace`. 0 keeps none. Default 200.
	ChannelLog int `yaml:"channel_log"`
	// ChannelLogExpiry is how long. Default 24h.
	ChannelLogExpiry options.Duration `yaml:"channel_log_expiry"`

	readTimeout time.Duration // how long a request may take to arrive
	stopGrace   time.Duration // how long a stop waits for requests that are being answered

	compiled *channel // by Validate
	mask     *mask
	sources  []netip.Prefix
	env      transports.Env
	metrics  *metrics
	logger   *slog.Logger
	port     listen.Port

	current current.Value[*run] // of the present Run
}

var (
	_ transports.Transport  = (*Transport)(nil)
	_ transports.BulkSender = (*Transport)(nil)
	_ transports.Resender   = (*Transport)(nil)
	_ transports.Windowed   = (*Transport)(nil)
	_ worker.Listener       = (*Transport)(nil)
	_ transports.Linter     = (*Transport)(nil)
)

// New makes a transport with its defaults.
func New() *Transport {
	t := &Transport{}
	t.init()
	return t
}

func (t *Transport) init() {
	day := 24 * time.Hour
	t.WebHost, t.WebPath, t.MaxInFlight, t.Timeout = "localhost", "/", 20, options.Duration(30*time.Second)
	t.Unknown = transports.DefaultUnknown()
	t.ThirdPartyIDExpiry, t.RememberReceived = options.Duration(7*day), options.Duration(3*day)
	t.HeldReceiptExpiry, t.ReassemblyTTL = options.Duration(time.Hour), options.Duration(10*time.Minute)
	t.ChannelLog, t.ChannelLogExpiry = 200, options.Duration(day)
	t.readTimeout, t.stopGrace = readTimeout, stopGrace
	t.logger = slog.New(slog.DiscardHandler)
}

// Validate checks the options, and compiles the description.
func (t *Transport) Validate() error {
	errs := []error{t.loadProvider()}
	if t.WebPort != nil {
		errs = append(errs, options.Port("web_port", *t.WebPort))
	}
	if !strings.HasPrefix(t.WebPath, "/") || strings.ContainsAny(t.WebPath, "{} ?#%\\") || strings.Contains(t.WebPath, "//") {
		errs = append(errs, options.Fieldf("web_path", "is %q; write a plain path such as /sms", t.WebPath))
	}
	if u, err := url.Parse(t.PublicURL); t.PublicURL != "" && (err != nil || u.Host == "" || u.RawQuery != "") {
		errs = append(errs, options.Fieldf("public_url", "is %q; write https://NAME/PATH", t.PublicURL))
	}
	if u, err := url.Parse(t.Proxy); t.Proxy != "" && (err != nil || u.Host == "") {
		errs = append(errs, options.Fieldf("proxy", "must be a URL: http://NAME:PORT"))
	}
	if (t.WebUsername == "") != (t.WebPassword == "") {
		errs = append(errs, options.Fieldf("web_username", "and web_password go together"))
	}
	sources, err := options.ParseNetworks(t.WebSources)
	t.sources = sources
	return errors.Join(append(errs, options.Under(err, "web_sources"),
		t.Unknown.Validate(),
		options.Positive("max_in_flight", t.MaxInFlight), options.Positive("timeout", t.Timeout),
		options.Positive("third_party_id_expiry", t.ThirdPartyIDExpiry), options.Positive("remember_received", t.RememberReceived),
		options.Positive("held_receipt_expiry", t.HeldReceiptExpiry), options.Positive("reassembly_ttl", t.ReassemblyTTL),
		options.Positive("channel_log_expiry", t.ChannelLogExpiry),
		options.NotNegative("reply_wait", t.ReplyWait), options.NotNegative("channel_log", t.ChannelLog),
		options.If(t.MTTPS < 0, "mt_tps", "must not be negative"))...)
}

func (t *Transport) loadProvider() error {
	if t.Provider == "" {
		return options.Fieldf("provider", "is missing: a preset (%s), or the path of a description", strings.Join(Presets(), ", "))
	}
	d, doc, err := Load(t.Provider)
	if err != nil {
		return options.Field(err, "provider")
	}
	settings, err := t.settings(d)
	if err != nil {
		return err
	}
	if t.compiled, err = compile(d, settings); err != nil {
		return options.Field(doc.Locate(err), "provider")
	}
	t.mask = newMask(t.Secrets, t.WebPassword)
	switch {
	case t.Poll && len(d.Poll) == 0:
		return options.Fieldf("poll", "is on, and %s cannot be asked for messages", t.Provider)
	case t.ReplyWait > 0 && !slices.ContainsFunc(t.compiled.routes, func(r *route) bool { return r.reply != nil }):
		return options.Fieldf("reply_wait", "is of no use: the answers of %s hold no reply", t.Provider)
	case d.Send != nil && d.Send.Fetched && t.WebPort == nil:
		return options.Fieldf("web_port", "is missing: %s fetches what is sent there", t.Provider)
	}
	return nil
}

// reserved are names that options may not have.
var reserved = slices.Concat(requestNames, messageNames, answerNames)

// settings are the options and secrets of a description, with the operator's
// values.
func (t *Transport) settings(d *Description) (scope, error) {
	s := scope{"transport_name": t.TransportName}
	var errs []error
	take := func(key string, declared options.Map[Setting], given func(string) (string, bool), names []string) {
		var known []string
		for _, p := range declared {
			known = append(known, p.Key)
			value, there := given(p.Key)
			switch {
			case slices.Contains(reserved, p.Key):
				errs = append(errs, options.Fieldf("provider", "the description's option %s has a name with a meaning of its own", p.Key))
			case p.Value.Default == nil && value == "": // an empty secret proves nothing
				errs = append(errs, options.Fieldf(key, "%s is missing: %s", p.Key, p.Value.About))
			case there:
				s[p.Key] = value
			default:
				s[p.Key] = *p.Value.Default
			}
		}
		for _, name := range names {
			if !slices.Contains(known, name) {
				errs = append(errs, options.Field(fmt.Errorf("%s has none of this name%s; it has %s", t.Provider, options.DidYouMean(name, known), cmp.Or(strings.Join(known, ", "), "none")), key, name))
			}
		}
	}
	take("options", d.Options, func(name string) (string, bool) { v, ok := t.Options[name]; return v, ok }, sortedKeys(t.Options))
	take("secrets", d.Secrets, func(name string) (string, bool) { v, ok := t.Secrets[name]; return v.Reveal(), ok }, sortedKeys(t.Secrets))
	return s, errors.Join(errs...)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// Lint warns of what may be meant: requests that nobody proves, and a channel that
// receives nothing.
func (t *Transport) Lint() error {
	if t.compiled == nil {
		return nil
	}
	var errs []error
	for _, r := range t.compiled.routes {
		if t.WebPort != nil && !t.Poll && (r.messages != nil || r.receipts != nil) && t.WebUsername == "" && len(t.sources) == 0 &&
			!slices.ContainsFunc(r.checks, func(c *check) bool { return c.active }) {
			errs = append(errs, options.Fieldf("provider", "anybody who finds %s can send messages in the provider's name: "+
				"set the secret that %s signs with, web_username and web_password, or web_sources", below(t.WebPath, r.Path), t.Provider))
		}
	}
	if receives := len(t.compiled.routes) > 0 || len(t.compiled.polls) > 0; receives && t.WebPort == nil && !t.Poll {
		errs = append(errs, options.Fieldf("provider", "nothing is received: set web_port, or poll where the provider can be asked"))
	}
	return errors.Join(errs...)
}

// Listens is the address of the configuration.
func (t *Transport) Listens() []string {
	if t.WebPort == nil {
		return nil
	}
	return []string{net.JoinHostPort(t.WebHost, strconv.Itoa(*t.WebPort))}
}

const (
	// handling is how many more messages are in flight than are at the provider: those
	// that are being remembered and acknowledged, which a database does by the hundred.
	handling = 400
	// chosen is how many can be at the provider where the frame chooses how many are in
	// flight: 500 at most.
	chosen = 500 - handling
)

// InFlight is how many messages Send is of use for at once: 0, which leaves it to the
// frame, unless requests may take more than that finds, or a phone fetches the messages:
// how long that takes says nothing. So a quick provider gets what keeps it busy, and for a
// slow one few messages wait in memory. A rate lets no more wait than go in a second.
func (t *Transport) InFlight() int {
	asked := t.MaxInFlight * t.MaxMany()
	if asked <= chosen && !t.isFetched() {
		return 0
	}
	if rate := t.rate(); rate > 0 {
		return asked + min(handling, int(rate))
	}
	return asked + handling
}

func (t *Transport) isFetched() bool {
	return t.compiled != nil && t.compiled.send != nil && t.compiled.send.Fetched
}

// rate is how many requests are sent in a second at most; 0 is no limit.
func (t *Transport) rate() float64 {
	if t.compiled == nil || t.compiled.send == nil {
		return t.MTTPS
	}
	return cmp.Or(t.MTTPS, t.compiled.send.Rate)
}

// MaxMany is how many people one request may have.
func (t *Transport) MaxMany() int {
	if t.compiled == nil || t.compiled.send == nil {
		return 1
	}
	return t.compiled.send.Recipients
}

// Provision takes the environment.
func (t *Transport) Provision(_ context.Context, env transports.Env) error {
	if env.State == nil {
		return message.Permanent(errors.New("the HTTP transport needs a state store; set DATABASE_URL"))
	}
	if t.compiled == nil {
		if err := t.Validate(); err != nil {
			return message.Permanent(err)
		}
	}
	if t.TransportName == "" {
		t.TransportName = env.Name
	}
	t.compiled.settings["transport_name"] = t.TransportName
	t.env, t.logger = env, env.Logger
	var err error
	t.metrics, err = newMetrics(env.Registerer)
	return err
}

// Addr is the address that is listened on; it waits until it is.
func (t *Transport) Addr(ctx context.Context) (net.Addr, error) { return t.port.Addr(ctx) }

// client makes the channel's HTTP client. Nothing is followed: a redirect would
// take the secrets elsewhere.
func (t *Transport) client() (*nethttp.Client, error) {
	conf, err := tlsfiles.Files{CA: t.TLSCA}.Client("")
	if err != nil {
		return nil, options.Field(err, "tls_ca")
	}
	proxy := nethttp.ProxyFromEnvironment
	if t.Proxy != "" {
		address, err := url.Parse(t.Proxy)
		if err != nil {
			return nil, options.Field(err, "proxy")
		}
		proxy = nethttp.ProxyURL(address)
	}
	dialer := net.Dialer{Timeout: connectTimeout}
	return &nethttp.Client{
		Timeout:       t.Timeout.Std(),
		CheckRedirect: func(*nethttp.Request, []*nethttp.Request) error { return nethttp.ErrUseLastResponse },
		Transport: &nethttp.Transport{
			Proxy: proxy, DialContext: dialer.DialContext, TLSClientConfig: conf, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: connectTimeout, IdleConnTimeout: idleTimeout,
			MaxIdleConnsPerHost: t.MaxInFlight, MaxResponseHeaderBytes: maxHeader,
		},
	}, nil
}

const (
	connectTimeout = 10 * time.Second
	idleTimeout    = 90 * time.Second
	maxHeader      = 64 << 10
)

// below is a path below another, or below a URL.
func below(base, path string) string { return strings.TrimSuffix(base, "/") + path }

// running is the present run; it waits until there is one.
func (t *Transport) running(ctx context.Context) (*run, error) {
	r, err := t.current.Get(ctx)
	if err != nil {
		return nil, fmt.Errorf("waiting for the channel to start: %w", err)
	}
	return r, nil
}
