package xmpp

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"switchboard/internal/endpoint"
	"switchboard/internal/tlsfiles"
	"switchboard/options"
	"switchboard/transports"
	"switchboard/xmpp"
)

// Options are the transport's options: those of Vumi's XMPP transport with their
// names, and ours beside them.
type Options struct {
	// TransportName is the transport's connector.
	TransportName string `yaml:"transport_name"`
	// Username is the account's JID. Example: bot@example.org. Two workers may share
	// one account: each gets messages by turns, as the server likes.
	Username string `yaml:"username"`
	// Password is the account's password; of a component, the secret it shares with
	// its server.
	Password options.Secret `yaml:"password"`
	// Component is the domain that the worker serves as a component of a server
	// (XEP-0114), in place of an account: every address of the domain is its own.
	// Example: sms.example.org.
	Component string `yaml:"component"`
	// Host is the server's host. Default: what DNS says of the account's domain. A
	// component must name it.
	Host string `yaml:"host"`
	// Port is the server's TCP port, where host is given. Default 5222, of a
	// component 5347.
	Port int `yaml:"port"`
	// TLS is starttls (the default), direct (TLS from the first byte), or none; a
	// component has no starttls, and its default is none, since servers rarely offer
	// TLS there. Passwords are never sent in clear, whatever this says.
	TLS string `yaml:"tls"`
	// TLSCAFile holds the certificates to trust, in PEM; default the system's. The
	// server's certificate must be for the account's domain.
	TLSCAFile string `yaml:"tls_ca_file"`
	// TLSSkipVerify takes any certificate. For tests only: it protects against
	// nobody.
	TLSSkipVerify bool `yaml:"tls_skip_verify"`

	// Status is how the account shows itself: away, chat, dnd or xa; default
	// available.
	Status string `yaml:"status"`
	// StatusMessage is the text beside it.
	StatusMessage string `yaml:"status_message"`
	// PresenceInterval is how often the presence is sent again though nothing
	// changed. Default 0: never. Each copy goes to everybody in the roster.
	PresenceInterval options.Duration `yaml:"presence_interval"`
	// PresenceRate is how many people a component tells in a second that it is
	// there. Default 50.
	PresenceRate int `yaml:"presence_rate"`
	// PingInterval is after how long a silence the server is asked whether it is
	// there; it has 30s to answer. Default 60s.
	PingInterval options.Duration `yaml:"ping_interval"`
	// AcceptSubscriptions answers people who want to see the account, and asks to
	// see them. Default true.
	AcceptSubscriptions bool `yaml:"accept_subscriptions"`
	// Nick is how the account calls itself, in its vCard and in rooms;
	// default the JID's local part, or the component's domain.
	Nick string `yaml:"nick"`
	// AvatarFile is the picture of the vCard, PNG or JPEG, at most 64 KiB.
	AvatarFile string `yaml:"avatar_file"`

	// Rooms are the group chats that the account is in. Example: [help@rooms.example.org].
	Rooms options.Names `yaml:"rooms"`

	// Window is how many messages may be unacknowledged by the server. It bounds
	// what may be sent twice after a crash. Default 100.
	Window             int `yaml:"window"`
	transports.Unknown `yaml:",inline"`
	// MaxStanzaBytes is the largest message that is sent; a larger one is refused
	// before the server closes the connection over it. Default 60000.
	MaxStanzaBytes int `yaml:"max_stanza_bytes"`
	// Receipts asks people's clients to tell when a message arrived (XEP-0184).
	// Default true.
	Receipts bool `yaml:"receipts"`
	// RememberReceipts is how long such an answer may take. Default 168h.
	RememberReceipts options.Duration `yaml:"remember_receipts"`

	// MaxAge drops messages that were written longer ago, as those that waited at
	// the server. Default 0: none.
	MaxAge options.Duration `yaml:"max_age"`
	// MaxEqualReplies is how many equal replies one address gets in a minute: two
	// robots that answer each other would go on for ever. Default 10; 0 is no limit.
	MaxEqualReplies int `yaml:"max_equal_replies"`
}

// IgnoredKeys are those of Vumi's XMPP transport.
func (Options) IgnoredKeys() map[string]string {
	return map[string]string{"debug": "SWITCHBOARD_LOG_LEVEL=debug shows more"}
}

const (
	tlsStart  = "starttls"
	tlsDirect = "direct"
	tlsNone   = "none"

	maxWindow     = 10_000
	mostStanza    = 1 << 20
	maxPerSecond  = 10_000
	maxEqualLimit = 10_000
)

func defaultOptions() Options {
	return Options{
		PingInterval: options.Duration(time.Minute), PresenceRate: 50, AcceptSubscriptions: true,
		Window: 100, Unknown: transports.DefaultUnknown(),
		MaxStanzaBytes: 60_000, Receipts: true, RememberReceipts: options.Duration(168 * time.Hour), MaxEqualReplies: 10,
	}
}

// Validate checks the options.
func (t *Transport) Validate() error {
	o := &t.Options
	errs := []error{
		o.validateAddress(),
		oneOf("tls", o.TLS, "", tlsStart, tlsDirect, tlsNone),
		oneOf("status", o.Status, "", "away", "chat", "dnd", "xa"),
		o.Unknown.Validate(),
		options.Between("port", o.Port, 0, endpoint.MaxPort), options.Between("window", o.Window, 1, maxWindow),
		options.Between("max_stanza_bytes", o.MaxStanzaBytes, xmpp.LeastStanza, mostStanza),
		options.Between("presence_rate", o.PresenceRate, 1, maxPerSecond), options.Between("max_equal_replies", o.MaxEqualReplies, 0, maxEqualLimit),
		options.Positive("ping_interval", o.PingInterval),
		options.NotNegative("presence_interval", o.PresenceInterval),
		options.Positive("remember_receipts", o.RememberReceipts),
		options.NotNegative("max_age", o.MaxAge),
	}
	for i, room := range o.Rooms {
		j, err := xmpp.ParseJID(room)
		errs = append(errs, options.If(err != nil || j.Local == "" || j.Resource != "", "rooms", "%q is no room; write name@rooms.example.org", o.Rooms[i]))
	}
	return errors.Join(errs...)
}

func (o *Options) validateAddress() error {
	j, err := xmpp.ParseJID(o.address())
	switch {
	case o.Component == "" && o.Username == "":
		return options.Fieldf("username", "must be given: the account's JID, as bot@example.org; a component names its domain in component")
	case o.Component != "" && o.Username != "":
		return options.Fieldf("component", "and username are two ways in; give one of them")
	case o.Component != "" && (err != nil || j.Local != "" || j.Resource != ""):
		return options.Fieldf("component", "is %q; write a domain, as sms.example.org", o.Component)
	case o.Component != "" && o.Host == "":
		return options.Fieldf("host", "must be given: where the server takes components")
	case o.Component != "" && len(o.Rooms) > 0:
		return options.Fieldf("rooms", "are for accounts; a component has many addresses, none of which is in a room")
	case o.Component != "" && o.TLS == tlsStart:
		return options.Fieldf("tls", "is starttls, which components have not; write direct, or none")
	case o.Component == "" && (err != nil || j.Local == ""):
		return options.Fieldf("username", "is %q; write the account's JID, as bot@example.org", o.Username)
	case o.Port != 0 && o.Host == "":
		return options.Fieldf("port", "stands without host; leave both out to ask DNS")
	case o.Password.Reveal() == "":
		return options.Fieldf("password", "must be given")
	}
	return nil
}

func (o *Options) address() string {
	if o.Component != "" {
		return o.Component
	}
	return o.Username
}

// Lint warns of a secret that others could read on its way.
func (t *Transport) Lint() error {
	if t.Component == "" || t.TLS == tlsDirect || isLoopback(t.Host) {
		return nil
	}
	return options.Fieldf("host", "%s is reached without TLS: everybody in between reads the messages; use this machine, a TLS tunnel, or tls: direct", t.Host)
}

// LogsInAs is the account, or the component's domain.
func (t *Transport) LogsInAs() string { return t.jid().String() }

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// jid is the account or the component's domain; the options are valid.
func (o *Options) jid() xmpp.JID {
	j, _ := xmpp.ParseJID(o.address()) // checked
	return j.Bare()
}

// settings are those of a session.
func (o *Options) settings() xmpp.Settings {
	s := xmpp.Settings{
		JID: o.jid(), DirectTLS: o.TLS == tlsDirect, Plaintext: o.TLS == tlsNone,
		PingInterval: o.PingInterval.Std(), TLS: o.tlsConfig,
	}
	if o.Component != "" {
		s.Secret = o.Password.Reveal()
	} else {
		s.Password = o.Password.Reveal()
	}
	if o.Host != "" {
		s.Address = o.Host
		if o.Port != 0 {
			s.Address = net.JoinHostPort(strings.Trim(o.Host, "[]"), itoa(o.Port))
		}
	}
	return s
}

func (o *Options) tlsConfig() (*tls.Config, error) {
	config, err := tlsfiles.Files{CA: o.TLSCAFile}.Client("")
	if err == nil {
		config.InsecureSkipVerify = o.TLSSkipVerify
	}
	return config, err
}

func oneOf(key, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return options.Fieldf(key, "is %q; write %s", value, strings.Join(slices.DeleteFunc(allowed, func(s string) bool { return s == "" }), ", "))
}
