//go:build services

package e2e

import (
	"fmt"
	"strings"

	"switchboard/message"
)

// The Dutch SMSC is slow and strict: a rate and a window it holds to, ids that
// are hexadecimal in answers and decimal in receipts, receipts by text alone,
// some of them before the answer, some twice, some that are nobody's; for two
// seconds out of eight it takes half as much.
const netherlandsYAML = `
listen: %s
http: %s
record: %s
seed: 1
accounts: [{system_id: switchboard, password: secret}]
behaviour: 
  ids: {format: hex, in_receipts: decimal, receipt_width: 10, start: 4096}
  answers: {delay: 20ms..40ms, tps: 110, window: 10, errors: [{status: ESME_RSYSERR, rate: 0.5%%}]}
  receipts:
    form: text
    style: seconds
    delay: ~1s
    early: 1%%
    duplicated: 1%%
    unmatched: 0.2%%
    outcomes: [{state: UNDELIV, error: "027", rate: 4%%}, {state: EXPIRED, error: "005", rate: 1%%}]
  links: {drop_every: 10s..20s}
  delivery: {retries: 20, pause: 200ms}
phases:
  - after: 4s
    for: 2s
    every: 8s
    behaviour:
      answers: {delay: 20ms..40ms, tps: 50, window: 10}
`

// The Kenyan SMSC is fast and on a bad line: answers get lost, come late, come
// twice; connections break; its queue is full for two seconds out of ten; its
// receipts are optional parameters, with intermediate ones. And people write.
const kenyaYAML = `
listen: %s
http: %s
record: %s
seed: 2
accounts: [{system_id: switchboard, password: secret}]
behaviour:
  ids: {format: upper_hex, width: 12}
  answers:
    delay: 1ms..50ms
    lost: 0.2%%
    late: 0.2%%
    late_by: 4s..8s
    duplicated: 0.5%%
  receipts:
    form: tlv
    delay: 0s..3s
    early: 0.5%%
    duplicated: 0.5%%
    intermediate: 10%%
    outcomes: [{state: REJECTD, error: "088", rate: 2%%}]
  links: {drop_every: 5s..15s}
  delivery: {retries: 20, pause: 200ms}
  generate:
    rate: 5
    count: 100
    from: "2547########"
    to: "40404"
    texts: ["join {n}", "help {n}"]
    long: 10%%
    methods: [udh8, udh16, sar]
    shuffle: true
phases:
  - after: 5s
    for: 2s
    every: 10s
    behaviour:
      answers: {delay: 1ms..50ms, queue_full: 100%%}
`

// The rates the transports are held to.
const (
	netherlandsTPS = 100
	kenyaTPS       = 400
)

// A submit without an answer is sent again to the Dutch SMSC, which loses none
// but when a connection breaks; from the Kenyan one a late answer or a receipt
// is waited for, and the message fails when neither comes.
var (
	netherlandsTransport = transportYAML("smpp_nl", netherlandsTPS, 10, "unknown_policy: resend")
	kenyaTransport       = transportYAML("smpp_ke", kenyaTPS, 50, "unknown_policy: wait\nunknown_wait: 30")
)

func transportYAML(name string, tps, window int, more string) string {
	return fmt.Sprintf(`
transport_class: smpp
transport_name: %s
host: 127.0.0.1
port: ${SMSC_PORT}
system_id: switchboard
password: secret
mt_tps: %d
window: %d
submit_timeout: 3
initial_reconnect_delay: 0.2
max_reconnect_delay: 2
smpp_enquire_link_interval: 5
%s
`, name, tps, window, more)
}

const countriesYAML = `
router_class: rules
transport_names: [smpp_nl, smpp_ke]
exposed_names: [club, helpdesk]
rules:
  - {when: 'inbound and word == "join"', to: club}
  - {when: inbound, to: helpdesk}
  - {when: outbound and reply, to: =transport_name}
  - {when: 'outbound and country(to) == "NL"', to: smpp_nl}
  - {when: 'outbound and country(to) == "KE"', to: smpp_ke}
  - {when: event, to: helpdesk}
`

const countriesRecordYAML = `
worker_class: persistence
transport_names: [smpp_nl, smpp_ke]
exposed_names: [club, helpdesk]
`

// outgoing is the i-th message. One in twenty takes several parts, one in thirty
// is not in the GSM alphabet.
func outgoing(i int) *message.Message {
	m := message.New()
	m.From, m.To, m.TransportType = "40404", fmt.Sprintf("+2547%08d", i), "sms"
	if i%dutch == 0 {
		m.To = fmt.Sprintf("+316%08d", i)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "message %d", i)
	if i%30 == 7 {
		text.WriteString(" αβγ 😀")
	}
	for word := 0; i%20 == 3 && word < 40; word++ {
		fmt.Fprintf(&text, " word%d", word)
	}
	m.Content = text.String()
	return m
}
