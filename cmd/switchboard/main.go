// Command switchboard is the whole product in one binary. This file is the list
// of classes the binary knows and nothing else: to add classes of your own, copy
// it into your module and add lines.
package main

import (
	"os"

	"switchboard/applications"
	"switchboard/applications/autoreply"
	"switchboard/applications/doors"
	"switchboard/applications/echo"
	"switchboard/applications/forward"
	"switchboard/applications/guess"
	"switchboard/applications/httpapi"
	"switchboard/applications/keyword"
	"switchboard/applications/menu"
	"switchboard/applications/script"
	"switchboard/applications/smppserver"
	"switchboard/applications/survey"
	"switchboard/cli"
	"switchboard/dispatcher"
	"switchboard/fleet"
	"switchboard/middleware"
	"switchboard/operate/scheduler"
	"switchboard/persistence"
	"switchboard/routers"
	"switchboard/routers/rules"
	"switchboard/transports"
	"switchboard/transports/devnull"
	"switchboard/transports/gsmmodem"
	"switchboard/transports/http"
	"switchboard/transports/httprpc"
	"switchboard/transports/httptester"
	"switchboard/transports/smpp"
	"switchboard/transports/stdio"
	"switchboard/transports/telnet"
	"switchboard/transports/xmpp"
	"switchboard/worker"
	"switchboard/worker/failures"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(cli.Main(version, classes())) }

func classes() fleet.Classes {
	return fleet.Classes{
		Replaced: replacedVumi,
		Routers: map[string]fleet.Class[dispatcher.Router]{
			"content_keyword": {
				New:   func() dispatcher.Router { return routers.NewContentKeyword() },
				Vumi:  []string{"vumi.dispatchers.ContentKeywordRouter", "vumi.dispatchers.base.ContentKeywordRouter"},
				About: "the first word of a message chooses the application",
			},
			"from_addr_multiplex": {
				New:   func() dispatcher.Router { return routers.NewFromAddrMultiplex() },
				Vumi:  []string{"vumi.dispatchers.FromAddrMultiplexRouter", "vumi.dispatchers.base.FromAddrMultiplexRouter"},
				About: "many transports with one address each behind one exposed name",
			},
			"load_balancing": {
				New:   func() dispatcher.Router { return routers.NewLoadBalancing() },
				Vumi:  []string{"vumi.dispatchers.load_balancer.LoadBalancingRouter", "vumi.dispatchers.LoadBalancingRouter"},
				About: "messages out take turns over several transports; replies return by their own",
			},
			"redirect": {
				New:   func() dispatcher.Router { return routers.NewRedirect() },
				Vumi:  []string{"vumi.dispatchers.RedirectRouter", "vumi.dispatchers.base.RedirectRouter"},
				About: "one name to another, both ways",
			},
			"redirect_outbound": {
				New:   func() dispatcher.Router { return routers.NewRedirectOutbound() },
				Vumi:  []string{"vumi.dispatchers.RedirectOutboundRouter", "vumi.dispatchers.base.RedirectOutboundRouter"},
				About: "messages out to another transport; redirect does it too",
			},
			"routing_table": {
				New:   func() dispatcher.Router { return routers.NewRoutingTable() },
				Vumi:  []string{"vumi.dispatchers.endpoint_dispatchers.RoutingTableDispatcher", "vumi.dispatchers.RoutingTableDispatcher"},
				About: "connector and endpoint to connector and endpoint",
			},
			"rules": {
				New:   func() dispatcher.Router { return rules.New() },
				About: "an ordered list of rules: conditions, failover, balancing, rewriting, replies",
			},
			"simple": {
				New:   func() dispatcher.Router { return routers.NewSimple() },
				Vumi:  []string{"vumi.dispatchers.SimpleDispatchRouter", "vumi.dispatchers.base.SimpleDispatchRouter"},
				About: "each transport's messages go to the names mapped to it, messages out to their transport",
			},
			"to_addr": {
				New:   func() dispatcher.Router { return routers.NewToAddr() },
				Vumi:  []string{"vumi.dispatchers.ToAddrRouter", "vumi.dispatchers.base.ToAddrRouter"},
				About: "the address a message was sent to chooses the applications",
			},
			"transport_to_transport": {
				New:   func() dispatcher.Router { return routers.NewTransportToTransport() },
				Vumi:  []string{"vumi.dispatchers.TransportToTransportRouter", "vumi.dispatchers.base.TransportToTransportRouter"},
				About: "what comes in by one transport goes out by another",
			},
			"user_grouping": {
				New:   func() dispatcher.Router { return routers.NewUserGrouping() },
				Vumi:  []string{"vumi.dispatchers.UserGroupingRouter", "vumi.dispatchers.base.UserGroupingRouter"},
				About: "each person stays with one of several groups, for trials",
			},
		},
		Transports: map[string]fleet.Class[transports.Transport]{
			"airtel_ussd": {
				New:   func() transports.Transport { return httprpc.NewPreset("airtel") },
				Vumi:  []string{"vumi.transports.airtel.AirtelUSSDTransport", "vumi.transports.airtel.airtel.AirtelUSSDTransport"},
				About: "USSD of Airtel: http_rpc with its description",
			},
			"cellulant_ussd": {
				New:   func() transports.Transport { return httprpc.NewPreset("cellulant") },
				Vumi:  []string{"vumi.transports.cellulant.CellulantTransport", "vumi.transports.cellulant.cellulant.CellulantTransport"},
				About: "USSD of Cellulant: http_rpc with its description",
			},
			"devnull": {
				New:   func() transports.Transport { return devnull.New() },
				Vumi:  []string{"vumi.transports.devnull.DevNullTransport", "vumi.transports.devnull.devnull.DevNullTransport"},
				About: "takes every message and makes up what became of it, to try fleets",
			},
			"dmark_ussd": {
				New:   func() transports.Transport { return httprpc.NewPreset("dmark") },
				Vumi:  []string{"vumi.transports.dmark.DmarkUssdTransport", "vumi.transports.dmark.dmark_ussd.DmarkUssdTransport"},
				About: "USSD of Dmark: http_rpc with its description",
			},
			"gsm_modem": {
				New:   func() transports.Transport { return gsmmodem.New() },
				About: "SMS by a modem and a SIM card of one's own, on a serial port",
			},
			"http": {
				New:   func() transports.Transport { return http.New() },
				About: "any HTTP provider, as a preset or a description in YAML says",
			},
			"http_api": {
				New:   func() transports.Transport { return httprpc.NewAPI() },
				Vumi:  []string{"vumi.transports.api.HttpApiTransport", "vumi.transports.api.api.HttpApiTransport"},
				About: "takes messages by HTTP and answers with their message_id",
			},
			"http_rpc": {
				New:   func() transports.Transport { return httprpc.New() },
				Vumi:  []string{"vumi.transports.httprpc.HttpRpcTransport", "vumi.transports.httprpc.httprpc.HttpRpcTransport"},
				About: "HTTP requests that wait for the reply, as USSD gateways make them",
			},
			"httptester": {
				New:   func() transports.Transport { return httptester.New() },
				About: "a phone in the browser, to try applications with",
			},
			"imimobile_ussd": {
				New:   func() transports.Transport { return httprpc.NewPreset("imimobile") },
				Vumi:  []string{"vumi.transports.imimobile.ImiMobileUssdTransport", "vumi.transports.imimobile.imimobile_ussd.ImiMobileUssdTransport"},
				About: "USSD of IMImobile: http_rpc with its description",
			},
			"infobip_ussd": {
				New:   func() transports.Transport { return httprpc.NewPreset("infobip") },
				Vumi:  []string{"vumi.transports.infobip.InfobipTransport", "vumi.transports.infobip.infobip.InfobipTransport"},
				About: "USSD of Infobip: http_rpc with its description",
			},
			"mtech_ussd": {
				New:   func() transports.Transport { return httprpc.NewPreset("mtech") },
				Vumi:  []string{"vumi.transports.mtech_ussd.MtechUssdTransport", "vumi.transports.mtech_ussd.mtech_ussd.MtechUssdTransport"},
				About: "USSD of MTECH: http_rpc with its description",
			},
			"safaricom_ussd": {
				New:   func() transports.Transport { return httprpc.NewPreset("safaricom") },
				Vumi:  []string{"vumi.transports.safaricom.SafaricomTransport", "vumi.transports.safaricom.safaricom.SafaricomTransport"},
				About: "USSD of Safaricom: http_rpc with its description",
			},
			"smpp": {
				New: func() transports.Transport { return smpp.New() },
				Vumi: []string{
					"vumi.transports.smpp.SmppTransceiverTransport", "vumi.transports.smpp.SmppTransceiverTransportWithOldConfig",
					"vumi.transports.smpp.SmppTransport", "vumi.transports.smpp.smpp_transport.SmppTransceiverTransport",
					"vumi.transports.smpp.smpp_transport.SmppTransceiverTransportWithOldConfig",
				},
				About: "SMS and USSD over SMPP, bound to an SMSC as a transceiver or as transmitter and receiver",
			},
			"smpp_receiver": {
				New:   func() transports.Transport { return smpp.NewReceiver() },
				Vumi:  []string{"vumi.transports.smpp.SmppReceiverTransport", "vumi.transports.smpp.SmppReceiverTransportWithOldConfig", "vumi.transports.smpp.smpp_transport.SmppReceiverTransport"},
				About: "the receiving half of an SMPP transport that is two workers",
			},
			"smpp_transmitter": {
				New:   func() transports.Transport { return smpp.NewTransmitter() },
				Vumi:  []string{"vumi.transports.smpp.SmppTransmitterTransport", "vumi.transports.smpp.SmppTransmitterTransportWithOldConfig", "vumi.transports.smpp.smpp_transport.SmppTransmitterTransport"},
				About: "the sending half of an SMPP transport that is two workers",
			},
			"stdio": {
				New:   func() transports.Transport { return stdio.New() },
				About: "JSON lines in and out: a pipe to a program, or the process's own input and output",
			},
			"telnet": {
				New:   func() transports.Transport { return telnet.New() },
				Vumi:  []string{"vumi.transports.telnet.TelnetServerTransport", "vumi.transports.telnet.telnet.TelnetServerTransport"},
				About: "people type to it with telnet or nc",
			},
			"vodacom_ussd": {
				New:   func() transports.Transport { return httprpc.NewPreset("vodacom") },
				Vumi:  []string{"vumi.transports.vodacom_messaging.VodacomMessagingTransport", "vumi.transports.vodacom_messaging.vodacom_messaging.VodacomMessagingTransport"},
				About: "USSD of Vodacom Messaging: http_rpc with its description",
			},
			"telnet_addressed": {
				New:   func() transports.Transport { return telnet.NewAddressed() },
				Vumi:  []string{"vumi.transports.telnet.AddressedTelnetServerTransport", "vumi.transports.telnet.telnet.AddressedTelnetServerTransport"},
				About: "telnet that asks who speaks, and to whom",
			},
			"vas2nets": {
				New:   func() transports.Transport { return http.NewVas2Nets() },
				Vumi:  []string{"vumi.transports.vas2nets.Vas2NetsTransport", "vumi.transports.vas2nets.vas2nets.Vas2NetsTransport"},
				About: "the aggregator Vas2Nets, with the options of Vumi's transport",
			},
			"xmpp": {
				New:   func() transports.Transport { return xmpp.New() },
				Vumi:  []string{"vumi.transports.xmpp.XMPPTransport", "vumi.transports.xmpp.xmpp.XMPPTransport"},
				About: "chat over XMPP, as an account or as a component that serves a domain of addresses",
			},
		},
		Applications: map[string]fleet.Class[applications.Application]{
			"auto_reply": {
				New:   func() applications.Application { return autoreply.New() },
				About: "answers by the time of the week: office hours",
			},
			"echo": {
				New:   func() applications.Application { return echo.New() },
				Vumi:  []string{"vumi.demos.words.EchoWorker", "vumi.workers.vas2nets.EchoWorker"},
				About: "answers with what it was told",
			},
			"forward": {
				New:   func() applications.Application { return forward.New() },
				About: "hands messages on to a webhook, by e-mail or to another address",
			},
			"guess": {
				New:   func() applications.Application { return guess.New() },
				About: "a game: guess the number",
			},
			"http_relay": {
				New:   func() applications.Application { return doors.NewHTTPRelay() },
				Vumi:  []string{"vumi.application.http_relay.HTTPRelayApplication", "vumi.application.HTTPRelayApplication"},
				About: "posts each message as it is on the wire; the answer may be the reply",
			},
			"jasmin": {
				New:   func() applications.Application { return doors.NewJasmin() },
				About: "clients of Jasmin's HTTP API send here, and get their receipts",
			},
			"junebug": {
				New:   func() applications.Application { return doors.NewJunebug() },
				About: "clients of Junebug's API send here, and get their events",
			},
			"kannel": {
				New:   func() applications.Application { return doors.NewKannel() },
				About: "clients of Kannel's sendsms send here, and get their delivery reports",
			},
			"http_api": {
				New:   func() applications.Application { return httpapi.New() },
				About: "programs send by HTTP requests, and learn by a webhook what people write and what became of messages",
			},
			"keyword": {
				New:   func() applications.Application { return keyword.New() },
				About: "answers by the words a message begins with",
			},
			"menu": {
				New:   func() applications.Application { return menu.New() },
				About: "screens with choices and questions, as USSD and SMS menus have them",
			},
			"rapidpro": {
				New:   func() applications.Application { return doors.NewRapidPro() },
				About: "the other side of an external channel of RapidPro or TextIt",
			},
			"rapidsms_http": {
				New:   func() applications.Application { return doors.NewRapidSMSHTTP() },
				About: "the other side of RapidSMS's backend http",
			},
			"rapidsms_relay": {
				New:   func() applications.Application { return doors.NewRapidSMSRelay() },
				Vumi:  []string{"vumi.application.rapidsms_relay.RapidSMSRelay"},
				About: "joins RapidSMS by its backend vumi",
			},
			"script": {
				New:   func() applications.Application { return script.New() },
				About: "runs JavaScript in a sandbox",
			},
			"smpp_server": {
				New:   func() applications.Application { return smppserver.New() },
				About: "SMPP clients bind to it as to an SMSC, and share the fleet's transports",
			},
			"survey": {
				New:   func() applications.Application { return survey.New() },
				About: "asks everybody the same questions and stores the answers",
			},
			"twilio": {
				New:   func() applications.Application { return doors.NewTwilio() },
				About: "clients of Twilio's Messages API send here, and get their status callbacks",
			},
		},
		Workers: map[string]fleet.Class[fleet.Standalone]{
			"persistence": {
				New:   func() fleet.Standalone { return persistence.New() },
				About: "writes all that passes into the database, and hands broadcasts over",
			},
			"scheduler": {
				New:   func() fleet.Standalone { return scheduler.New() },
				About: "sends texts at times, once or by cron",
			},
			"failures": {
				New:   func() fleet.Standalone { return failures.New() },
				Vumi:  []string{"vumi.transports.failures.FailureWorker", "vumi.transports.FailureWorker"},
				About: "tries again what Vumi's transports could not send for now, and keeps the rest as dead letters",
			},
		},
		Middleware: map[string]fleet.Class[worker.Middleware]{
			"address_translation": {
				New:   func() worker.Middleware { return middleware.NewAddressTranslation() },
				Vumi:  []string{"vumi.middleware.AddressTranslationMiddleware", "vumi.middleware.address_translator.AddressTranslationMiddleware"},
				About: "gives people other addresses inside the fleet than outside",
			},
			"dedupe": {
				New:   func() worker.Middleware { return middleware.NewDedupe() },
				About: "drops inbound messages that came before",
			},
			"logging": {
				New:   func() worker.Middleware { return middleware.NewLogging() },
				Vumi:  []string{"vumi.middleware.LoggingMiddleware", "vumi.middleware.logging.LoggingMiddleware"},
				About: "logs each message that passes, its content only at debug",
			},
			"msisdn": {
				New:   func() worker.Middleware { return middleware.NewMSISDN() },
				About: "brings telephone numbers into one shape",
			},
			"opt_out": {
				New:   func() worker.Middleware { return middleware.NewOptOut() },
				About: "keeps the list of people who sent STOP, and sends them nothing",
			},
			"prefix_provider": {
				New:   func() worker.Middleware { return middleware.NewPrefixProvider() },
				Vumi:  []string{"vumi.middleware.AddressPrefixProviderSettingMiddleware", "vumi.middleware.provider_setter.AddressPrefixProviderSettingMiddleware"},
				About: "sets the provider by how the person's address begins",
			},
			"rate_limit": {
				New:   func() worker.Middleware { return middleware.NewRateLimit() },
				About: "bounds how many messages one person gets or sends",
			},
			"session_length": {
				New:   func() worker.Middleware { return middleware.NewSessionLength() },
				Vumi:  []string{"vumi.middleware.SessionLengthMiddleware", "vumi.middleware.session_length.SessionLengthMiddleware"},
				About: "notes when a session began and ended",
			},
			"static_provider": {
				New:   func() worker.Middleware { return middleware.NewStaticProvider() },
				Vumi:  []string{"vumi.middleware.StaticProviderSettingMiddleware", "vumi.middleware.provider_setter.StaticProviderSettingMiddleware"},
				About: "sets one provider on every message",
			},
			"storing": {
				New:   func() worker.Middleware { return middleware.NewStoring() },
				Vumi:  []string{"vumi.middleware.StoringMiddleware", "vumi.middleware.message_storing.StoringMiddleware"},
				About: "does nothing: the persistence worker records messages",
			},
			"tagging": {
				New:   func() worker.Middleware { return middleware.NewTagging() },
				Vumi:  []string{"vumi.middleware.TaggingMiddleware", "vumi.middleware.tagger.TaggingMiddleware"},
				About: "tags inbound messages by address, changes outbound ones by tag",
			},
		},
	}
}
