package binds

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"switchboard/internal/endpoint"
	"switchboard/internal/tlsfiles"
	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

// Options say which binds are kept, and how.
type Options struct {
	Endpoint `yaml:",inline"`
	Identity `yaml:",inline"`
	Link     `yaml:",inline"`
	Traffic  `yaml:",inline"`
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

// Identity says who we are to the SMSC.
type Identity struct {
	// SystemID is our name at the SMSC, at most 15 characters (§5.2.1).
	SystemID string `yaml:"system_id"`
	// Password is at most 8 characters by the specification (§5.2.2).
	Password options.Secret `yaml:"password"`
	// SystemType is what some SMSCs want, at most 12 characters (§5.2.3).
	SystemType string `yaml:"system_type"`
	// InterfaceVersion is the version to speak: 33, 34 or 50. The SMSC's answer
	// may lower it. Default 3.4.
	InterfaceVersion Version `yaml:"interface_version"`
	// AddressRange is which addresses' messages we want (§5.2.7).
	AddressRange string `yaml:"address_range"`
	// BindMode is transceiver (the default), transmitter+receiver (two
	// connections), transmitter or receiver.
	BindMode Mode `yaml:"bind_mode"`
	// Binds is how many binds of this kind to keep. Default 1.
	Binds int `yaml:"binds"`
	// SplitBindPrefix is the name under which a transmitter and a receiver that
	// are two workers share what they know; default transport_name.
	SplitBindPrefix string `yaml:"split_bind_prefix"`
}

// Link says when a connection is given up and made again.
type Link struct {
	// BindTimeout is how long connecting and binding may take. Default 30s.
	BindTimeout options.Duration `yaml:"smpp_bind_timeout"`
	// EnquireLinkInterval is after how long a silence the SMSC is asked whether it
	// is there; after as long again without a word the link is dropped. Default
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
	// MTTPS is how many segments each bind may send in any one second of our
	// clock; 0 is no limit.
	MTTPS int `yaml:"mt_tps"`
	// ThrottleDelay is the pause after the SMSC said ESME_RTHROTTLED or
	// ESME_RMSGQFUL; the rate is lowered too. Default 100ms.
	ThrottleDelay options.Duration `yaml:"throttle_delay"`
	// SubmitTimeout is how long a submit_sm may go unanswered before what became
	// of it is unknown. Default 30s.
	SubmitTimeout options.Duration `yaml:"submit_timeout"`
	// DeliverWindow is how many deliver_sm each bind takes before their
	// predecessors are done; the SMSC is asked to try later with those beyond.
	// Default 1000.
	DeliverWindow int `yaml:"deliver_window"`
}

// MaxTPS is how many requests a second an option may ask for at most.
const MaxTPS = 100_000

const (
	maxBinds  = 100
	maxWindow = 10_000
)

// Validate checks the options.
func (o *Options) Validate() error {
	_, _, err := o.Address()
	if o.OutbindEndpoint != "" {
		_, outbind := ParseEndpoint(o.OutbindEndpoint)
		err = errors.Join(err, options.Under(outbind, "outbind_endpoint"))
	}
	return errors.Join(err,
		options.If((o.TLSCertFile == "") != (o.TLSKeyFile == ""), "tls_cert_file", "and tls_key_file are given together or not at all"),
		AtMost("system_id", o.SystemID, 15), AtMost("system_type", o.SystemType, 12), AtMost("address_range", o.AddressRange, 40),
		options.If(o.BindMode == ModeTransceiver && o.InterfaceVersion < 0x34, "bind_mode", "SMPP 3.3 has no transceiver; write transmitter+receiver"),
		options.Between("binds", o.Binds, 1, maxBinds), options.Between("window", o.Window, 1, maxWindow), options.Between("mt_tps", o.MTTPS, 0, MaxTPS),
		options.Between("deliver_window", o.DeliverWindow, 1, maxWindow), options.Positive("smpp_bind_timeout", o.BindTimeout),
		options.Positive("initial_reconnect_delay", o.InitialReconnectDelay),
		options.If(o.MaxReconnectDelay < o.InitialReconnectDelay, "max_reconnect_delay", "must not be below %s", o.InitialReconnectDelay.Std()),
		options.NotNegative("smpp_enquire_link_interval", o.EnquireLinkInterval), options.NotNegative("stable_after", o.StableAfter),
		options.NotNegative("throttle_delay", o.ThrottleDelay), options.Positive("submit_timeout", o.SubmitTimeout))
}

// AtMost is an error about a text that SMPP has no room for.
func AtMost(key, text string, most int) error {
	return options.If(len(text) > most, key, "has %d characters, more than the %d SMPP allows", len(text), most)
}

// Version is an interface_version (§5.2.4): 0x34 for 3.4.
type Version uint8

// UnmarshalText reads 34, "34" and "3.4".
func (v *Version) UnmarshalText(text []byte) error {
	switch strings.ReplaceAll(strings.TrimPrefix(string(text), "0x"), ".", "") {
	case "33":
		*v = Version(pdu.Version33)
	case "34":
		*v = Version(pdu.Version34)
	case "50", "5":
		*v = Version(pdu.Version50)
	default:
		return fmt.Errorf("%q is no version; write 33, 34 or 50", text)
	}
	return nil
}

// String is "3.4".
func (v Version) String() string { return fmt.Sprintf("%d.%d", v>>4, v&0xF) }

// Mode says which binds are made.
type Mode string

// The modes.
const (
	ModeTransceiver Mode = "transceiver"
	ModeSplit       Mode = "transmitter+receiver"
	ModeTransmitter Mode = "transmitter"
	ModeReceiver    Mode = "receiver"
)

// UnmarshalText reads one of the modes.
func (m *Mode) UnmarshalText(text []byte) error {
	return options.OneOf(text, m, ModeTransceiver, ModeSplit, ModeTransmitter, ModeReceiver)
}

// Sends reports whether messages can be submitted.
func (m Mode) Sends() bool { return m != ModeReceiver }

// kinds are the binds that make up the mode.
func (m Mode) kinds() []pdu.CommandID {
	switch m {
	case ModeSplit:
		return []pdu.CommandID{pdu.CmdBindTransmitter, pdu.CmdBindReceiver}
	case ModeTransmitter:
		return []pdu.CommandID{pdu.CmdBindTransmitter}
	case ModeReceiver:
		return []pdu.CommandID{pdu.CmdBindReceiver}
	}
	return []pdu.CommandID{pdu.CmdBindTransceiver}
}

// Address is host:port of the SMSC, and whether TLS is spoken there.
func (o *Options) Address() (hostPort string, tls bool, err error) {
	switch {
	case o.TwistedEndpoint != "" && o.Host != "":
		return "", false, options.Fieldf("host", "either host or twisted_endpoint is given, not both")
	case o.TwistedEndpoint != "":
		e, err := ParseEndpoint(o.TwistedEndpoint)
		if err == nil && strings.HasPrefix(e.Address, ":") {
			err = fmt.Errorf("is %q; write tcp:host=HOST:port=PORT", o.TwistedEndpoint)
		}
		return e.Address, e.TLS || o.TLS, options.Under(err, "twisted_endpoint")
	case o.Host == "":
		return "", false, options.Fieldf("host", "is missing: host and port, or twisted_endpoint, say where the SMSC is")
	}
	return net.JoinHostPort(o.Host, strconv.Itoa(o.Port)), o.TLS, options.Between("port", o.Port, 1, endpoint.MaxPort)
}

// ParseEndpoint reads an endpoint as Vumi's files have it.
func ParseEndpoint(text string) (endpoint.Endpoint, error) {
	return endpoint.Parse(text, "tcp", "tcp6", "ssl", "tls")
}

// tlsConfig is nil where the connection is not wrapped.
func (o *Options) tlsConfig(address string, wrapped bool) (*tls.Config, error) {
	if !wrapped {
		return nil, nil
	}
	host, _, _ := net.SplitHostPort(address)
	c, err := tlsfiles.Files{CA: o.TLSCAFile, Cert: o.TLSCertFile, Key: o.TLSKeyFile}.Client(cmp.Or(o.TLSServerName, host))
	if err != nil {
		return nil, err
	}
	c.InsecureSkipVerify = o.TLSSkipVerify
	return c, nil
}

func (o *Options) session() session.Settings {
	s := session.Settings{
		BindTimeout: o.BindTimeout.Std(), ResponseTimeout: o.SubmitTimeout.Std(), LateAnswers: true,
		EnquireInterval: o.EnquireLinkInterval.Std(), EnquireTimeout: o.EnquireLinkInterval.Std(),
	}
	if o.EnquireLinkInterval == 0 {
		s.EnquireInterval = -1
	}
	return s
}
