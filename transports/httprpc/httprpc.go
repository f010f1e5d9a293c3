// Package httprpc is a transport whose outside asks by HTTP and waits: the answer to a
// request is the application's reply. USSD gateways are like that. A description in YAML
// says how requests are read and replies written; those of well-known gateways come with
// the program (Presets).
package httprpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"switchboard/internal/current"
	"switchboard/internal/listen"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/transports"
	"switchboard/worker"
)

// Transport is a server whose requests wait for replies. Its fields are its options.
type Transport struct {
	// TransportName is the transport's connector; the worker's name when empty.
	TransportName string `yaml:"transport_name"`
	// Provider is a preset's name, or the path of a file with a description, as in
	// ./mine.yaml. Presets: africastalking, airtel, cellulant, dmark, generic, imimobile,
	// infobip, mtech, safaricom, vodacom.
	Provider string `yaml:"provider"`
	// Options are those of the description, by name.
	Options map[string]string `yaml:"options"`
	// Secrets are the description's secrets, by name.
	Secrets map[string]options.Secret `yaml:"secrets"`
	// TransportType is the messages' transport_type. Default: the description's.
	TransportType string `yaml:"transport_type"`

	// WebHost is the address of this machine to listen on; default localhost, which only
	// this machine can reach: put a proxy before it. In a container write 0.0.0.0.
	WebHost string `yaml:"web_host"`
	// WebPort is the TCP port to listen on; 0 takes any free one.
	WebPort int `yaml:"web_port"`
	// WebPath is the path that the description's paths are below. Default: the
	// description's, else /.
	WebPath string `yaml:"web_path"`
	// WebUsername must come with every request (HTTP basic authentication).
	WebUsername string `yaml:"web_username"`
	// WebPassword must come with it.
	WebPassword options.Secret `yaml:"web_password"`
	// WebAuthDomain is the realm that is told to who comes without them.
	WebAuthDomain string `yaml:"web_auth_domain"`
	// HealthPath is where load balancers ask how many requests are pending.
	HealthPath string `yaml:"health_path"`
	// ValidationMode is what becomes of parameters that the description does not name:
	// strict refuses the request, permissive ignores them.
	ValidationMode string `yaml:"validation_mode"`
	// ReplyExpected says that a request waits for its reply. Else it is answered with its
	// message_id at once, and messages out get a nack.
	ReplyExpected bool `yaml:"reply_expected"`
	// AllowedFields are the fields that a request may have, where the description leaves
	// it to the operator.
	AllowedFields options.Names `yaml:"allowed_fields"`
	// FieldDefaults are the values of fields that a request does not have.
	FieldDefaults map[string]string `yaml:"field_defaults"`

	// RequestTimeout is how long a request waits for its reply.
	RequestTimeout options.Duration `yaml:"request_timeout"`
	// RequestTimeoutStatusCode is what it is answered then.
	RequestTimeoutStatusCode int `yaml:"request_timeout_status_code"`
	// RequestTimeoutBody is the body of that answer.
	RequestTimeoutBody string `yaml:"request_timeout_body"`
	// MaxRequests is how many requests wait at once; one more is answered 503.
	MaxRequests int `yaml:"max_requests"`
	// ResponseTimeDegraded is how slow a reply may be before the transport is degraded.
	ResponseTimeDegraded options.Duration `yaml:"response_time_degraded"`
	// ResponseTimeDown is how slow a reply may be before the transport is down.
	ResponseTimeDown options.Duration `yaml:"response_time_down"`
	// USSDSessionTimeout is how long a session is remembered without a word.
	USSDSessionTimeout options.Duration `yaml:"ussd_session_timeout"`

	VumiOptions `yaml:",inline"`

	dialogue *dialogue // by Validate
	state    store.State
	logger   *slog.Logger
	metrics  *metrics
	port     listen.Port
	current  current.Value[*run]
}

// VumiOptions are those of Vumi's classes, in the place of options and secrets.
type VumiOptions struct {
	// AirtelUsername is what airtel's requests must have as userid.
	AirtelUsername string `yaml:"airtel_username"`
	// AirtelPassword is what they must have as password.
	AirtelPassword options.Secret `yaml:"airtel_password"`
	// AirtelCharge says whether Airtel's customers pay for replies.
	AirtelCharge bool `yaml:"airtel_charge"`
	// AirtelChargeAmount is how much.
	AirtelChargeAmount int `yaml:"airtel_charge_amount"`
	// ToAddrPattern is what the to_addr of a new session must match (airtel).
	ToAddrPattern string `yaml:"to_addr_pattern"`
	// FixToAddr puts dmark's service code between a star and a hash.
	FixToAddr bool `yaml:"fix_to_addr"`
	// SuffixToAddrs says which address is meant by the last part of imimobile's path.
	SuffixToAddrs map[string]string `yaml:"suffix_to_addrs"`
	// UserTerminatedSessionMessage is how imimobile's text begins when the person hung up.
	UserTerminatedSessionMessage string `yaml:"user_terminated_session_message"`
	// UserTerminatedSessionResponse is what is answered then.
	UserTerminatedSessionResponse string `yaml:"user_terminated_session_response"`
	// USSDStringPrefix is how vodacom's text begins in a new session.
	USSDStringPrefix string `yaml:"ussd_string_prefix"`
}

var (
	_ transports.Transport = (*Transport)(nil)
	_ transports.Linter    = (*Transport)(nil)
	_ transports.Windowed  = (*Transport)(nil)
	_ worker.Listener      = (*Transport)(nil)
)

const (
	strict     = "strict"
	permissive = "permissive"
)

// New makes a transport with its defaults.
func New() *Transport {
	return &Transport{
		Provider: "generic", WebHost: "localhost", WebAuthDomain: "Vumi HTTP RPC transport", HealthPath: "health", ValidationMode: strict, ReplyExpected: true,
		RequestTimeout: options.Duration(4 * time.Minute), RequestTimeoutStatusCode: 504, MaxRequests: 10_000,
		ResponseTimeDegraded: options.Duration(time.Second), ResponseTimeDown: options.Duration(10 * time.Second),
		USSDSessionTimeout: options.Duration(10 * time.Minute),
		VumiOptions: VumiOptions{
			UserTerminatedSessionMessage: "^Map Dialog User Abort User Reason", UserTerminatedSessionResponse: "Session Ended", USSDStringPrefix: "*",
		},
		logger: slog.New(slog.DiscardHandler),
	}
}

// NewPreset is New for one of the gateways.
func NewPreset(provider string) *Transport {
	t := New()
	t.Provider = provider
	return t
}

// NewAPI is New for requests that are told their message_id and wait for nothing.
func NewAPI() *Transport {
	t := New()
	t.ReplyExpected = false
	return t
}

// IgnoredKeys are those of Vumi's classes that have no meaning here.
func (VumiOptions) IgnoredKeys() map[string]string {
	return map[string]string{
		"request_cleanup_interval": "a request that is given up is noticed at once",
		"noisy":                    "LOG_LEVEL says how much is logged",
		"session_key_prefix":       "replicas of a worker share their sessions by its name",
	}
}

// Validate checks the options, and compiles the description.
func (t *Transport) Validate() error {
	errs := []error{options.Port("web_port", t.WebPort)}
	if t.WebPath != "" && (!strings.HasPrefix(t.WebPath, "/") || strings.ContainsAny(t.WebPath, "{} ?#%\\") || strings.Contains(t.WebPath, "//")) {
		errs = append(errs, options.Fieldf("web_path", "is %q; write a plain path such as /ussd", t.WebPath))
	}
	if (t.WebUsername == "") != (t.WebPassword == "") {
		errs = append(errs, options.Fieldf("web_username", "and web_password go together"))
	}
	if t.ValidationMode != strict && t.ValidationMode != permissive {
		errs = append(errs, options.Fieldf("validation_mode", "is %q; write strict or permissive", t.ValidationMode))
	}
	if t.RequestTimeoutStatusCode < 200 || t.RequestTimeoutStatusCode > 599 {
		errs = append(errs, options.Fieldf("request_timeout_status_code", "must be an HTTP status, 200 to 599"))
	}
	if t.MaxRequests < 1 {
		errs = append(errs, options.Fieldf("max_requests", "must be at least 1"))
	}
	for key, d := range map[string]options.Duration{
		"request_timeout": t.RequestTimeout, "response_time_degraded": t.ResponseTimeDegraded,
		"response_time_down": t.ResponseTimeDown, "ussd_session_timeout": t.USSDSessionTimeout,
	} {
		if d <= 0 {
			errs = append(errs, options.Fieldf(key, "must be above 0"))
		}
	}
	var err error
	t.dialogue, err = t.compile()
	return errors.Join(append(errs, err)...)
}

// Lint warns of requests that nobody proves.
func (t *Transport) Lint() error {
	if t.WebUsername != "" || t.dialogue == nil || t.dialogue.checks(t) {
		return nil
	}
	return options.Fieldf("provider", "anybody who finds the port can speak as any person: set web_username and web_password where %s can send them, "+
		"or let only its addresses through", t.Provider)
}

// Listens is the address of the configuration.
func (t *Transport) Listens() []string {
	return []string{net.JoinHostPort(t.WebHost, strconv.Itoa(t.WebPort))}
}

// inFlight is how many replies are handled at once: each may wait for another replica.
const inFlight = 200

// InFlight is how many replies are handled at once.
func (t *Transport) InFlight() int { return inFlight }

// Provision takes the logger, the state store and the registry of metrics.
func (t *Transport) Provision(_ context.Context, env transports.Env) error {
	if t.TransportName == "" {
		t.TransportName = env.Name
	}
	t.logger, t.state = env.Logger, env.State
	var err error
	t.metrics, err = newMetrics(env.Registerer)
	return err
}

// Addr is the address that is listened on; it waits until there is one.
func (t *Transport) Addr(ctx context.Context) (net.Addr, error) { return t.port.Addr(ctx) }

const (
	// stopGrace is how long a stop waits for answers that are being written.
	stopGrace = 3 * time.Second
	// readTimeout is how long a request may take to arrive.
	readTimeout = 30 * time.Second
	// spareConnections are for what does not wait: health, and refusals.
	spareConnections = 100
)

// Run answers requests until ctx ends.
func (t *Transport) Run(ctx context.Context, out transports.Publisher) error {
	if t.dialogue == nil {
		var err error
		if t.dialogue, err = t.compile(); err != nil {
			return message.Permanent(err)
		}
	}
	listener, err := t.port.Open(ctx, t.Listens()[0], "web_port")
	if err != nil {
		return message.Permanent(err)
	}
	defer t.port.Forget()
	t.logger.Info("listening for requests", "url", fmt.Sprintf("http://%s%s", listener.Addr(), t.dialogue.webPath))
	r := newRun(ctx, t, out)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { r.statuses.Run(background) })
	if t.state != nil {
		helpers.Go(func() { r.holdOn(background) })
	}
	defer func() {
		t.current.Clear()
		stop()
		helpers.Wait()
	}()
	r.statuses.Tell("listener", message.OK, "listening", "Requests are answered.")
	t.current.Set(r)
	server := listen.HTTPServer(r)
	server.ReadTimeout = readTimeout
	return listen.Serve(ctx, server, listen.LimitedTo(listener, t.MaxRequests+spareConnections), stopGrace, t.logger)
}

// errNoReply is said of messages out where nothing waits.
var errNoReply = errors.New("no request waits for a reply: reply_expected is off")

// Send answers the request that m replies to, wherever it waits.
func (t *Transport) Send(ctx context.Context, m *message.Message) (providerID string, err error) {
	r, err := t.current.Get(ctx)
	if err != nil {
		return "", err
	}
	var missing []string
	if m.InReplyTo == "" {
		missing = append(missing, "in_reply_to")
	}
	if m.Content == "" {
		missing = append(missing, "content")
	}
	switch {
	case !t.ReplyExpected:
		return "", message.Permanent(errNoReply)
	case missing != nil: // word for word Vumi's
		return "", message.Permanent(fmt.Errorf("Missing fields: %s", strings.Join(missing, ", "))) //nolint:staticcheck // see above
	}
	return "", r.reply(ctx, m)
}
