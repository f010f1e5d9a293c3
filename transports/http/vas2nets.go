package http

import (
	"cmp"

	"switchboard/options"
)

// Vas2Nets is the preset vas2nets with the options of Vumi's transport of that
// name.
type Vas2Nets struct {
	Transport `yaml:",inline"`
	// URL is where messages are posted to.
	URL string `yaml:"url"`
	// Username is the account's name.
	Username string `yaml:"username"`
	// Password is the account's password.
	Password options.Secret `yaml:"password"`
	// Owner is the account's owner.
	Owner string `yaml:"owner"`
	// Service is the service.
	Service string `yaml:"service"`
	// Subservice is the subservice; default the keyword of the message that is
	// answered.
	Subservice string `yaml:"subservice"`
	// Header is the answer's header with the message's id. Default X-Nth-Smsid.
	Header string `yaml:"header"`
	// DefaultProvider is the network to send through where the message answers none.
	DefaultProvider string `yaml:"default_provider"`
	// WebReceivePath is where people's messages come. Example: /api/v1/sms/vas2nets/receive/.
	WebReceivePath string `yaml:"web_receive_path"`
	// WebReceiptPath is where receipts come.
	WebReceiptPath string `yaml:"web_receipt_path"`
	// WebHealthPath is answered with OK. Default /health.
	WebHealthPath string `yaml:"web_health_path"`
}

// NewVas2Nets makes one with its defaults.
func NewVas2Nets() *Vas2Nets {
	v := &Vas2Nets{Header: "X-Nth-Smsid", WebHealthPath: "/health"}
	v.init()
	v.Provider = "vas2nets"
	return v
}

// Validate gives the options to the description, and checks them.
func (v *Vas2Nets) Validate() error {
	v.Options = map[string]string{
		"send_url": v.URL, "username": v.Username, "owner": v.Owner, "service": v.Service, "subservice": v.Subservice,
		"id_header": v.Header, "default_provider": v.DefaultProvider, "receive_path": cmp.Or(v.WebReceivePath, "/"),
		"receipt_path": cmp.Or(v.WebReceiptPath, "/receipts"), "health_path": v.WebHealthPath,
	}
	v.Secrets = map[string]options.Secret{"password": v.Password}
	return v.Transport.Validate()
}
