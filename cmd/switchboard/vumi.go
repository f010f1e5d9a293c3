package main

// What to use in the place of Vumi's classes.
const (
	byForm    = "write transport_class: http; `switchboard http show generic_form` is a description to copy and change to the provider's fields"
	byXML     = "write transport_class: http and a description of its requests in XML; docs/channels-http.md shows the pieces"
	byProgram = "write transport_class: stdio and, as its command, a program that speaks the protocol; docs/stdio.md has the lines"
)

// replacedVumi are Vumi's transports that this program has under another class, or that
// nobody can use any more.
var replacedVumi = map[string]string{
	"vumi.transports.api.OldSimpleHttpTransport":                           "write transport_class: http_api",
	"vumi.transports.api.oldapi.OldSimpleHttpTransport":                    "write transport_class: http_api",
	"vumi.transports.api.OldTemplateHttpTransport":                         byForm,
	"vumi.transports.api.oldapi.OldTemplateHttpTransport":                  byForm,
	"vumi.transports.apposit.AppositTransport":                             byForm,
	"vumi.transports.apposit.apposit.AppositTransport":                     byForm,
	"vumi.transports.cellulant.CellulantSmsTransport":                      byForm,
	"vumi.transports.cellulant.cellulant_sms.CellulantSmsTransport":        byForm,
	"vumi.transports.integrat.IntegratTransport":                           byXML,
	"vumi.transports.integrat.integrat.IntegratTransport":                  byXML,
	"vumi.transports.irc.IrcTransport":                                     byProgram,
	"vumi.transports.irc.irc.IrcTransport":                                 byProgram,
	"vumi.transports.mediaedgegsm.MediaEdgeGSMTransport":                   byForm,
	"vumi.transports.mediaedgegsm.mediaedgegsm.MediaEdgeGSMTransport":      byForm,
	"vumi.transports.mediafonemc.MediafoneTransport":                       byForm,
	"vumi.transports.mediafonemc.mediafonemc.MediafoneTransport":           byForm,
	"vumi.transports.mtech_kenya.MTechKenyaTransport":                      byForm,
	"vumi.transports.mtech_kenya.mtech_kenya.MTechKenyaTransport":          byForm,
	"vumi.transports.mtech_kenya.MTechKenyaTransportV2":                    byForm,
	"vumi.transports.mtech_kenya.mtech_kenya.MTechKenyaTransportV2":        byForm,
	"vumi.transports.mtn_nigeria.MtnNigeriaUssdTransport":                  byProgram,
	"vumi.transports.mtn_nigeria.mtn_nigeria_ussd.MtnNigeriaUssdTransport": byProgram,
	"vumi.transports.mtn_rwanda.mtn_rwanda_ussd.MTNRwandaUSSDTransport":    byProgram,
	"vumi.transports.mxit.MxitTransport":                                   "Mxit has closed: there is nothing to speak to",
	"vumi.transports.mxit.mxit.MxitTransport":                              "Mxit has closed: there is nothing to speak to",
	"vumi.transports.netcore.NetcoreTransport":                             byForm,
	"vumi.transports.netcore.netcore.NetcoreTransport":                     byForm,
	"vumi.transports.opera.OperaTransport":                                 byXML,
	"vumi.transports.opera.opera.OperaTransport":                           byXML,
	"vumi.transports.parlayx.ParlayXTransport":                             byXML,
	"vumi.transports.parlayx.parlayx.ParlayXTransport":                     byXML,
	"vumi.transports.smssync.SingleSmsSync":                                "write transport_class: http and provider: smssync",
	"vumi.transports.smssync.smssync.SingleSmsSync":                        "write transport_class: http and provider: smssync",
	"vumi.transports.smssync.MultiSmsSync":                                 "write transport_class: http and provider: smssync, a worker for each phone",
	"vumi.transports.smssync.smssync.MultiSmsSync":                         "write transport_class: http and provider: smssync, a worker for each phone",
	"vumi.transports.trueafrican.transport.TrueAfricanUssdTransport":       byProgram,
	"vumi.transports.truteq.TruteqTransport":                               byProgram,
	"vumi.transports.truteq.truteq.TruteqTransport":                        byProgram,
	"vumi.transports.twitter.TwitterTransport":                             "Twitter's streaming interface, which it spoke, is gone, and so is the transport",
	"vumi.transports.twitter.twitter.TwitterTransport":                     "Twitter's streaming interface, which it spoke, is gone, and so is the transport",
	"vumi.transports.vumi_bridge.GoConversationTransport":                  "Vumi Go has closed; between two fleets use transport_class: http and provider: generic_json",
	"vumi.transports.vumi_bridge.vumi_bridge.GoConversationTransport":      "Vumi Go has closed; between two fleets use transport_class: http and provider: generic_json",
	"vumi.transports.wechat.WeChatTransport":                               byXML,
	"vumi.transports.wechat.wechat.WeChatTransport":                        byXML,
}
