package httpapi_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"switchboard/applications/applicationtest"
	"switchboard/applications/httpapi"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	b := newBundle(t, `
web_host: 127.0.0.1
tokens:
  all: {token: `+token+`, scopes: [send, read]}
  reader: {token: the-token-of-a-reader, scopes: read, rate: 0.001}
`)
	const message = `{"to": "1", "content": "a", "transport": "sms"}`
	for _, given := range []string{"", "Bearer", "Bearer wrong", "Basic " + token, token} {
		a := b.ask("POST", "/messages", message, "Authorization", given)
		b.problem(a, 401, "unauthorized")
		if a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%q: %v", given, a.header)
		}
	}
	reader := []string{"Authorization", "Bearer the-token-of-a-reader"}
	b.problem(b.ask("POST", "/messages", message, reader...), 403, "forbidden")
	b.problem(b.ask("POST", "/broadcasts", message), 403, "forbidden")
	b.problem(b.ask("POST", "/messages", `{"to": "1", "content": "a", "transport": "sms", "send_at": "2030-01-01T00:00:00Z"}`), 403, "forbidden")
	for range 100 { // the burst
		if a := b.ask("GET", "/channels", "", reader...); a.status != 200 {
			t.Fatalf("answered %d %s", a.status, a.body)
		}
	}
	a := b.ask("GET", "/channels", "", reader...)
	b.problem(a, 429, "rate-limited")
	if a.header.Get("Retry-After") == "" {
		t.Errorf("it does not say when: %v", a.header)
	}
	if len(b.sent) != 0 {
		t.Errorf("sent %d", len(b.sent))
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	b := newBundle(t, plain)
	for body, pointer := range map[string]string{
		``:                              "",
		`{`:                             "",
		`[]`:                            "",
		`null`:                          "/to",
		`{"to": 1}`:                     "/to",
		`{"to": "1", "content": "a"} x`: "",
		`{"to": "1", "content": "a"}]`:  "",
		`{"to": "1"}`:                   "/content",
		`{"content": "a"}`:              "/to",
		`{"to": "1", "content": "a", "colour": "red"}`:                                                                 "",
		`{"to": "1", "content": "a", "session_event": "new"}`:                                                          "/session_event",
		`{"to": "1", "content": "a", "reply_to": "b"}`:                                                                 "/reply_to",
		`{"to": "1", "content": "a", "transport": "pigeon"}`:                                                           "/transport",
		`{"to": "1", "content": "a", "send_at": "2030-01-01T00:00:00Z"}`:                                               "/send_at",
		`{"to": "` + strings.Repeat("1", 256) + `", "content": "a"}`:                                                   "/to",
		`{"to": "1", "content": "` + strings.Repeat("a", 64<<10+1) + `"}`:                                              "/content",
		`[` + strings.TrimSuffix(strings.Repeat(`{"to": "1", "content": "a", "transport": "sms"},`, 101), ",") + `]`:   "",
		`{"to": "1", "content": "a", "transport": "sms", "metadata": {"a": "` + strings.Repeat("a", 1<<20-200) + `"}}`: "",
	} {
		a := b.ask("POST", "/messages", body)
		if len(body) < 1<<20-10000 {
			b.problem(a, 400, "invalid")
		}
		if a.status < 400 || pointer != "" && !strings.Contains(a.body, `"pointer":"`+pointer+`"`) {
			t.Errorf("%.80s: answered %d %s, want %s", body, a.status, a.body, pointer)
		}
	}
	b.problem(b.ask("POST", "/messages", strings.Repeat(" ", 1<<20+1)), 413, "too-large")
	b.problem(b.ask("DELETE", "/messages", ""), 405, "method-not-allowed")
	b.problem(b.ask("GET", "/nowhere", ""), 404, "not-found")
	if len(b.sent) != 0 {
		t.Errorf("sent %d", len(b.sent))
	}
}

// openapi.yaml and the code have the same operations, and the page shows all of them and
// asks for nothing that is elsewhere.
func TestDescription(t *testing.T) {
	t.Parallel()
	b := newBundle(t, plain)
	inCode := map[string]bool{}
	for _, operation := range httpapi.Operations() {
		inCode[operation] = true
	}
	page := b.ask("GET", "/docs", "", "Authorization", "")
	for path, item := range described(t).doc.Paths.Map() {
		for method := range item.Operations() {
			operation := method + " " + path
			if !inCode[operation] {
				t.Errorf("the code has no %s", operation)
			}
			delete(inCode, operation)
			if !strings.Contains(page.body, "<code>"+operation+"</code>") {
				t.Errorf("the page has no %s", operation)
			}
		}
	}
	if len(inCode) != 0 {
		t.Errorf("openapi.yaml lacks %v", inCode)
	}
	if page.status != 200 || regexp.MustCompile(`(src|href|action)="(?:[a-z]+:)?//`).MatchString(page.body) || strings.Contains(page.body, "<script") {
		t.Errorf("the page: %d %.300s", page.status, page.body)
	}
	for _, link := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(page.body, -1) {
		if !strings.Contains(page.body, `id="`+link[1]+`"`) {
			t.Errorf("the page leads to #%s, which it does not have", link[1])
		}
	}
	for _, p := range httpapi.ProblemTypes() {
		if id := strings.TrimPrefix(p, "/docs#"); !strings.Contains(page.body, `id="`+id+`"`) {
			t.Errorf("the page has no %s", p)
		}
	}
	for _, path := range []string{"/openapi.yaml", "/openapi.json"} {
		if a := b.ask("GET", path, "", "Authorization", ""); a.status != 200 || !strings.Contains(a.body, "3.1.0") {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}

func TestOptions(t *testing.T) {
	for yaml, want := range map[string]string{
		"": "tokens: is missing",
		"tokens: {a: {token: x, scopes: [sent]}}":                                    `did you mean "send"?`,
		"tokens: {a: {token: same-token-for-both}, b: {token: same-token-for-both}}": "has the token of a",
		"tokens: {a: {}}": "token: is missing",
		"web_port: 70000\ntokens: {a: {token: a-token-of-an-app}}":                               "must be a port number",
		"tokens: {a: {token: a-token-of-an-app}}\nwebhook: {url: 'ftp://a'}":                     "is no address",
		"tokens: {a: {token: a-token-of-an-app}}\nwebhook: {url: 'http://a', max_requests: 1e9}": "max_requests",
		"tokens: {a: {token: a-token-of-an-app}}\nwebhook: {url: 'http://a', secret: whsec_}":    "no base64",
		"tokens: {a: {token: a-token-of-an-app}}\nreply_for: -1":                                 "reply_for",
		"tokens: {a: {token: a-token-of-an-app, rate: -1}}":                                      "rate",
		"tokens: {a: {token: a-token-of-an-app}}\nchannels: [SMS]":                               "lower case",
	} {
		if err := applicationtest.Configure(httpapi.New(), yaml); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", yaml, err)
		}
	}
	app := httpapi.New()
	if err := applicationtest.Configure(app, "tokens: {a: {token: short}}\nwebhook: {url: 'http://a'}"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(app.Lint()); !strings.Contains(got, "guessed") || !strings.Contains(got, "not signed") {
		t.Errorf("it warns: %s", got)
	}
}
