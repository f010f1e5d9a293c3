package smppserver

import "switchboard/options"

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
