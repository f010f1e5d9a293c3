package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchboard/options"
)

// Options of Vumi's classes, from its releases 0.3 to 0.6.19, by what they are
// written beside. Each is honoured, or ignored with a warning that names it.
const (
	vumiWorker = `
amqp_prefetch_count: 20
worker_name: one
redis_manager: {key_prefix: vumi, db: 5}
riak_manager: {bucket_prefix: vumi.}
vhost: /develop
sentry_dsn: http://sentry.example.com/1
metrics_prefix: vumi.metrics
`
	vumiDispatcher = vumiWorker + `
dispatcher_name: join
transport_names: [sms]
exposed_names: [app]
`
	vumiTransport = vumiWorker + `
transport_name: sms
publish_status: true
concurrent_sends: 10
`
	vumiSMPPIdentity = `
system_id: client
password: secret
system_type: VMA
interface_version: "34"
service_type: CMT
dest_addr_ton: 1
dest_addr_npi: 1
source_addr_ton: 5
source_addr_npi: 0
registered_delivery: 1
smpp_bind_timeout: 30
smpp_enquire_link_interval: 55
initial_reconnect_delay: 5
throttle_delay: 0.1
submit_sm_expiry: 86400
third_party_id_expiry: 604800
split_bind_prefix: client@sms
`
	vumiSMPP = vumiTransport + vumiSMPPIdentity + `
twisted_endpoint: tcp:host=smsc.example.com:port=2775
address_range: "^27"
mt_tps: '10'
deliver_sm_decoding_error: ESME_RDELIVERYFAILURE
disable_ack: false
disable_delivery_report: false
final_dr_third_party_id_expiry: 3600
completed_multipart_info_expiry: 3600
codec_class: vumi.codecs.VumiCodec
delivery_report_processor: vumi.transports.smpp.processors.DeliveryReportProcessor
delivery_report_processor_config:
  delivery_report_regex: 'id:(?P<id>\S+) .*stat:(?P<stat>\S+).*'
  delivery_report_status_mapping: {DELIVRD: delivered}
  delivery_report_use_esm_class: true
deliver_short_message_processor: vumi.transports.smpp.processors.DeliverShortMessageProcessor
deliver_short_message_processor_config:
  data_coding_overrides: {0: utf-8}
  allow_empty_messages: true
  max_session_length: 180
  ussd_code_pdu_field: its_info
  redis_manager: {}
submit_short_message_processor: vumi.transports.smpp.processors.SubmitShortMessageProcessor
submit_short_message_processor_config:
  submit_sm_encoding: utf-8
  submit_sm_data_coding: 0
  send_long_messages: false
  send_multipart_sar: false
  send_multipart_udh: true
  multipart_sar_reference_rollover: 65536
  max_session_length: 180
  redis_manager: {}
`
	vumiOldSMPP = vumiTransport + vumiSMPPIdentity + `
host: smsc.example.com
port: 2775
delivery_report_regex: 'id:(?P<id>\S+) .*stat:(?P<stat>\S+).*'
delivery_report_status_mapping: {DELIVRD: delivered}
submit_sm_encoding: utf-8
submit_sm_data_coding: 0
data_coding_overrides: {0: utf-8}
send_long_messages: false
send_multipart_sar: false
send_multipart_udh: false
COUNTRY_CODE: "27"
OPERATOR_PREFIX: {27: {27761: NETWORK1, 27762: NETWORK2}}
OPERATOR_NUMBER: {NETWORK1: "27761234567"}
smpp_offset: 1
smpp_increment: 3
`
	vumiRPC = vumiTransport + `
web_path: /api/ussd
web_port: 8123
web_username: user
web_password: secret
web_auth_domain: Vumi
health_path: /health/
request_cleanup_interval: 5
request_timeout: 240
request_timeout_status_code: 504
request_timeout_body: ''
validation_mode: permissive
response_time_down: 10.0
response_time_degraded: 1.0
`
	vumiApplication = vumiWorker + `
transport_name: app
send_to: {default: {transport_name: sms}}
`
)

// middlewareOf is a transport with one middleware of Vumi's.
func middlewareOf(class, section string) string {
	return vumiTransport + "telnet_port: 9010\nmiddleware:\n  - mw: {class: " + class + ", consume_priority: 1, publish_priority: 2}\nmw:\n  " +
		strings.ReplaceAll(strings.TrimSpace(section), "\n", "\n  ") + "\n"
}

var vumiOptions = []struct{ kind, class, text string }{
	{"router_class", "vumi.dispatchers.SimpleDispatchRouter", vumiDispatcher + "route_mappings: {sms: app}\ntransport_mappings: {old: sms}\n"},
	{"router_class", "vumi.dispatchers.TransportToTransportRouter", vumiDispatcher + "route_mappings: {sms: sms}\n"},
	{"router_class", "vumi.dispatchers.ToAddrRouter", vumiDispatcher + "toaddr_mappings: {app: '123'}\ntransport_mappings: {old: sms}\n"},
	{"router_class", "vumi.dispatchers.FromAddrMultiplexRouter", vumiDispatcher + "fromaddr_mappings: {'123': sms}\n"},
	{"router_class", "vumi.dispatchers.UserGroupingRouter", vumiDispatcher + "group_mappings: {one: app}\ntransport_mappings: {old: sms}\n"},
	{"router_class", "vumi.dispatchers.ContentKeywordRouter", vumiDispatcher + "keyword_mappings: {app: hello}\n" +
		"rules: [{app: app, keyword: hi, to_addr: '123', prefix: '27'}]\nfallback_application: app\ntransport_mappings: {'123': sms}\nexpire_routing_memory: 604800\n"},
	{"router_class", "vumi.dispatchers.RedirectRouter", vumiDispatcher + "redirect_inbound: {sms: app}\nredirect_outbound: {app: sms}\n"},
	{"router_class", "vumi.dispatchers.RedirectOutboundRouter", vumiDispatcher + "redirect_outbound: {app: sms}\n"},
	{"router_class", "vumi.dispatchers.LoadBalancingRouter", vumiDispatcher + "reply_affinity: true\nrewrite_transport_names: true\n"},
	{
		"router_class", "vumi.dispatchers.RoutingTableDispatcher",
		vumiWorker + "receive_inbound_connectors: [sms]\nreceive_outbound_connectors: [app]\n" +
			"routing_table: {sms: {default: [app, default]}, app: {default: [sms, default]}}\n",
	},
	{"transport_class", "vumi.transports.smpp.SmppTransceiverTransport", vumiSMPP},
	{"transport_class", "vumi.transports.smpp.SmppTransmitterTransport", vumiSMPP},
	{"transport_class", "vumi.transports.smpp.SmppReceiverTransport", vumiSMPP},
	{"transport_class", "vumi.transports.smpp.SmppTransceiverTransportWithOldConfig", vumiOldSMPP},
	{"transport_class", "vumi.transports.smpp.SmppTransport", strings.Replace(vumiOldSMPP, "transport_name", "TRANSPORT_NAME", 1)},
	{
		"transport_class", "vumi.transports.telnet.TelnetServerTransport",
		vumiTransport + "telnet_host: localhost\ntelnet_port: 9010\nto_addr: '123'\ntransport_type: telnet\n",
	},
	{"transport_class", "vumi.transports.telnet.TelnetServerTransport", vumiTransport + "twisted_endpoint: tcp:9010\n"},
	{
		"transport_class", "vumi.transports.xmpp.XMPPTransport",
		vumiTransport + "host: chat.example.org\nport: 5222\ndebug: true\nusername: bot@example.org\npassword: secret\nstatus: chat\nstatus_message: hello\npresence_interval: 60\nping_interval: 60\n",
	},
	{
		"transport_class", "vumi.transports.devnull.DevNullTransport",
		vumiTransport + "transport_type: sms\nack_rate: 0.8\nfailure_rate: '0.2'\nreply_rate: 1\nreply_copy: thanks\n",
	},
	{"transport_class", "vumi.transports.httprpc.HttpRpcTransport", vumiRPC + "noisy: true\n"},
	{"transport_class", "vumi.transports.api.HttpApiTransport", vumiRPC + "reply_expected: true\nallowed_fields: [content, to_addr, from_addr]\nfield_defaults: {group: g}\n"},
	{
		"transport_class", "vumi.transports.airtel.AirtelUSSDTransport",
		vumiRPC + "airtel_username: user\nairtel_password: secret\nairtel_charge: true\nairtel_charge_amount: 5\nsession_key_prefix: x\n" +
			"ussd_session_timeout: 600\nto_addr_pattern: '\\*121#$'\n",
	},
	{"transport_class", "vumi.transports.cellulant.CellulantTransport", vumiRPC + "ussd_session_timeout: 600\ntransport_type: ussd\n"},
	{"transport_class", "vumi.transports.dmark.DmarkUssdTransport", vumiRPC + "ussd_session_timeout: 600\nfix_to_addr: true\n"},
	{
		"transport_class", "vumi.transports.imimobile.ImiMobileUssdTransport",
		vumiRPC + "suffix_to_addrs: {some-suffix: '56263'}\nuser_terminated_session_message: '^Map'\nuser_terminated_session_response: Bye\nussd_session_timeout: 600\n",
	},
	{"transport_class", "vumi.transports.infobip.InfobipTransport", vumiRPC + "ussd_session_timeout: 600\ntransport_type: ussd\n"},
	{"transport_class", "vumi.transports.mtech_ussd.MtechUssdTransport", vumiRPC + "ussd_session_timeout: 600\ntransport_type: ussd\n"},
	{"transport_class", "vumi.transports.safaricom.SafaricomTransport", vumiRPC + "ussd_session_timeout: 600\ntransport_type: ussd\n"},
	{"transport_class", "vumi.transports.vodacom_messaging.VodacomMessagingTransport", vumiRPC + "ussd_string_prefix: '*120*666'\nweb_host: 10.0.0.1\n"},
	{"transport_class", "vumi.transports.telnet.AddressedTelnetServerTransport", vumiTransport + "telnet_port: 9010\n"},
	{
		"transport_class", "vumi.transports.vas2nets.Vas2NetsTransport",
		vumiTransport + "url: http://vas2nets.example.com/send\nusername: u\npassword: p\nowner: o\nservice: s\nsubservice: b\nheader: X-Nth-Smsid\n" +
			"web_receive_path: /receive/\nweb_receipt_path: /receipt/\nweb_health_path: /health\nweb_port: 8888\n",
	},
	{"application_class", "vumi.demos.words.EchoWorker", vumiApplication},
	{"transport_class", "telnet", middlewareOf("vumi.middleware.LoggingMiddleware", "log_level: info\nfailure_log_level: error")},
	{"transport_class", "telnet", middlewareOf("vumi.middleware.StoringMiddleware", "store_prefix: message_store\nstore_on_consume: true\nredis_manager: {}\nriak_manager: {}")},
	{"transport_class", "telnet", middlewareOf("vumi.middleware.TaggingMiddleware",
		"incoming: {addr_pattern: '(.*)', tagpool_template: 'pool', tagname_template: '\\1'}\noutgoing: {tagname_pattern: '(.*)', msg_template: {from_addr: '\\1'}}")},
	{"transport_class", "telnet", middlewareOf("vumi.middleware.AddressTranslationMiddleware", "outbound_map: {'555OUT': '5550'}")},
	{"transport_class", "telnet", middlewareOf("vumi.middleware.StaticProviderSettingMiddleware", "provider: mtn")},
	{"transport_class", "telnet", middlewareOf("vumi.middleware.AddressPrefixProviderSettingMiddleware",
		"provider_prefixes: {'+2783': vodacom}\nnormalize_msisdn: {country_code: '27', strip_plus: true}")},
	{"transport_class", "telnet", middlewareOf("vumi.middleware.SessionLengthMiddleware",
		"timeout: 600\nnamespace_type: transport_name\nfield_name: session\nredis_manager: {}")},
}

func TestVumiOptions(t *testing.T) {
	for _, c := range vumiOptions {
		t.Run(c.class, func(t *testing.T) {
			warnings := define(t, c.kind, c.class, c.text)
			for _, key := range []string{
				"redis_manager", "riak_manager", "vhost", "sentry_dsn", "metrics_prefix", "publish_status", "concurrent_sends", "send_to",
				"COUNTRY_CODE", "OPERATOR_PREFIX", "OPERATOR_NUMBER", "smpp_offset", "smpp_increment",
				"codec_class", "deliver_sm_decoding_error", "completed_multipart_info_expiry", "multipart_sar_reference_rollover", "TRANSPORT_NAME",
				"request_cleanup_interval", "noisy", "session_key_prefix",
			} {
				if there := strings.Contains(c.text, "\n"+key+":") || strings.Contains(c.text, "\n  "+key+":"); there && !strings.Contains(warnings, key) {
					t.Errorf("%s has no effect, and no warning says so:\n%s", key, warnings)
				}
			}
		})
	}
}

// The files of testdata/vumi have the shape of those that people run with Vumi:
// without a class, which stands on the command line.
func TestVumiFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/vumi/*.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("found %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			// Its first line is: # KIND CLASS
			first, _, _ := strings.Cut(string(text), "\n")
			words := strings.Fields(first)
			if len(words) != 3 {
				t.Fatalf("the first line is %q, not # KIND CLASS", first)
			}
			t.Log(define(t, words[1], words[2], string(text)))
		})
	}
}

// vumiTransports are the transports of Vumi 0.6.19's tree, by their modules.
var vumiTransports = map[string][]string{
	"airtel.airtel": {"AirtelUSSDTransport"}, "api.api": {"HttpApiTransport"}, "api.oldapi": {"OldSimpleHttpTransport", "OldTemplateHttpTransport"},
	"apposit.apposit": {"AppositTransport"}, "cellulant.cellulant": {"CellulantTransport"}, "cellulant.cellulant_sms": {"CellulantSmsTransport"},
	"devnull.devnull": {"DevNullTransport"}, "dmark.dmark_ussd": {"DmarkUssdTransport"},
	"httprpc.httprpc": {"HttpRpcTransport"}, "imimobile.imimobile_ussd": {"ImiMobileUssdTransport"}, "infobip.infobip": {"InfobipTransport"},
	"integrat.integrat": {"IntegratTransport"}, "irc.irc": {"IrcTransport"}, "mediaedgegsm.mediaedgegsm": {"MediaEdgeGSMTransport"},
	"mediafonemc.mediafonemc": {"MediafoneTransport"}, "mtech_kenya.mtech_kenya": {"MTechKenyaTransport", "MTechKenyaTransportV2"},
	"mtech_ussd.mtech_ussd": {"MtechUssdTransport"}, "mtn_nigeria.mtn_nigeria_ussd": {"MtnNigeriaUssdTransport"}, "mxit.mxit": {"MxitTransport"},
	"netcore.netcore": {"NetcoreTransport"}, "opera.opera": {"OperaTransport"}, "parlayx.parlayx": {"ParlayXTransport"},
	"safaricom.safaricom": {"SafaricomTransport"}, "smssync.smssync": {"SingleSmsSync", "MultiSmsSync"},
	"smpp.smpp_transport": {"SmppTransceiverTransport", "SmppReceiverTransport", "SmppTransmitterTransport", "SmppTransceiverTransportWithOldConfig"},
	"telnet.telnet":       {"TelnetServerTransport", "AddressedTelnetServerTransport"}, "truteq.truteq": {"TruteqTransport"},
	"twitter.twitter": {"TwitterTransport"}, "vas2nets.vas2nets": {"Vas2NetsTransport"},
	"vodacom_messaging.vodacom_messaging": {"VodacomMessagingTransport"}, "vumi_bridge.vumi_bridge": {"GoConversationTransport"},
	"wechat.wechat": {"WeChatTransport"}, "xmpp.xmpp": {"XMPPTransport"},
}

// Each of Vumi's transports runs under its names, or the error says what to use instead.
func TestVumiTransports(t *testing.T) {
	names := []string{"vumi.transports.mtn_rwanda.mtn_rwanda_ussd.MTNRwandaUSSDTransport", "vumi.transports.trueafrican.transport.TrueAfricanUssdTransport"}
	for module, classes := range vumiTransports {
		folder, _, inside := strings.Cut(module, ".")
		for _, class := range classes {
			names = append(names, "vumi.transports."+module+"."+class)
			if inside && class != "SmppTransceiverTransportWithOldConfig" {
				names = append(names, "vumi.transports."+folder+"."+class)
			}
		}
	}
	known := map[string]bool{}
	for _, listed := range classes().List() {
		for _, name := range listed.Vumi {
			known[name] = true
		}
	}
	for _, name := range names {
		doc, err := options.Parse("file.yaml", []byte("transport_name: sms\n"), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		_ = doc.Set("transport_class", name)
		_, err = classes().Define(doc)
		switch says := err != nil && strings.Contains(err.Error(), "is not here: "); {
		case known[name] && says, !known[name] && !says:
			t.Errorf("%s: %v", name, err)
		}
		if err := classes().SetClass(doc, name); !known[name] && (err == nil || !strings.Contains(err.Error(), "is not here: ")) {
			t.Errorf("on the command line, %s: %v", name, err)
		}
	}
}

// A misspelt key is still refused.
func TestVumiMisspelt(t *testing.T) {
	for text, want := range map[string]string{
		vumiDispatcher + "route_mappings: {sms: app}\ndispatcher_nam: x\n": `unknown key "dispatcher_nam"`,
		vumiDispatcher + "route_mappings: {sms: app}\npublish_status: x\n": `unknown key "publish_status"`,
	} {
		doc, err := options.Parse("file.yaml", []byte(text), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		_ = doc.Set("router_class", "simple")
		if _, err := classes().Define(doc); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func define(t *testing.T, kind, class, text string) (warnings string) {
	t.Helper()
	doc, err := options.Parse("file.yaml", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Set(kind, class); err != nil {
		t.Fatal(err)
	}
	d, err := classes().Define(doc)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(d.Warnings, "\n")
}
