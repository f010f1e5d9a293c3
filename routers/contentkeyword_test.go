package routers

import (
	"testing"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/worker"
)

func says(content, from, to string) dispatcher.Arrival {
	a := userMessage(message.Inbound, "smpp", "smpp", content)
	a.Message.From, a.Message.To = from, to
	return a
}

func TestContentKeyword(t *testing.T) {
	three := dispatcher.Names{Transports: []string{"smpp", "xmpp"}, Exposed: []string{"jokes", "news", "rest"}}
	r := mustLoad(t, NewContentKeyword(), three, worker.Env{}, `
rules:
  - {app: jokes, keyword: JOKE, to_addr: "8181", prefix: "+27"}
  - {app: news, keyword: joke, prefix: "+44"}
  - {app: news, keyword: all}
  - {app: news, keyword: all}
keyword_mappings: {jokes: All, rest: stop}
fallback_application: rest
transport_mappings: {"8181": smpp, "8282": xmpp}
dispatcher_name: keywords
`)
	checkAll(t, r, []routed{
		{name: "a rule", arrival: says("joke please", "+27831", "8181"), want: "jokes"},
		{name: "another address", arrival: says("joke please", "+27831", "8282"), want: "rest"},
		{name: "another prefix", arrival: says("Joke", "+44123", "8181"), want: "news"},
		{name: "every rule, once each", arrival: says("  aLL\nof it", "+1", "1"), want: "jokes news"},
		{name: "a mapping", arrival: says("STOP", "+1", "1"), want: "rest"},
		{name: "not in the middle", arrival: says("the joke", "+27831", "8181"), want: "rest"},
		{name: "no content", arrival: says("", "+27831", "8181"), want: "rest"},
		{name: "outbound", arrival: userMessage(message.Outbound, "jokes", "", "hi"), err: `no transport for its from_addr "12345"`},
		{name: "outbound by from_addr", arrival: func() dispatcher.Arrival {
			a := says("hi", "8282", "+27831")
			a.Flow, a.Connector = message.Outbound, "jokes"
			return a
		}(), want: "xmpp"},
		{name: "event", arrival: event("smpp", "smpp"), err: "it can be any of jokes, news, rest"},
	})
}

func TestContentKeywordWithoutFallback(t *testing.T) {
	r := mustLoad(t, NewContentKeyword(), names, worker.Env{}, "keyword_mappings: {app: 123}")
	checkAll(t, r, []routed{
		{name: "a number", arrival: says("123 go", "+1", "1"), want: "app"},
		{name: "nothing matches", arrival: says("124 go", "+1", "1"), err: "no keyword matches it, and there is no fallback_application"},
	})
}

func TestContentKeywordRefuses(t *testing.T) {
	checkRefused(t, NewContentKeyword, []refused{
		{"nothing", "", "keyword_mappings: is missing"},
		{"no keyword", "rules:\n  - {app: app}", `w.yaml:2: rules.0.keyword: "" is not one word`},
		{"no app", "rules: [{keyword: a}]", "rules.0.app: names nothing"},
		{"two words", "keyword_mappings: {app: a b}", "is not one word"},
		{"an unknown application", "keyword_mappings: {ap: a}", `did you mean "app"?`},
		{"an unknown fallback", "fallback_application: appp", `did you mean "app"?`},
		{"an unknown transport", "fallback_application: app\ntransport_mappings: {a: smmp}", `did you mean "smpp"?`},
		{"an unknown condition", "rules: [{app: app, keyword: a, form: b}]", `unknown key "form" in rules.0`},
	})
}
