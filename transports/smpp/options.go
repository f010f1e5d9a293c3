package smpp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"switchboard/options"
)

// Options are the transport's options, those of Vumi's SMPP transports with
// their names and ours beside them.
type Options struct {
	// TransportName is the transport's connector.
	TransportName string `yaml:"transport_name"`
	// TransportType is the messages' transport_type. Default sms. Messages of a
	// USSD session always have ussd.
	TransportType string `yaml:"transport_type"`

	Endpoint   `yaml:",inline"`
	Identity   `yaml:",inline"`
	Link       `yaml:",inline"`
	Traffic    `yaml:",inline"`
	Outgoing   `yaml:",inline"`
	Incoming   `yaml:",inline"`
	Reports    `yaml:",inline"`
	Processors `yaml:",inline"`
}

// Endpoint says where the SMSC is.
type Endpoint struct {
	// TwistedEndpoint is the SMSC as Vumi's files have it. Example:
	// tcp:host=smsc.example.com:port=2775, or ssl: for TLS.
	TwistedEndpoint string `yaml:"twisted_endpoint"`
	// Host is the SMSC's host, where twisted_endpoint is not given.
	Host string `yaml:"host"`
	// Port is the SMSC's TCP port. Default 2775.
	Port int `yaml:"port"`
	// TLS wraps the connection in TLS 1.2 or later.
	TLS bool `yaml:"tls"`
	// TLSServerName is the name the SMSC's certificate must have; default host.
	TLSServerName string `yaml:"tls_server_name"`
	// TLSCAFile holds the certificates to trust, in PEM; default the system's.
	TLSCAFile string `yaml:"tls_ca_file"`
	// TLSCertFile is our own certificate, in PEM, where the SMSC asks for one.
	TLSCertFile string `yaml:"tls_cert_file"`
	// TLSKeyFile is its key, in PEM.
	TLSKeyFile string `yaml:"tls_key_file"`
	// TLSSkipVerify takes any certificate. For tests only: it protects against
	// nobody.
	TLSSkipVerify bool `yaml:"tls_skip_verify"`
	// OutbindEndpoint is where to listen for SMSCs that ask to be bound to
	// (outbind, §2.2.1); default nowhere. Example: tcp:2776.
	OutbindEndpoint string `yaml:"outbind_endpoint"`
	// OutbindSystemID is what an SMSC must name itself in outbind; default any.
	OutbindSystemID string `yaml:"outbind_system_id"`
	// OutbindPassword is the password it must give; default any.
	OutbindPassword options.Secret `yaml:"outbind_password"`
}

// Identity is who we are to the SMSC.
type Identity struct {
	// SystemID is our name at the SMSC, at most 15 characters (§5.2.1).
	SystemID string `yaml:"system_id"`
	// Password is at most 8 characters by the specification (§5.2.2).
	Password options.Secret `yaml:"password"`
	// SystemType is what some SMSCs want, at most 12 characters (§5.2.3).
	SystemType string `yaml:"system_type"`
	// InterfaceVersion is the version to speak: 33, 34 or 50. The SMSC's answer
	// may lower it. Default 3.4.
	InterfaceVersion version `yaml:"interface_version"`
	// AddressRange is which addresses' messages we want (§5.2.7).
	AddressRange string `yaml:"address_range"`
	// BindMode is transceiver (the default), transmitter+receiver (two
	// connections), transmitter or receiver.
	BindMode bindMode `yaml:"bind_mode"`
	// Binds is how many binds of this kind to keep. Default 1.
	Binds int `yaml:"binds"`
	// SplitBindPrefix is the name under which a transmitter and a receiver that
	// are two workers share what they know; default transport_name.
	SplitBindPrefix string `yaml:"split_bind_prefix"`
}

// Link says when a connection is given up and made anew.
type Link struct {
	// BindTimeout is how long connecting and binding may take. Default 30s.
	BindTimeout options.Duration `yaml:"smpp_bind_timeout"`
	// EnquireLinkInterval is how often the SMSC is asked whether it is there;
	// after twice as long without a word from it the link is dropped. Default
	// 55s. With 0 it is never asked.
	EnquireLinkInterval options.Duration `yaml:"smpp_enquire_link_interval"`
	// InitialReconnectDelay is the wait after a connection is lost or refused;
	// it doubles with each try. Default 1s.
	InitialReconnectDelay options.Duration `yaml:"initial_reconnect_delay"`
	// MaxReconnectDelay is the longest wait. Default 1m.
	MaxReconnectDelay options.Duration `yaml:"max_reconnect_delay"`
	// StableAfter is how long a bind must have lasted for the wait to begin
	// anew. Default 30s.
	StableAfter options.Duration `yaml:"stable_after"`
}

// Traffic bounds what is given to the SMSC.
type Traffic struct {
	// Window is how many submit_sm may be unanswered on each bind. Default 10.
	Window int `yaml:"window"`
	// MTTPS is how many segments each bind may submit in any one second; 0 is
	// no bound.
	MTTPS int `yaml:"mt_tps"`
	// ThrottleDelay is the pause after the SMSC said ESME_RTHROTTLED or
	// ESME_RMSGQFUL; the rate is lowered too. Default 100ms.
	ThrottleDelay options.Duration `yaml:"throttle_delay"`
	// SubmitTimeout is how long a submit_sm may go unanswered before what became
	// of it is unknown. Default 30s.
	SubmitTimeout options.Duration `yaml:"submit_timeout"`
	// UnknownPolicy is what follows: wait for a late answer or a receipt, and
	// fail when none comes within unknown_wait; resend at once, which may send
	// twice; or fail. Default wait.
	UnknownPolicy unknownPolicy `yaml:"unknown_policy"`
	// UnknownWait is how long wait waits. Default 10m.
	UnknownWait options.Duration `yaml:"unknown_wait"`
	// DeliverWindow is how many deliver_sm each bind takes before their
	// predecessors are done; the SMSC is asked to try later with those beyond.
	// Default 1000.
	DeliverWindow int `yaml:"deliver_window"`
}

func defaultOptions() Options {
	return Options{
		TransportType: "sms",
		Endpoint:      Endpoint{Port: 2775},
		Identity:      Identity{InterfaceVersion: 0x34, BindMode: modeTransceiver, Binds: 1},
		Link: Link{
			BindTimeout: seconds(30), EnquireLinkInterval: seconds(55), InitialReconnectDelay: seconds(1),
			MaxReconnectDelay: seconds(60), StableAfter: seconds(30),
		},
		Traffic: Traffic{
			Window: 10, ThrottleDelay: options.Duration(100 * time.Millisecond), SubmitTimeout: seconds(30),
			UnknownPolicy: unknownWait, UnknownWait: options.Duration(10 * time.Minute), DeliverWindow: 1000,
		},
		Outgoing: Outgoing{DestAddrNPI: 1, MultipartReferenceBits: 8, RegisteredDelivery: true, SubmitSMExpiry: seconds(86400), UserMessageReference: true},
		Incoming: Incoming{ReassemblyTTL: options.Duration(time.Hour), DeliverTimeout: options.Duration(10 * time.Second)},
		Reports: Reports{
			DeliveryReportUseESMClass: true, ThirdPartyIDExpiry: seconds(604800), FinalDRThirdPartyIDExpiry: seconds(3600),
			HeldReceiptExpiry: options.Duration(time.Hour), SubmitIDFormat: formatAuto, ReceiptIDFormat: formatAuto, QueryTPS: 10,
		},
	}
}

func seconds(n int) options.Duration { return options.Duration(time.Duration(n) * time.Second) }

// Validate checks the options, and puts those of Vumi's processors in their
// place.
func (t *Transport) Validate() error {
	t.apply(&t.Options)
	return errors.Join(t.validateEndpoint(), t.validateIdentity(), t.validateLink(), t.validateTraffic(),
		t.Outgoing.validate(t.InterfaceVersion), t.Incoming.validate(), t.Reports.validate())
}

func (o *Options) validateEndpoint() error {
	var errs []error
	if _, _, err := o.address(); err != nil {
		errs = append(errs, err)
	}
	if o.OutbindEndpoint != "" {
		if _, _, err := parseEndpoint(o.OutbindEndpoint); err != nil {
			errs = append(errs, options.Field(err, "outbind_endpoint"))
		}
	}
	if (o.TLSCertFile == "") != (o.TLSKeyFile == "") {
		errs = append(errs, options.Fieldf("tls_cert_file", "and tls_key_file are given together or not at all"))
	}
	return errors.Join(errs...)
}

func (o *Options) validateIdentity() error {
	var errs []error
	errs = append(errs,
		atMost("system_id", o.SystemID, 15), atMost("system_type", o.SystemType, 12), atMost("address_range", o.AddressRange, 40))
	if o.BindMode == modeTransceiver && o.InterfaceVersion < 0x34 {
		errs = append(errs, options.Fieldf("bind_mode", "SMPP 3.3 has no transceiver; write transmitter+receiver"))
	}
	if o.Binds < 1 || o.Binds > maxBinds {
		errs = append(errs, options.Fieldf("binds", "must be between 1 and %d", maxBinds))
	}
	return errors.Join(errs...)
}

const (
	maxBinds  = 100
	maxWindow = 10_000
	maxTPS    = 100_000
)

func atMost(key, text string, most int) error {
	if len(text) > most {
		return options.Fieldf(key, "has %d characters, more than the %d SMPP allows", len(text), most)
	}
	return nil
}

func (o *Options) validateLink() error {
	return errors.Join(
		positive("smpp_bind_timeout", o.BindTimeout), positive("initial_reconnect_delay", o.InitialReconnectDelay),
		notBelow("max_reconnect_delay", o.MaxReconnectDelay, o.InitialReconnectDelay),
		notBelow("smpp_enquire_link_interval", o.EnquireLinkInterval, 0), notBelow("stable_after", o.StableAfter, 0))
}

func (o *Options) validateTraffic() error {
	return errors.Join(
		between("window", o.Window, 1, maxWindow), between("mt_tps", o.MTTPS, 0, maxTPS),
		between("deliver_window", o.DeliverWindow, 1, maxWindow),
		notBelow("throttle_delay", o.ThrottleDelay, 0), positive("submit_timeout", o.SubmitTimeout),
		positive("unknown_wait", o.UnknownWait))
}

func between(key string, n, least, most int) error {
	if n < least || n > most {
		return options.Fieldf(key, "must be between %d and %d", least, most)
	}
	return nil
}

func positive(key string, d options.Duration) error {
	if d <= 0 {
		return options.Fieldf(key, "must be above 0")
	}
	return nil
}

func notBelow(key string, d, least options.Duration) error {
	if d < least {
		return options.Fieldf(key, "must not be below %s", least.Std())
	}
	return nil
}

// tlsConfig is nil where the connection is not wrapped.
func (o *Options) tlsConfig(host string, wrapped bool) (*tls.Config, error) {
	if !wrapped {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, InsecureSkipVerify: o.TLSSkipVerify}
	if o.TLSServerName != "" {
		c.ServerName = o.TLSServerName
	}
	if o.TLSCAFile != "" {
		pem, err := os.ReadFile(o.TLSCAFile)
		if err != nil {
			return nil, fmt.Errorf("reading tls_ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading tls_ca_file: %s has no certificate in PEM", o.TLSCAFile)
		}
	}
	if o.TLSCertFile != "" {
		pair, err := tls.LoadX509KeyPair(o.TLSCertFile, o.TLSKeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading tls_cert_file and tls_key_file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
