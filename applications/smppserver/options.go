package smppserver

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"switchboard/internal/endpoint"
	"switchboard/options"
	"switchboard/smpp"
)

// Options are the application's options.
type Options struct {
	// SMPPPort is the TCP port customers connect to; 0 takes any free one.
	// Either this or tls_port must be given. Example: 2775.
	SMPPPort *int `yaml:"smpp_port"`
	// TLSPort is the TCP port for customers who speak TLS. Example: 3550.
	TLSPort *int `yaml:"tls_port"`
	// Interface is the address to listen on; default all. Example: 127.0.0.1.
	Interface string `yaml:"interface"`
	// TLSCertFile is the certificate for tls_port, in PEM.
	TLSCertFile string `yaml:"tls_cert_file"`
	// TLSKeyFile is its key, in PEM.
	TLSKeyFile string `yaml:"tls_key_file"`
	// TLSClientCAFile holds the certificates that customers' own ones must be
	// signed by, in PEM; default: customers need none.
	TLSClientCAFile string `yaml:"tls_client_ca_file"`
	// SystemID is our name in answers to binds, at most 15 characters (§5.2.1).
	// Default switchboard.
	SystemID string `yaml:"system_id"`
	// Customers are those who may bind, by their system_id.
	Customers options.Map[Customer] `yaml:"customers"`

	// RefusedTLVs are the optional parameters that no customer may submit, by name
	// or number; others go to the SMSC as they are. Example: [privacy_indicator,
	// 0x1400].
	RefusedTLVs options.Names `yaml:"refused_tlvs"`

	Patience `yaml:",inline"`
	Keeping  `yaml:",inline"`
}

// Customer is somebody who may bind.
type Customer struct {
	// Password is what the customer binds with.
	Password options.Secret `yaml:"password"`
	// AllowedIPs are the addresses and networks the customer may connect from;
	// default any. Example: [192.0.2.7, 198.51.100.0/24].
	AllowedIPs options.Names `yaml:"allowed_ips"`
	// MaxBinds is how many binds the customer may have at once. Default 4.
	MaxBinds int `yaml:"max_binds"`
	// TPS is how many messages, or parts of one, the customer may submit in any
	// one second over all binds; 0 is no bound.
	TPS int `yaml:"tps"`
	// Window is how many submits may be unanswered on each bind. Default 10.
	Window int `yaml:"window"`
	// DeliverWindow is how many deliver_sm may be unanswered on each bind; 1
	// keeps their order strictly. Default 10.
	DeliverWindow int `yaml:"deliver_window"`
	// AllowedSources are the senders the customer may use: an address, the
	// beginning of some with * behind it, or a regular expression between
	// slashes for the whole of one; default any. Example: [ACME, "2783*"].
	AllowedSources options.Names `yaml:"allowed_sources"`
	// DefaultSource is the sender of messages that have none.
	DefaultSource string `yaml:"default_source"`
	// Addresses are those whose messages from people go to the customer, written
	// like allowed_sources. Of several customers the first in the file counts.
	Addresses options.Names `yaml:"addresses"`
	// SendVia is the transport_name the customer's messages get, for routers
	// that go by it; default none.
	SendVia string `yaml:"send_via"`
	// Endpoint is the endpoint the customer's messages leave by; default
	// default.
	Endpoint string `yaml:"endpoint"`
	// DefaultAlphabet is what data_coding 0 means, both ways: gsm0338,
	// gsm0338-packed, ascii, latin1, utf-8. Default gsm0338.
	DefaultAlphabet string `yaml:"default_alphabet"`
	// DataCodingOverrides are the codings that other data_coding values mean in
	// the customer's submits, where they are not SMPP's. Example: {1: gsm0338}.
	DataCodingOverrides map[string]string `yaml:"data_coding_overrides"`
	// LongMessages is how long messages from people are delivered: udh, sar or
	// payload. Default udh.
	LongMessages string `yaml:"long_messages"`
	// ShortIDs gives message_ids of 8 hexadecimal digits to all of the customer's
	// binds, for clients that hold no longer ones; binds of SMPP 3.3 always get
	// such.
	ShortIDs bool `yaml:"short_ids"`
	// ReceiptOnAck takes an ack as final and reports the message
	// delivered, where the transports behind have no delivery reports.
	ReceiptOnAck bool `yaml:"receipt_on_ack"`
}

// Patience says how long customers are waited for.
type Patience struct {
	// MaxConnections is how many connections there may be at once, on each port.
	// When there are more, the one that has not bound for the longest time is
	// closed. Default 1000.
	MaxConnections int `yaml:"max_connections"`
	// BindTimeout is how long a connection may take to bind. Default 30.
	BindTimeout options.Duration `yaml:"bind_timeout"`
	// RefusedBindDelay is how long the answer to a bind that is refused is held
	// back, to slow down who guesses passwords. Default 1.
	RefusedBindDelay options.Duration `yaml:"refused_bind_delay"`
	// EnquireLinkInterval is how long a bind may be silent before it is asked
	// whether it is there. Default 30.
	EnquireLinkInterval options.Duration `yaml:"enquire_link_interval"`
	// ResponseTimeout is how long an answer to deliver_sm or enquire_link may
	// take. Default 30.
	ResponseTimeout options.Duration `yaml:"response_timeout"`
	// IdleTimeout is how long a bind may carry no message before it is unbound;
	// default 0: for ever, as long as it answers enquire_link.
	IdleTimeout options.Duration `yaml:"idle_timeout"`
	// SubmitTimeout is how long the broker may take for a message before the
	// customer is asked to try again. Default 10.
	SubmitTimeout options.Duration `yaml:"submit_timeout"`
}

// Keeping says what is kept, and how long.
type Keeping struct {
	// KeepFor is how long receipts and messages wait for a customer who is away.
	// Default 72h.
	KeepFor options.Duration `yaml:"keep_for"`
	// KeepMax is how many deliver_sm wait for one customer; with more of them the
	// fleet's queues wait, and then the dead letters. Default 10000.
	KeepMax int `yaml:"keep_max"`
	// RememberFor is how long a submitted message is remembered for its receipt
	// and query_sm. Default 168h.
	RememberFor options.Duration `yaml:"remember_for"`
	// ReassemblyTTL is how long the parts of a long message wait for each other.
	// Default 1h.
	ReassemblyTTL options.Duration `yaml:"reassembly_ttl"`
}

const (
	defaultWindow   = 10
	defaultMaxBinds = 4
	maxSystemID     = 15
	maxWindow       = 10_000
	maxTPS          = 100_000
	maxKeep         = 1_000_000
)

func defaultOptions() Options {
	seconds := func(n int) options.Duration { return options.Duration(time.Duration(n) * time.Second) }
	hours := func(n int) options.Duration { return options.Duration(time.Duration(n) * time.Hour) }
	return Options{
		SystemID: "switchboard",
		Patience: Patience{
			MaxConnections: 1000, BindTimeout: seconds(30), RefusedBindDelay: seconds(1), EnquireLinkInterval: seconds(30),
			ResponseTimeout: seconds(30), SubmitTimeout: seconds(10),
		},
		Keeping: Keeping{KeepFor: hours(72), KeepMax: 10_000, RememberFor: hours(168), ReassemblyTTL: hours(1)},
	}
}

// Validate checks the options.
func (o *Options) Validate() error {
	_, refused := smpp.ParseTags(o.RefusedTLVs)
	errs := []error{
		options.Between("max_connections", o.MaxConnections, 1, maxWindow*10), options.Between("keep_max", o.KeepMax, 1, maxKeep),
		options.Under(refused, "refused_tlvs"),
		options.If(o.SMPPPort == nil && o.TLSPort == nil, "smpp_port", "either smpp_port or tls_port must be given, for example smpp_port: 2775"),
		options.If(o.TLSPort != nil && (o.TLSCertFile == "" || o.TLSKeyFile == ""), "tls_port", "needs tls_cert_file and tls_key_file"),
		options.If(len(o.SystemID) > maxSystemID, "system_id", "has %d characters, more than the %d SMPP allows", len(o.SystemID), maxSystemID),
		options.If(len(o.Customers) == 0, "customers", "nobody may bind; write a system_id with its password"),
		options.Positive("bind_timeout", o.BindTimeout), options.Positive("enquire_link_interval", o.EnquireLinkInterval),
		options.Positive("response_timeout", o.ResponseTimeout), options.Positive("submit_timeout", o.SubmitTimeout),
		options.Positive("keep_for", o.KeepFor), options.Positive("remember_for", o.RememberFor), options.Positive("reassembly_ttl", o.ReassemblyTTL),
		options.NotNegative("refused_bind_delay", o.RefusedBindDelay), options.NotNegative("idle_timeout", o.IdleTimeout),
	}
	for key, port := range map[string]*int{"smpp_port": o.SMPPPort, "tls_port": o.TLSPort} {
		if port != nil {
			errs = append(errs, options.Between(key, *port, 0, endpoint.MaxPort))
		}
	}
	for _, pair := range o.Customers {
		_, err := newCustomer(pair.Key, pair.Value)
		errs = append(errs, options.Under(err, "customers", pair.Key))
	}
	return errors.Join(errs...)
}

// Listens are the addresses customers connect to.
func (o *Options) Listens() (list []string) {
	for _, port := range []*int{o.SMPPPort, o.TLSPort} {
		if port != nil {
			list = append(list, o.address(*port))
		}
	}
	return list
}

func (o *Options) address(port int) string {
	return net.JoinHostPort(strings.Trim(o.Interface, "[]"), strconv.Itoa(port))
}
