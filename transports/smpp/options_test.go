package smpp

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"switchboard/options"
	"switchboard/smpp/gsm"
	"switchboard/transports/smpp/binds"
)

// load decodes YAML over a transport's defaults, as the fleet does.
func load(t *testing.T, text string) (*Transport, []string, error) {
	t.Helper()
	doc, err := options.Parse("smpp.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	tr := New()
	if err := doc.Into(tr); err != nil {
		return nil, nil, err
	}
	if err := doc.Rest(); err != nil {
		return nil, nil, err
	}
	return tr, doc.Warnings(), doc.Locate(tr.Validate())
}

const vumiFile = `
transport_name: smpp_transport
twisted_endpoint: tcp:host=smsc.example.com:port=2776
system_id: esme
password: secret
system_type: VMA
interface_version: '34'
service_type: CMT
address_range: ^27
dest_addr_ton: 1
dest_addr_npi: 1
source_addr_ton: 3
source_addr_npi: 4
registered_delivery: false
smpp_bind_timeout: 33
smpp_enquire_link_interval: 44
initial_reconnect_delay: 5
mt_tps: 10
throttle_delay: 0.2
submit_sm_expiry: 100
third_party_id_expiry: 200
final_dr_third_party_id_expiry: 300
disable_ack: true
disable_delivery_report: true
transport_type: ussd
split_bind_prefix: both
`

func TestVumiOptions(t *testing.T) {
	tr, _, err := load(t, vumiFile)
	if err != nil {
		t.Fatal(err)
	}
	address, tls, err := tr.Address()
	for name, c := range map[string]struct{ got, want any }{
		"twisted_endpoint":               {address, "smsc.example.com:2776"},
		"tls":                            {tls || err != nil, false},
		"password":                       {tr.Password.Reveal(), "secret"},
		"interface_version":              {tr.InterfaceVersion, binds.Version(0x34)},
		"identity":                       {tr.SystemID + tr.SystemType + tr.AddressRange + tr.ServiceType, "esmeVMA^27CMT"},
		"addresses":                      {[]uint8{tr.DestAddrTON, tr.DestAddrNPI, tr.SourceAddrTON, tr.SourceAddrNPI}, []uint8{1, 1, 3, 4}},
		"registered_delivery":            {tr.RegisteredDelivery, false},
		"smpp_bind_timeout":              {tr.BindTimeout.Std(), 33 * time.Second},
		"smpp_enquire_link_interval":     {tr.EnquireLinkInterval.Std(), 44 * time.Second},
		"initial_reconnect_delay":        {tr.InitialReconnectDelay.Std(), 5 * time.Second},
		"mt_tps":                         {tr.MTTPS, 10},
		"throttle_delay":                 {tr.ThrottleDelay.Std(), 200 * time.Millisecond},
		"submit_sm_expiry":               {tr.SubmitSMExpiry.Std(), 100 * time.Second},
		"third_party_id_expiry":          {tr.ThirdPartyIDExpiry.Std(), 200 * time.Second},
		"final_dr_third_party_id_expiry": {tr.FinalDRThirdPartyIDExpiry.Std(), 300 * time.Second},
		"disable_ack":                    {tr.AcksItself(), true},
		"disable_delivery_report":        {tr.DisableDeliveryReport, true},
		"transport_type":                 {tr.TransportType, "ussd"},
		"split_bind_prefix":              {tr.statePrefix(), "smpp/both/"},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s = %v, want %v", name, c.got, c.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	tr, _, err := load(t, "host: localhost")
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(tr.Port, tr.BindTimeout.Std(), tr.EnquireLinkInterval.Std(), tr.MTTPS, tr.ThrottleDelay.Std(), tr.SubmitSMExpiry.Std(),
		tr.ThirdPartyIDExpiry.Std(), tr.FinalDRThirdPartyIDExpiry.Std(), tr.DestAddrTON, tr.DestAddrNPI, tr.SourceAddrTON, tr.SourceAddrNPI,
		tr.RegisteredDelivery, tr.DeliveryReportUseESMClass, tr.BindMode, tr.InterfaceVersion, tr.UnknownPolicy)
	if want := "2775 30s 55s 0 100ms 24h0m0s 168h0m0s 1h0m0s 0 1 0 0 true true transceiver 3.4 wait\n"; got != want {
		t.Errorf("defaults are %s\nwant %s", got, want)
	}
}

// The processors' options mean the same in their sections as at the top level.
func TestProcessorSections(t *testing.T) {
	flat := `
data_coding_overrides: {0: latin1, '1': utf-8}
allow_empty_messages: true
submit_sm_encoding: utf-16be
submit_sm_data_coding: 8
send_multipart_udh: true
delivery_report_regex: 'id:(?P<id>\S{,65}) +.* +stat:(?P<stat>\S{,7}) .*'
delivery_report_status_mapping: {ACCEPTD: delivered}
delivery_report_use_esm_class: false
`
	nested := `
deliver_short_message_processor: vumi.transports.smpp.processors.DeliverShortMessageProcessor
deliver_short_message_processor_config:
  data_coding_overrides: {0: latin1, '1': utf-8}
  allow_empty_messages: true
submit_short_message_processor: vumi.transports.smpp.processors.SubmitShortMessageProcessor
submit_short_message_processor_config:
  submit_sm_encoding: utf-16be
  submit_sm_data_coding: 8
  send_multipart_udh: true
delivery_report_processor: vumi.transports.smpp.processors.DeliveryReportProcessor
delivery_report_processor_config:
  delivery_report_regex: 'id:(?P<id>\S{,65}) +.* +stat:(?P<stat>\S{,7}) .*'
  delivery_report_status_mapping: {ACCEPTD: delivered}
  delivery_report_use_esm_class: false
`
	var both []Options
	for _, text := range []string{flat, nested} {
		tr, _, err := load(t, "host: localhost\n"+text)
		if err != nil {
			t.Fatal(err)
		}
		tr.Processors = Processors{}
		both = append(both, tr.Options)
	}
	if !reflect.DeepEqual(both[0], both[1]) {
		t.Errorf("at the top level: %+v\nin sections:      %+v", both[0], both[1])
	}
	o := both[0]
	p, err := o.parse()
	if err != nil || o.DeliveryReportUseESMClass || !o.SendMultipartUDH || p.splitter.Codings[0] != gsm.UCS2 || *o.SubmitSMDataCoding != 8 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "host: is missing",
		"host: x\ntwisted_endpoint: tcp:y:1":   "not both",
		"twisted_endpoint: unix:/tmp/x":        "smpp.yaml:1: twisted_endpoint",
		"twisted_endpoint: tcp:2775":           "tcp:host=HOST:port=PORT",
		"host: x\nport: 70000":                 "smpp.yaml:2: port",
		"host: x\nsystem_id: 0123456789abcdef": "more than the 15",
		"host: x\ninterface_version: 35":       "write 33, 34 or 50",
		"host: x\ninterface_version: 33":       "SMPP 3.3 has no transceiver",
		"host: x\nbind_mode: both":             "transmitter+receiver",
		"host: x\nwindow: 0":                   "smpp.yaml:2: window",
		"host: x\nunknown_policy: pray":        "wait, resend, fail",
		"host: x\nsend_long_messages: true\nsend_multipart_sar: true": "choose one",
		"host: x\nsubmit_sm_encoding: klingon":                        "submit_sm_encoding: no coding",
		"host: x\ndata_coding_overrides: {0: klingon}":                "data_coding_overrides.0",
		"host: x\ndata_coding_overrides: {256: utf-8}":                "0 to 255",
		"host: x\ndelivery_report_regex: '(?P<id>x)'":                 "no group",
		"host: x\ndelivery_report_status_mapping: {X: maybe}":         "maybe",
		"host: x\nsubmit_id_format: hex":                              "both",
		"host: x\nreceipt_id_format: octal":                           "verbatim, exact, hex, decimal and auto",
		"host: x\nsubmit_id_format: exact\nreceipt_id_format: hex":    "both exact",
		"host: x\nquery_after: 192h":                                  "below third_party_id_expiry",
		"host: x\nquery_tps: 0":                                       "query_tps",
		"host: x\nmt_tsp: 10":                                         `did you mean "mt_tps"`,
		"host: x\nnational_languages: [klingon]":                      "klingon",
		"host: x\nrefused_tlvs: [shoe_size]":                          "shoe_size",
		"host: x\nreceipt_timezone: Mars/Phobos":                      "receipt_timezone",
		"host: x\nmax_reconnect_delay: 0.1":                           "max_reconnect_delay",
		"host: x\ntls_cert_file: a.pem":                               "tls_key_file",
		"host: x\noutbind_endpoint: nowhere":                          "outbind_endpoint",
	} {
		_, _, err := load(t, text)
		for part := range strings.SplitSeq(want, "\n") {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %v\nwant it to say %q", text, err, part)
			}
		}
	}
}

func TestEndpoints(t *testing.T) {
	for text, want := range map[string]string{
		"tcp:host=localhost:port=2775":            "localhost:2775 false",
		"tcp:localhost:2775":                      "localhost:2775 false",
		"ssl:host=smsc.example.com:port=3550":     "smsc.example.com:3550 true",
		"tls:smsc.example.com:3550:timeout=5":     "smsc.example.com:3550 true",
		`tcp:host=\:\:1:port=2775`:                "[::1]:2775 false",
		"tcp:2776:interface=127.0.0.1":            "127.0.0.1:2776 false",
		"tcp:host=localhost:port=2775:timeout=10": "localhost:2775 false",
	} {
		e, err := binds.ParseEndpoint(text)
		if got := fmt.Sprint(e.Address, " ", e.TLS); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
}
