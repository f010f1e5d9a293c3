package http_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/transports/http"
)

// Africa's Talking hands out what follows the message that it is told.
func TestAfricasTalkingPolled(t *testing.T) {
	b := unprovisioned("africastalking", map[string]string{"username": "app", "api_url": "PROVIDER"}, map[string]options.Secret{"api_key": "k3y-of-africa"})
	b.provider.answersWith(func(a asked) (int, map[string]string, string) {
		if a.Path != "/version1/messaging" || a.Header.Get("Apikey") != "k3y-of-africa" || !strings.Contains(a.RawQuery, "username=app") {
			return 401, nil, ""
		}
		for _, id := range []string{"15071", "15070"} {
			if strings.Contains(a.RawQuery, "lastReceivedId="+id) {
				return 200, nil, `{"SMSMessageData":{"Messages":[]}}`
			}
		}
		return 200, nil, `{"SMSMessageData":{"Messages":[
			{"linkId":"SampleLinkId","text":"hello","to":"28901","id":15070,"date":"2018-03-19T08:34:18.445Z","from":"+254711XXXYYY"},
			{"linkId":null,"text":"again","to":"28901","id":15071,"date":"2018-03-19T08:34:18Z","from":"+254711XXXYYY"}]}}`
	})
	b.Provider = writeDescription(t, strings.ReplaceAll(presetText(t, "africastalking"), "every: 10s", "every: 20ms"))
	b.Poll, b.WebPort = true, nil
	b.run(t)
	for i, want := range []string{"hello", "again"} {
		m := b.Next(t)
		if m.Content != want || m.To != "28901" || m.TransportMetadata.Text("external_id") != fmt.Sprint(15070+i) {
			t.Errorf("received %s", m.Encode())
		}
	}
	if a := b.provider.next(t); !strings.Contains(a.RawQuery, "lastReceivedId=0") {
		t.Errorf("asked %s first", a.RawQuery)
	}
	if a := b.provider.next(t); !strings.Contains(a.RawQuery, "lastReceivedId=15071") {
		t.Errorf("asked %s then", a.RawQuery)
	}
}

// Infobip is asked for messages and for reports; it gives each once.
func TestInfobipPolled(t *testing.T) {
	b := unprovisioned("infobip", map[string]string{"base_url": "PROVIDER"}, map[string]options.Secret{"api_key": "k3y-of-infobip"})
	m := outbound("hello")
	var inbox, reports, sent atomic.Int64
	b.provider.answersWith(func(a asked) (int, map[string]string, string) {
		switch {
		case a.Header.Get("Authorization") != "App k3y-of-infobip":
			return 401, nil, ""
		case a.Path == "/sms/3/messages":
			sent.Add(1)
			return 200, nil, `{"messages":[{"messageId":"` + m.ID + `","destination":"27831234567","status":{"groupId":1,"name":"PENDING_ACCEPTED"}}]}`
		case a.Path == "/sms/1/inbox/reports" && inbox.Add(1) == 1:
			return 200, nil, `{"results":[{"messageId":"817790313235066447","from":"385916242493","to":"385921004026","text":"QUIZ Correct answer is Paris","receivedAt":"2016-10-06T09:28:39.220+0000"}],"messageCount":1}`
		case a.Path == "/sms/3/reports" && sent.Load() == 1 && reports.Add(1) == 1:
			return 200, nil, `{"results":[{"bulkId":"B","messageId":"` + m.ID + `","to":"27831234567","doneAt":"2019-11-09T16:00:00.000+0000","status":{"groupId":3,"groupName":"DELIVERED","id":5,"name":"DELIVERED_TO_HANDSET"},"error":{"groupId":0,"id":0,"name":"NO_ERROR"}}]}`
		}
		return 200, nil, `{"results":[]}`
	})
	file := writeDescription(t, strings.ReplaceAll(presetText(t, "infobip"), "every: 10s", "every: 20ms"))
	b.Provider, b.Poll, b.WebPort = file, true, nil
	b.run(t)
	if m := b.Next(t); m.Content != "QUIZ Correct answer is Paris" || m.From != "385916242493" {
		t.Errorf("received %s", m.Encode())
	}
	b.sends(t, m)
	if e := b.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != message.Delivered {
		t.Errorf("reported %s", e.Encode())
	}
}

func presetText(t *testing.T, name string) string {
	t.Helper()
	text, err := http.Text(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeDescription(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "description.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// MessageBird fetches the URL that it was given, signed with its query.
func TestMessageBirdReceipts(t *testing.T) {
	b := unprovisioned("messagebird", map[string]string{"api_url": "PROVIDER"}, map[string]options.Secret{"access_key": "acc3ss-key", "signing_key": "signing-key"})
	b.PublicURL, b.now = public, signedAt
	b.run(t)
	b.provider.answers(201, nil, `{"id":"MBO","recipients":{"items":[{"recipient":27831234567,"status":"sent"}]}}`)
	m := outbound("hello")
	b.sends(t, m)
	for _, c := range []struct {
		fields []string
		want   reported
	}{
		{[]string{"status", "buffered"}, pending},
		{[]string{"status", "delivery_failed", "statusErrorCode", "103"}, failed("103")},
		{[]string{"status", "delivered"}, delivered},
	} {
		path := "/receipts?" + form(append(c.fields, "id", "MBO", "reference", m.ID, "recipient", "27831234567", "statusDatetime", "2023-11-14T22:13:20+00:00")...)
		for range 2 {
			if status, answer := b.call(t, "GET", path, "", "", "MessageBird-Signature-JWT", birdJWT("signing-key", public+path, "")); status != 200 || answer != "OK" {
				t.Fatalf("%s: answered %d %q", path, status, answer)
			}
		}
		e := b.NextEvent(t)
		extra := e.Extra()
		if (reported{e.DeliveryStatus, extra.Text("failure_code")}) != c.want || e.MessageID != m.ID {
			t.Errorf("%s: reported %s", path, e.Encode())
		}
	}
	if status, _ := b.call(t, "GET", "/receipts?id=MBO&status=delivered", "", ""); status != 403 {
		t.Errorf("answered %d without a signature", status)
	}
	if n := b.events.Load(); n != 3 {
		t.Errorf("%d events were reported, want 3", n)
	}
}

const xmlDescription = `about: a provider of XML
options: {send_url: {about: where}}
receive:
  - path: /
    read: xml
    messages:
      - each: messages.message[]
        id: it["@id"]
        from: it.from
        to: it.to
        text: it.text
    answer: {type: text/xml, body: <ok/>}
    error: {type: text/xml, body: '="<error>" + xml_escape(reason) + "</error>"'}
send:
  url: "{send_url}"
  type: text/xml
  body: '="<send><to>" + xml_escape(to) + "</to><text>" + xml_escape(content) + "</text></send>"'
  id: body.answer["@id"]
`

func TestXMLBothWays(t *testing.T) {
	b := unprovisioned(writeDescription(t, xmlDescription), map[string]string{"send_url": "PROVIDER/send"}, nil)
	b.run(t)
	body := `<?xml version="1.0"?><messages><message id="1"><from>2783</from><to>1001</to><text>a &lt; b</text></message>` +
		`<message id="2"><from>2784</from><to>1001</to><text><![CDATA[two]]></text></message></messages>`
	for range 2 {
		if status, answer := b.call(t, "POST", "/", "text/xml", body); status != 200 || answer != "<ok/>" {
			t.Fatalf("answered %d %q", status, answer)
		}
	}
	for _, want := range []received{{"2783", "1001", "a < b", "1"}, {"2784", "1001", "two", "2"}} {
		m := b.Next(t)
		if got := (received{m.From, m.To, m.Content, m.TransportMetadata.Text("external_id")}); got != want {
			t.Errorf("received %+v, want %+v", got, want)
		}
	}
	b.provider.answers(200, map[string]string{"Content-Type": "text/xml"}, `<answer id="X9"/>`)
	if id := b.sends(t, outbound("a < b & c")); id != "X9" {
		t.Errorf("the id is %q", id)
	}
	if a := b.provider.next(t); a.Body != "<send><to>+27831234567</to><text>a &lt; b &amp; c</text></send>" {
		t.Errorf("sent %s", a.Body)
	}
	for what, bad := range map[string]string{
		"a DTD":               `<!DOCTYPE m [<!ENTITY a "x"><!ENTITY b "&a;&a;&a;&a;">]><messages><message id="3"><from>&b;</from></message></messages>`,
		"an entity of nobody": `<messages><message id="3"><from>&file;</from></message></messages>`,
		"deep XML":            strings.Repeat("<a>", 100_000),
		"no end":              `<messages>`,
	} {
		if status, answer := b.call(t, "POST", "/", "text/xml", bad); status != 400 || !strings.HasPrefix(answer, "<error>") {
			t.Errorf("%s: answered %d %q", what, status, answer)
		}
	}
	if n := b.received.Load(); n != 2 {
		t.Errorf("%d messages were received, want 2", n)
	}
}

// A body that does not come holds its request for a while alone.
func TestSlowBodies(t *testing.T) {
	b := startGeneric(t, func(tr *http.Transport) { tr.Hurry(200 * time.Millisecond) })
	addr, err := b.Addr(within(t))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = fmt.Fprintf(conn, "POST /messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", bearer)
	_ = conn.SetReadDeadline(time.Now().Add(transportPatience))
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("answered %q, %v", answer, err)
	}
}

// relay is an HTTP proxy (RFC 9110 §9.3.6).
func relay(t *testing.T) (address string, asked *atomic.Int64) {
	asked = new(atomic.Int64)
	server := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, q *nethttp.Request) {
		asked.Add(1)
		if q.Method != nethttp.MethodConnect {
			q.RequestURI = ""
			answer, err := nethttp.DefaultTransport.RoundTrip(q)
			if err != nil {
				nethttp.Error(w, err.Error(), nethttp.StatusBadGateway)
				return
			}
			defer func() { _ = answer.Body.Close() }()
			w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
			w.WriteHeader(answer.StatusCode)
			_, _ = io.Copy(w, answer.Body)
			return
		}
		there, err := net.Dial("tcp", q.Host)
		if err != nil {
			nethttp.Error(w, err.Error(), nethttp.StatusBadGateway)
			return
		}
		here, _, err := nethttp.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); _ = there.Close() }()
		go func() { _, _ = io.Copy(here, there); _ = here.Close() }()
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

func TestThroughAProxy(t *testing.T) {
	secure := httptest.NewTLSServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		w.Header().Set("Content-Type", jsonType)
		_, _ = io.WriteString(w, `{"id":"p-1"}`)
	}))
	t.Cleanup(secure.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, url := range map[string]string{"http": "PROVIDER/send", "https": secure.URL} {
		proxy, asked := relay(t)
		b := start(t, "generic_json", map[string]string{"send_url": url}, nil, func(tr *http.Transport) { tr.Proxy, tr.TLSCA = proxy, ca })
		if id := b.sends(t, outbound("hello")); id != "p-1" || asked.Load() == 0 {
			t.Errorf("%s: sent as %q, %d requests through the proxy", name, id, asked.Load())
		}
	}
}

// A part whose request had no answer is proved sent by a receipt with an id that no
// other part has; what follows it is sent then.
func TestAPartWithoutAnAnswer(t *testing.T) {
	b := start(t, "twilio", map[string]string{"account_sid": "AC1", "api_url": "PROVIDER"}, map[string]options.Secret{"auth_token": "12345"}, func(tr *http.Transport) {
		tr.PublicURL, tr.UnknownWait = public, options.Duration(time.Hour)
	})
	m := outbound(strings.Repeat("x", 3500))
	var n atomic.Int64
	b.provider.answersWith(func(asked) (int, map[string]string, string) {
		part := n.Add(1)
		if part == 2 {
			panic(nethttp.ErrAbortHandler) // closes the connection
		}
		return 201, nil, fmt.Sprintf(`{"sid":"SM%d"}`, part)
	})
	_, err := b.Send(within(t), m)
	if err == nil || message.IsPermanent(err) || !strings.Contains(err.Error(), "unknown") {
		t.Fatalf("got %v", err)
	}
	callback := b.provider.next(t).Form.Get("StatusCallback")
	receipt := func(sid string) {
		body := form("MessageSid", sid, "MessageStatus", "sent")
		if status, _ := b.call(t, "POST", strings.TrimPrefix(callback, public), formType, body, "X-Twilio-Signature", twilioSign("12345", callback, body)); status != 200 {
			t.Fatalf("answered %d", status)
		}
		b.NextEvent(t)
	}
	receipt("SM1")
	if _, err := b.SendAgain(within(t), m); err == nil || message.IsPermanent(err) {
		t.Errorf("the first part's receipt proves nothing of the second: %v", err)
	}
	receipt("SM2")
	if id, err := b.SendAgain(within(t), m); err != nil || id != "SM1" {
		t.Errorf("sent as %q, %v", id, err)
	}
	if n.Load() != 3 {
		t.Errorf("%d requests were made, want 3", n.Load())
	}
}
