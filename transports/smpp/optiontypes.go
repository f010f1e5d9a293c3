package smpp

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"switchboard/internal/endpoint"
	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
)

// version is an interface_version (§5.2.4): 0x34 for 3.4.
type version uint8

// UnmarshalText reads 34, "34" and "3.4".
func (v *version) UnmarshalText(text []byte) error {
	switch strings.ReplaceAll(strings.TrimPrefix(string(text), "0x"), ".", "") {
	case "33":
		*v = version(pdu.Version33)
	case "34":
		*v = version(pdu.Version34)
	case "50", "5":
		*v = version(pdu.Version50)
	default:
		return fmt.Errorf("%q is no version; write 33, 34 or 50", text)
	}
	return nil
}

// String is "3.4".
func (v version) String() string { return fmt.Sprintf("%d.%d", v>>4, v&0xF) }

// bindMode says which binds are made.
type bindMode string

const (
	modeTransceiver bindMode = "transceiver"
	modeSplit       bindMode = "transmitter+receiver"
	modeTransmitter bindMode = "transmitter"
	modeReceiver    bindMode = "receiver"
)

// UnmarshalText reads one of the modes.
func (m *bindMode) UnmarshalText(text []byte) error {
	return options.OneOf(text, m, modeTransceiver, modeSplit, modeTransmitter, modeReceiver)
}

func (m bindMode) sends() bool { return m != modeReceiver }

// commands are the binds that make up the mode.
func (m bindMode) commands() []pdu.CommandID {
	switch m {
	case modeSplit:
		return []pdu.CommandID{pdu.CmdBindTransmitter, pdu.CmdBindReceiver}
	case modeTransmitter:
		return []pdu.CommandID{pdu.CmdBindTransmitter}
	case modeReceiver:
		return []pdu.CommandID{pdu.CmdBindReceiver}
	}
	return []pdu.CommandID{pdu.CmdBindTransceiver}
}

// unknownPolicy says what becomes of a submit that was not answered.
type unknownPolicy string

const (
	unknownWait   unknownPolicy = "wait"
	unknownResend unknownPolicy = "resend"
	unknownFail   unknownPolicy = "fail"
)

// UnmarshalText reads one of the policies.
func (p *unknownPolicy) UnmarshalText(text []byte) error {
	return options.OneOf(text, p, unknownWait, unknownResend, unknownFail)
}

// idFormat says how ids are spelt in one place; "auto" finds out.
type idFormat string

const (
	formatAuto  idFormat = "auto"
	formatExact idFormat = "exact"
)

// UnmarshalText reads a format.
func (f *idFormat) UnmarshalText(text []byte) error {
	if string(text) != string(formatAuto) {
		if _, err := receipt.ParseIDFormat(string(text)); err != nil {
			return fmt.Errorf("%w, and auto", err)
		}
	}
	*f = idFormat(text)
	return nil
}

func (f idFormat) auto() bool { return f == formatAuto }

// format is Verbatim for auto.
func (f idFormat) format() receipt.IDFormat {
	format, _ := receipt.ParseIDFormat(string(f)) // checked
	return format
}

// address is host:port of the SMSC, and whether TLS is spoken there.
func (o *Options) address() (hostPort string, tls bool, err error) {
	switch {
	case o.TwistedEndpoint != "" && o.Host != "":
		return "", false, options.Fieldf("host", "either host or twisted_endpoint is given, not both")
	case o.TwistedEndpoint != "":
		e, err := parseEndpoint(o.TwistedEndpoint)
		if err == nil && strings.HasPrefix(e.Address, ":") {
			err = fmt.Errorf("is %q; write tcp:host=HOST:port=PORT", o.TwistedEndpoint)
		}
		return e.Address, e.TLS || o.TLS, options.Under(err, "twisted_endpoint")
	case o.Host == "":
		return "", false, options.Fieldf("host", "is missing: host and port, or twisted_endpoint, say where the SMSC is")
	}
	return net.JoinHostPort(o.Host, strconv.Itoa(o.Port)), o.TLS, options.Between("port", o.Port, 1, endpoint.MaxPort)
}

func parseEndpoint(text string) (endpoint.Endpoint, error) {
	return endpoint.Parse(text, "tcp", "tcp6", "ssl", "tls")
}
