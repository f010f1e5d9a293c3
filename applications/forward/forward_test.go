package forward_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"

	"switchboard/applications/applicationtest"
	"switchboard/applications/forward"
	"switchboard/message"
)

func start(t *testing.T, yaml string) *applicationtest.Worker {
	t.Helper()
	app := forward.New()
	if err := applicationtest.Configure(app, yaml); err != nil {
		t.Fatal(err)
	}
	return applicationtest.Start(t, app)
}

func TestWebhook(t *testing.T) {
	status, answer := http.StatusOK, `{"reply": "got it"}`
	var bodies []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
		// standardwebhooks.com: HMAC-SHA256 over id.timestamp.body, with the base64 behind whsec_ as the key.
		mac := hmac.New(sha256.New, []byte("0123456789"))
		_, _ = fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), body)
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Header.Get("Webhook-Signature") != want {
			t.Errorf("the signature is %q, not %q", r.Header.Get("Webhook-Signature"), want)
		}
		if r.Header.Get("Authorization") != "Bearer x" {
			t.Error("the header is missing")
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	yaml := `
allow_private: true
reply: Thank you.
webhook:
  url: ` + server.URL + `
  secret: whsec_` + base64.StdEncoding.EncodeToString([]byte("0123456789")) + `
  headers: {Authorization: Bearer x}
`
	w := start(t, yaml)
	w.Talk("+27831234567", "hello", "got it\nThank you.")
	m, err := message.Decode([]byte(bodies[0]))
	if err != nil || m.Content != "hello" || m.From != "+27831234567" {
		t.Errorf("posted %s, %v", bodies[0], err)
	}
	answer = "ok"
	w.Talk("+27831234567", "hello", "Thank you.")
	for _, code := range []int{http.StatusFound, http.StatusBadRequest, http.StatusServiceUnavailable} {
		status = code
		if got := w.Fails(applicationtest.From("a", "x")); !strings.Contains(got, fmt.Sprintf("answered HTTP %d", code)) {
			t.Errorf("%d: failed with %q", code, got)
		}
	}
	status = http.StatusOK
	refused := start(t, strings.Replace(yaml, "allow_private: true", "", 1))
	if got := refused.Fails(applicationtest.From("a", "x")); !strings.Contains(got, "127.0.0.1 is a private address") {
		t.Errorf("failed with %q", got)
	}
}

// mailServer takes one mail after the other (RFC 5321), and refuses nobody@.
func mailServer(t *testing.T) (address string, mails <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	taken := make(chan string, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serveMail(conn, taken)
		}
	}()
	return listener.Addr().String(), taken
}

func serveMail(conn net.Conn, taken chan<- string) {
	defer func() { _ = conn.Close() }()
	text := textproto.NewReader(bufio.NewReader(conn))
	say := func(line string) { _, _ = fmt.Fprintf(conn, "%s\r\n", line) }
	say("220 here")
	for {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		switch {
		case strings.Contains(line, "nobody@"):
			say("550 no such user")
		case line == "DATA":
			say("354 go on")
			body, err := text.ReadDotBytes()
			if err != nil {
				return
			}
			taken <- string(body)
			say("250 taken")
		case line == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func TestEmail(t *testing.T) {
	address, mails := mailServer(t)
	yaml := "reply: Thank you.\nemail: {server: '" + address + "', from: Desk <desk@example.org>, to: [a@example.org, b@example.org], subject: 'From {from}: {content}'}"
	w := start(t, yaml)
	text := "Ünlaut\r\nBcc: everybody@example.org\n.\n" + strings.Repeat("long ", 100)
	m := applicationtest.From("+27831234567", text)
	if got := applicationtest.Texts(w.Receive(m)); len(got) != 1 || got[0] != "Thank you." {
		t.Errorf("got %q", got)
	}
	parsed, err := mail.ReadMessage(strings.NewReader(<-mails))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, parsed.Body))
	if err != nil || string(body) != text {
		t.Errorf("the body is %q, %v", body, err)
	}
	if parsed.Header.Get("Bcc") != "" || parsed.Header.Get("Message-Id") != "<"+m.ID+"@switchboard>" || !strings.HasPrefix(parsed.Header.Get("To"), "a@example.org, b@") {
		t.Errorf("the header is %v", parsed.Header)
	}
	refused := start(t, strings.Replace(yaml, "a@example.org", "nobody@example.org", 1))
	if got := refused.Fails(applicationtest.From("a", "x")); !strings.Contains(got, "no such user") {
		t.Errorf("failed with %q", got)
	}
}

func TestSend(t *testing.T) {
	w := start(t, "send: {to: '+2', endpoint: sms, text: '{from}: {content}'}")
	got := w.Receive(applicationtest.From("+1", "hi"))
	if len(got) != 1 || got[0].To != "+2" || got[0].Content != "+1: hi" || got[0].Endpoint() != "sms" {
		t.Errorf("got %q", applicationtest.Texts(got))
	}
}

func TestBadFiles(t *testing.T) {
	for yaml, want := range map[string]string{
		"":                                      "must have one of webhook, email and send",
		"webhook: {url: x}":                     `webhook.url: "x" is no address`,
		"webhook: {url: 'http://x', sercet: y}": `did you mean "secret"?`,
		"webhook: {url: 'http://x', secret: whsec_%}": "webhook.secret: is no base64",
		"email: {server: x, from: y, to: z}":          `email.server: is "x"`,
		"email: {server: 'x:25', from: a@b.example}":  "email.to: is missing",
		"send: {text: x}":                             "to is missing",
		"send: {to: '1'}\nwebhook: {url: 'http://x'}": "must have one of",
	} {
		if err := applicationtest.Configure(forward.New(), yaml); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gave %v, not %s", yaml, err, want)
		}
	}
}
