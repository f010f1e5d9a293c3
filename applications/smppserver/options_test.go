package smppserver

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"switchboard/options"
	"switchboard/smpp"
	"switchboard/smpp/pdu"
)

const fine = "smpp_port: 2775\ncustomers:\n  acme:\n    password: ${ACME}\n"

func TestOptions(t *testing.T) {
	for text, want := range map[string]string{
		fine: "",
		fine + "    tps: 50\n    window: 20\n    max_binds: 2\n    allowed_ips: 10.0.0.0/8\n    addresses: ['27*', '/9[0-9]{3}/']\n": "",
		"tls_port: 3550\ntls_cert_file: c.pem\ntls_key_file: k.pem\ncustomers: {a: {password: b}}":                                   "",
		"customers: {a: {password: b}}":                              "smpp_port: either smpp_port or tls_port",
		"tls_port: 3550\ncustomers: {a: {password: b}}":              "needs tls_cert_file and tls_key_file",
		"smpp_port: 70000\ncustomers: {a: {password: b}}":            "smpp_port: must be between",
		"smpp_port: 2775":                                            "nobody may bind",
		"smpp_port: 2775\ncustomers: {a: {}}":                        "customers.a.password: is missing",
		"smpp_port: 1\ncustomers: {sixteen_letters_: {password: b}}": "must have 1 to 15 characters",
		fine + "    allowed_ips: [localhost]":                        `customers.acme.allowed_ips: "localhost" is no IP address`,
		fine + "    allowed_sources: ['/[/']":                        "customers.acme.allowed_sources",
		fine + "    addresses: ['']":                                 "is no address",
		fine + "    default_alphabet: klingon":                       "customers.acme.default_alphabet",
		fine + "    data_coding_overrides: {1: klingon}":             "customers.acme.data_coding_overrides",
		fine + "    data_coding_overrides: {x: ascii}":               `"x" is no data_coding`,
		fine + "    long_messages: smoke":                            "write udh, sar or payload",
		fine + "    window: -1":                                      "customers.acme.window: must be between",
		fine + "    widnow: 5":                                       `did you mean "window"?`,
		fine + "keep_max: 0":                                         "keep_max: must be between",
		fine + "keep_for: 0":                                         "keep_for: must be above 0",
		fine + "idle_timeout: -1s":                                   "must not be negative",
	} {
		t.Run(text, func(t *testing.T) {
			a := New()
			env := func(string) (string, bool) { return password, true }
			doc, err := options.Parse("server.yaml", []byte(text), env)
			if err == nil {
				err = errors.Join(doc.Into(a), doc.Rest())
			}
			if err == nil {
				err = doc.Locate(a.Validate())
			}
			if got := fmt.Sprint(err); (err == nil) != (want == "") || !strings.Contains(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
			if err != nil && strings.Contains(err.Error(), password) {
				t.Error("the error tells a password")
			}
			if strings.Contains(fmt.Sprintf("%+v %#v", a.Options, a.Options), password) {
				t.Error("printing the options tells a password")
			}
		})
	}
}

func TestListens(t *testing.T) {
	a, port, other := New(), 2775, 3550
	a.SMPPPort, a.TLSPort, a.Interface = &port, &other, "::1"
	if got := fmt.Sprint(a.Listens()); got != "[[::1]:2775 [::1]:3550]" {
		t.Errorf("got %s", got)
	}
}

// Whatever is submitted becomes a message or a refusal.
func FuzzContent(f *testing.F) {
	c, err := newCustomer("acme", acme())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("hello"), uint8(0), uint8(0))
	f.Add([]byte{5, 0, 3, 1, 2, 1, 'x'}, uint8(0x40), uint8(8))
	f.Add([]byte{6, 5, 4, 0x15, 0x81, 0, 0, 'x'}, uint8(0x40), uint8(4))
	f.Fuzz(func(t *testing.T, octets []byte, class, coding uint8) {
		in := &submission{Message: &simple("").Message, dests: []pdu.Address{{Addr: "1"}}}
		in.ShortMessage, in.ESMClass, in.DataCoding = octets, pdu.ESMClass(class), pdu.DataCoding(coding)
		part := smpp.PartOf(in.Message)
		w := outbound{submission: in, parts: []smpp.Part{part}}
		m, _ := c.outgoing(&w, in.dests[0])
		if m.Content == "" && m.TransportMetadata.Raw("payload") == "" && len(part.Payload) > 0 {
			t.Errorf("%x came to nothing", octets)
		}
	})
}
