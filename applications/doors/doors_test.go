package doors_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/applications"
	"switchboard/applications/applicationtest"
	"switchboard/applications/doors"
	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/store/memory"
)

// reports are the events of a message in their usual order.
func reports(m *message.Message) []*message.Event {
	events := []*message.Event{
		message.NewAck(m, "smsc-7"), message.NewDeliveryReport(m, message.Pending), message.NewDeliveryReport(m, message.Delivered),
		message.NewDeliveryReport(m, message.Failed), message.NewNack(m, "no route"),
	}
	for _, e := range events {
		e.TransportName = "smpp_out"
		e.Timestamp = time.Date(2026, 11, 29, 22, 13, 1, 0, time.UTC)
	}
	return events
}

const (
	ack = iota
	pending
	delivered
	failed
	nack
)

const kannelYAML = `
users:
  tester: {password: foobar, from: "13013", send_via: smpp_out}
  other: {password: x, endpoint: bulk}
smscs: {SMSC1: smpp_out, SMSC2: smpp_two}
`

func TestKannelSends(t *testing.T) {
	w, at := start(t, doors.NewKannel(), kannelYAML)
	at += "/cgi-bin/sendsms"
	login := "?username=tester&password=foobar"
	for query, want := range map[string]string{
		"?username=tester&password=wrong&to=1&text=x":          "403 Authorization failed for sendsms",
		"?username=nobody&password=&to=1&text=x":               "403 Authorization failed for sendsms",
		login + "&text=x":                                      "400 Missing receiver number, rejected",
		login + "&to=abc&text=x":                               "400 Number(s) has/have been denied",
		login + "&to=1&text=x&smsc=SMSC9":                      "403 Not routable. Do not try again.",
		login + "&to=1&text=x&dlr-mask=64":                     "400 DLR-Mask field misformed, rejected",
		login + "&to=1&text=x&dlr-mask=31&dlr-url=ftp://x/":    "400 DLR-URL field misformed, rejected",
		login + "&to=1&text=x&udh=%05":                         "400 binary messages are not taken",
		login + "&to=1&text=x&coding=7":                        "400 Coding field misformed, rejected",
		login + "&to=1&text=x&charset=klingon":                 "400 Charset or body misformed, rejected",
		"?user=other&pass=x&to=1&text=x":                       "400 Sender missing and no global set, rejected",
		login + "&to=" + strings.Repeat("1+", 1001) + "&text=": "400 More than 1000 receivers",
		login + "&to=1&text=50%+off":                           `400 The request's fields cannot be read: invalid URL escape "%+o"`,
	} {
		answers(t, want, "GET", at+query, "")
	}
	sent := func(to, from, content string) *message.Message {
		t.Helper()
		m := w.Sent()
		if m.To != to || m.From != from || m.Content != content {
			t.Errorf("sent %s, not to %s from %s: %q", m.Encode(), to, from, content)
		}
		return m
	}
	// The user guide's own requests.
	answers(t, "202 0: Accepted for delivery", "GET", at+login+"&to=0123456&text=Hello+world", "")
	if m := sent("0123456", "13013", "Hello world"); m.TransportName != "smpp_out" || m.HelperMetadata.Text("account") != "tester" {
		t.Errorf("sent %s", m.Encode())
	}
	answers(t, "202 Sent.", "GET", at+login+"&from=555&to=%2B1+2+3&text=hi&smsc=SMSC2", "")
	for _, to := range []string{"+1", "2", "3"} {
		if m := sent(to, "555", "hi"); m.TransportName != "smpp_two" {
			t.Errorf("leaves by %s", m.TransportName)
		}
	}
	answers(t, "202 Sent. Denied receivers are: x", "GET", at+login+"&to=1+x&text=hi", "")
	sent("1", "13013", "hi")
	answers(t, "202 0:", "GET", at+login+"&to=1&coding=2&text="+url.QueryEscape(utf16BE("Привет")), "")
	sent("1", "13013", "Привет")
	answers(t, "202 0:", "GET", at+login+"&to=1&charset=ISO-8859-1&text=caf%E9", "")
	sent("1", "13013", "café")
	answers(t, "202 0:", "GET", at+login+"&to=1&text=yes;no", "")
	sent("1", "13013", "yes;no")
	answers(t, "202 0:", "POST", at, "user=other&pass=x&from=9&to=1&text=hi;+you")
	if m := sent("1", "9", "hi; you"); m.Endpoint() != "bulk" {
		t.Errorf("leaves by endpoint %s", m.Endpoint())
	}
	answers(t, "202 0:", "POST", at, "the text", "Content-Type", "text/plain", "X-Kannel-Username", "tester", "X-Kannel-Password", "foobar", "X-Kannel-To", "1")
	sent("1", "13013", "the text")
}

// failing takes some messages, and no more.
type failing int

func (f *failing) Send(context.Context, *message.Message) error {
	if *f--; *f < 0 {
		return errors.New("no broker")
	}
	return nil
}

// A client that is told who failed need not send to the others again.
func TestKannelFailsAfterSome(t *testing.T) {
	k := doors.NewKannel()
	if err := applicationtest.Configure(k, "web_host: 127.0.0.1\nweb_port: 0\n"+kannelYAML); err != nil {
		t.Fatal(err)
	}
	if err := k.Provision(t.Context(), applications.Env{State: memory.New(), Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), testutil.Patience)
	defer stop()
	ended, takes := make(chan error, 1), failing(1)
	go func() { ended <- k.Run(ctx, &takes) }()
	addr, err := k.Addr(ctx)
	if err != nil {
		t.Fatal(err)
	}
	request := "http://" + addr.String() + "/cgi-bin/sendsms?username=tester&password=foobar&to=1+2+3&text=x"
	answers(t, "500 Sending failed. Failed receivers are: 2 3", "GET", request, "")
	answers(t, "503 Temporal failure, try again later.", "GET", request, "")
	stop()
	if err := errors.Join(<-ended, k.Close()); err != nil {
		t.Error(err)
	}
}

func utf16BE(text string) string {
	var out []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		out = append(out, byte(unit>>8), byte(unit))
	}
	return string(out)
}

// RapidSMS's own dlr-url, with all that dlr-mask 31 asks for.
func TestKannelReports(t *testing.T) {
	program := newClient(t, "")
	w, at := start(t, doors.NewKannel(), kannelYAML)
	dlr := program.url + "/kannel/?message_id=42&status=%d&status_text=%A&smsc=%i&sms_id=%I&date_sent=%t&identity=%p&from=%P&smsc_id=%F&user=%n&meta=%D&unix=%T&percent=%%41"
	send := func(mask string) *message.Message {
		query := url.Values{
			"username": {"tester"}, "password": {"foobar"}, "to": {"27831234567"}, "text": {"hi"}, "dlr-mask": {mask}, "dlr-url": {dlr}, "meta-data": {"?smpp?a=b"},
		}
		answers(t, "202 0:", "GET", at+"/cgi-bin/sendsms?"+query.Encode(), "")
		return w.Sent()
	}
	m := send("31")
	events := reports(m)
	for _, c := range []struct {
		event  int
		status string
		text   string
	}{
		{ack, "8", "ACK/"},
		{pending, "4", "id:smsc-7 sub:001 dlvrd:000 submit date:2611292213 done date:2611292213 stat:ACCEPTD err:000 text:"},
		{delivered, "1", "id:smsc-7 sub:001 dlvrd:001 submit date:2611292213 done date:2611292213 stat:DELIVRD err:000 text:"},
	} {
		w.Report(events[c.event])
		program.next("the report").is(t, "message_id=42", "status="+c.status, "status_text="+c.text, "smsc=SMSC1", "date_sent=2026-11-29 22:13:01",
			"identity=27831234567", "from=13013", "smsc_id=smsc-7", "user=tester", "meta=?smpp?a=b", "unix=1795990381", "percent=A",
			"sms_id="+m.ID[:8]+"-"+m.ID[8:12]+"-"+m.ID[12:16]+"-"+m.ID[16:20]+"-"+m.ID[20:])
	}
	w.Report(message.NewAck(m, "smsc-7")) // comes late, and is no news
	refused := send("18")
	w.Report(reports(refused)[ack]) // not asked for
	w.Report(reports(refused)[nack])
	program.next("the refusal").is(t, "status=16", "status_text=NACK/no route")
	w.Report(reports(send("2"))[failed])
	program.next("the failure").is(t, "status=2")
	w.Report(reports(send("0"))[delivered])
	// A call that fails is a dead letter here, where nothing is tried again, and the next event's is made.
	again := send("31")
	program.status(http.StatusServiceUnavailable)
	w.Report(reports(again)[ack])
	program.next("the call that fails").is(t, "status=8")
	w.Report(reports(again)[delivered])
	program.next("the call after it").is(t, "status=1")
}

// A client's program that hangs holds up no other's calls.
func TestAHangingClientHoldsUpNoOther(t *testing.T) {
	program := newClient(t, "")
	var mu sync.Mutex
	calls, most := 0, 0
	timeout := make(chan struct{})
	failNow := sync.OnceFunc(func() { close(timeout) })
	hangs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		mu.Lock()
		calls++
		most = max(most, calls)
		mu.Unlock()
		select {
		case <-timeout:
		case <-q.Context().Done():
		}
		mu.Lock()
		calls--
		mu.Unlock()
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer hangs.Close()
	defer failNow()
	w, at := start(t, doors.NewKannel(), kannelYAML+"timeout: 10m\n")
	send := func(dlr string, people int) (sent []*message.Message) {
		var to []string
		for i := range people {
			to = append(to, fmt.Sprintf("2783%07d", i))
		}
		query := url.Values{"username": {"tester"}, "password": {"foobar"}, "to": {strings.Join(to, " ")}, "text": {"hi"}, "dlr-mask": {"1"}, "dlr-url": {dlr}}
		answers(t, "202 ", "POST", at+"/cgi-bin/sendsms", query.Encode())
		for range to {
			sent = append(sent, w.Sent())
		}
		return sent
	}
	for _, m := range send(hangs.URL+"/dlr", 300) {
		w.Report(reports(m)[delivered])
	}
	w.Report(reports(send(program.url+"/dlr", 1)[0])[delivered])
	program.next("the report of a client beside one that hangs")
	testutil.Eventually(t, "a hundred calls hang", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return calls == 100
	})
	failNow()
	testutil.Eventually(t, "the calls have failed", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return calls == 0
	})
	mu.Lock()
	defer mu.Unlock()
	if most != 100 {
		t.Errorf("the one that hangs had %d calls at once", most)
	}
}

func TestKannelService(t *testing.T) {
	program := newClient(t, "")
	w, _ := start(t, doors.NewKannel(), kannelYAML+"get_url: '"+program.url+"/sms?sender=%p&to=%P&text=%a&raw=%b&first=%k&second=%s&rest=%r&t=%t&q=%q&id=%I&c=%C&x=%z'\n")
	m := applicationtest.From("0027831234567", "join  the é club")
	m.TransportName = "smpp_two"
	say := func(kind, body string, want ...string) {
		t.Helper()
		program.answer <- func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write([]byte(body))
		}
		if got := applicationtest.Texts(w.Receive(m)); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s %q gave %q, not %q", kind, body, got, want)
		}
		program.next("the message").is(t, "sender=0027831234567", "to=8080", "text=join the é club", "raw=join  the é club", "first=join",
			"second=the", "rest=é club", "q=+27831234567", "c=UTF-8")
		m.ID = message.NewID()
	}
	say("text/plain", "welcome\n", "welcome")
	say("text/html; charset=utf-8", "<html><b>Tom &amp; you</b></html>", "Tom & you")
	say("text/plain", " ")
	say("image/png", "xx")
}

func TestTwilio(t *testing.T) {
	program := newClient(t, "")
	w, at := start(t, doors.NewTwilio(), "account_sid: AC123\nauth_token: '12345'\napi_keys: {SK1: key}\nsms_url: "+program.url+"/sms?a=1\nsend_via: sms")
	login := func(name, password string) []string {
		q := http.Request{Header: http.Header{}}
		q.SetBasicAuth(name, password)
		return []string{"Authorization", q.Header.Get("Authorization")}
	}
	own := login("AC123", "12345")
	messages := at + "/2010-04-01/Accounts/AC123/Messages"
	for body, want := range map[string]string{
		"From=%2B1&Body=x":                                    `400 {"code":21604`,
		"To=%2B1&Body=x":                                      `400 {"code":21603`,
		"To=%2B1&From=%2B2":                                   `400 {"code":21602`,
		"To=%2B1&From=%2B2&Body=x&MediaUrl=http://x":          `400 {"code":21620`,
		"To=%2B1&From=%2B2&Body=x&StatusCallback=x":           `400 {"code":21609`,
		"To=%2B1&From=%2B2&Body=" + strings.Repeat("x", 1601): `400 {"code":21617`,
	} {
		answers(t, want, "POST", messages+".json", body, own...)
	}
	for _, bad := range [][]string{login("AC123", "x"), login("SK1", "12345"), login("", ""), nil} {
		answers(t, `401 {"code":20003,"message":"Authenticate"`, "POST", messages+".json", "To=1&From=2&Body=x", bad...)
	}
	answers(t, "401 ", "POST", at+"/2010-04-01/Accounts/AC999/Messages.json", "To=1&From=2&Body=x", own...)
	answers(t, `404 {"code":20404`, "GET", messages+"/SMx.json", "", own...)

	send := func() *message.Message {
		t.Helper()
		body := "To=%2B15558675310&From=%2B15017122661&Body=McAvoy+or+Stewart%3F&StatusCallback=" + url.QueryEscape(program.url+"/status?id=7")
		var resource struct{ SID, Status, To, From, Body, Direction string }
		if err := json.Unmarshal([]byte(answers(t, "201 ", "POST", messages+".json", body, login("SK1", "key")...)), &resource); err != nil {
			t.Fatal(err)
		}
		m := w.Sent()
		if m.To != "+15558675310" || m.From != "+15017122661" || m.Content != "McAvoy or Stewart?" || m.TransportName != "sms" ||
			resource.SID != "SM"+m.ID || resource.Status != "queued" || resource.Body != m.Content || resource.Direction != "outbound-api" {
			t.Errorf("sent %s, answered %+v", m.Encode(), resource)
		}
		return m
	}
	status := func(m *message.Message, event *message.Event, want string, more ...string) {
		t.Helper()
		w.Report(event)
		call := program.next("the status callback")
		call.is(t, append(more, "MessageSid=SM"+m.ID, "SmsSid=SM"+m.ID, "MessageStatus="+want, "AccountSid=AC123", "To=+15558675310", "From=+15017122661")...)
		signed(t, program, call)
	}
	m := send()
	status(m, reports(m)[ack], "sent")
	w.Report(reports(m)[pending]) // no news
	status(m, reports(m)[delivered], "delivered", "ErrorCode=")
	m = send()
	status(m, reports(m)[failed], "undelivered", "ErrorCode=30008")
	m = send()
	status(m, reports(m)[nack], "failed", "ErrorCode=30008")
	m = send()
	status(m, message.NewNack(m, "blocked: +1 has opted out"), "failed", "ErrorCode=21610")
	testutil.Eventually(t, "the outcome to be remembered", func() bool {
		got := answers(t, "200 ", "GET", messages+"/SM"+m.ID+".json", "", own...)
		return strings.Contains(got, `"error_code":21610,`) && strings.Contains(got, `"status":"failed"`)
	})

	for twiml, want := range map[string][]string{
		"": nil, "<Response/>": nil, "<Response><Message>one</Message><Redirect>x</Redirect><Message><Body>two</Body></Message></Response>": {"one", "two"},
		"<Response><Sms>a &amp; b</Sms></Response>": {"a & b"},
	} {
		program.answer <- func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/xml")
			_, _ = w.Write([]byte(twiml))
		}
		in := applicationtest.From("+1", "héllo")
		if got := applicationtest.Texts(w.Receive(in)); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s gave %q, not %q", twiml, got, want)
		}
		call := program.next("the message")
		call.is(t, "MessageSid=SM"+in.ID, "From=+1", "To=8080", "Body=héllo", "AccountSid=AC123", "NumMedia=0")
		signed(t, program, call)
	}
	program.answer <- func(w http.ResponseWriter) { _, _ = w.Write([]byte(" \n")) } // text/plain
	if got := w.Receive(applicationtest.From("+1", "x")); len(got) > 0 {
		t.Errorf("blanks gave %q", applicationtest.Texts(got))
	}
	program.next("the message")
	var escaped strings.Builder
	_ = xml.EscapeText(&escaped, []byte(program.url+"/of-reply"))
	program.answer <- func(w http.ResponseWriter) {
		_, _ = fmt.Fprintf(w, `<?xml version="1.0"?><Response><Message statusCallback="%s">yes</Message></Response>`, escaped.String())
	}
	reply := w.Receive(applicationtest.From("+1", "x"))[0]
	program.next("the message")
	w.Report(reports(reply)[ack])
	program.next("the reply's callback").is(t, "MessageSid=SM"+reply.ID, "MessageStatus=sent")
	program.answer <- func(w http.ResponseWriter) { _, _ = w.Write([]byte("<?xml version='1.0'?><Response>")) }
	if got := w.Fails(applicationtest.From("+1", "x")); !strings.Contains(got, "no TwiML") {
		t.Errorf("failed with %q", got)
	}
}

// signed checks X-Twilio-Signature of a call; TestTwilioSignature has Twilio's own vectors.
func signed(t *testing.T, program *client, call called) {
	t.Helper()
	if want := doors.TwilioSignature("12345", program.url+call.URL.RequestURI(), call.form()); call.Header.Get("X-Twilio-Signature") != want {
		t.Errorf("the signature is %q, not %q", call.Header.Get("X-Twilio-Signature"), want)
	}
}

// Vectors of Twilio's own client libraries.
func TestTwilioSignature(t *testing.T) {
	fields := url.Values{"CallSid": {"CA1234567890ABCDE"}, "Caller": {"+14158675309"}, "Digits": {"1234"}, "From": {"+14158675309"}, "To": {"+18005551212"}}
	const address = "https://mycompany.com/myapp.php?foo=1&bar=2"
	if got := doors.TwilioSignature("12345", address, fields); got != "RSOYDt4T1cUTdK1PDd93/VVr8B8=" {
		t.Errorf("signed %q", got)
	}
	fields.Set("Reason", "Participant")
	fields.Set("ReasonConferenceEnded", "test")
	if got := doors.TwilioSignature("12345", address, fields); got != "vOEb5UThFn24KEfnOFLQY2AE5FY=" {
		t.Errorf("signed %q", got)
	}
}

const jasminYAML = "users: {foo: {password: bar, send_via: smpp_out, from: '1234'}}\n"

func TestJasmin(t *testing.T) {
	program := newClient(t, "ACK/Jasmin")
	w, at := start(t, doors.NewJasmin(), jasminYAML)
	login := "username=foo&password=bar&to=06222172"
	for query, want := range map[string]string{
		"":                                        `400 Error "Mandatory arguments not found`,
		"username=foo&password=bar&content=x":     `400 Error "Mandatory argument [to] is not found."`,
		login + "&content=x&foo=1":                `400 Error "Argument [foo] is unknown."`,
		login + "&content=x&dlr-level=4":          `400 Error "Argument [dlr-level] has an invalid value: [4]."`,
		login:                                     `400 Error "content or hex-content not present."`,
		login + "&content=x&hex-content=00":       `400 Error "content and hex-content cannot`,
		login + "&hex-content=zz":                 `400 Error "Invalid hex-content data: 'zz'"`,
		login + "&content=x&coding=4":             `400 Error "coding 4 is not taken`,
		"username=foo&password=no&to=1&content=x": `403 Error "Authentication failure for username:foo"`,
	} {
		answers(t, want, "GET", at+"/send?"+query, "")
	}
	answers(t, "200 Jasmin/PONG", "GET", at+"/ping", "")
	send := func(query string) *message.Message {
		t.Helper()
		got := answers(t, `200 Success "`, "GET", at+"/send?"+login+query, "")
		m := w.Sent()
		if m.To != "06222172" || m.From != "1234" || strings.ReplaceAll(got, "-", "") != `Success "`+m.ID+`"` || m.TransportName != "smpp_out" {
			t.Errorf("answered %s, sent %s", got, m.Encode())
		}
		return m
	}
	// The documentation's examples.
	for query, want := range map[string]string{
		"&content=Hello+world+%21":                             "Hello world !",
		"&coding=8&hex-content=0623063106460628":               "\u0623\u0631\u0646\u0628",
		"&coding=8&content=" + url.QueryEscape(utf16BE("ΩΜΔ")): "ΩΜΔ",
		"&coding=3&hex-content=636166e9":                       "café",
		"&content=caf%C3%A9&tags=1,702":                        "café",
	} {
		if m := send(query); m.Content != want {
			t.Errorf("%s sent %q, not %q", query, m.Content, want)
		}
	}
	answers(t, `200 Success "`, "POST", at+"/send", `{"to": 27831234567, "from": null, "username": "foo", "password": "bar", "content": "json", "dlr-level": 1}`, "Content-Type", "application/json")
	if m := w.Sent(); m.Content != "json" || m.To != "27831234567" || m.From != "1234" {
		t.Errorf("sent %s", m.Encode())
	}

	dlr := "&content=x&dlr=yes&dlr-url=" + url.QueryEscape(program.url+"/dlr")
	m := send(dlr + "&dlr-level=3&dlr-method=GET")
	w.Report(reports(m)[ack])
	call := program.next("the receipt")
	call.is(t, "level=1", "message_status=ESME_ROK", "connector=smpp_out")
	if id := call.form().Get("id"); call.Method != http.MethodGet || len(id) != 36 || strings.ReplaceAll(id, "-", "") != m.ID {
		t.Errorf("%s with id %q", call.Method, id)
	}
	w.Report(reports(m)[delivered])
	program.next("the receipt").is(t, "level=2", "message_status=DELIVRD", "id_smsc=smsc-7", "dlvrd=001", "sub=001", "donedate=2611292213", "err=000")
	m = send(dlr + "&dlr-level=2&dlr-method=POST")
	w.Report(reports(m)[ack]) // not asked for
	w.Report(reports(m)[failed])
	if call = program.next("the receipt"); call.Method != http.MethodPost {
		t.Errorf("called by %s", call.Method)
	}
	call.is(t, "level=2", "message_status=UNDELIV", "dlvrd=000")
	m = send(dlr) // level 1
	w.Report(reports(m)[delivered])
	w.Report(reports(send(dlr + "&dlr-level=2"))[nack])
	program.next("the refusal").is(t, "level=1", "message_status=ESME_RSUBMITFAIL")
}

// What is not acknowledged in Jasmin's words is tried again.
func TestJasminMO(t *testing.T) {
	program := newClient(t, "ACK/Jasmin\n")
	w, _ := start(t, doors.NewJasmin(), jasminYAML+"url: "+program.url)
	for content, want := range map[string]string{"hello": "0", "ΩΜΔ": "8"} {
		m := applicationtest.From("+1", content)
		w.Receive(m)
		call := program.next("the message")
		call.is(t, "from=+1", "to=8080", "coding="+want, "origin-connector="+m.TransportName)
		binary, _ := hex.DecodeString(call.form().Get("binary"))
		if got := call.form().Get("content"); got != string(binary) || got != map[string]string{"0": content, "8": utf16BE(content)}[want] {
			t.Errorf("got %q and %q", got, binary)
		}
	}
	program.answer <- func(w http.ResponseWriter) { _, _ = w.Write([]byte("OK")) }
	if got := w.Fails(applicationtest.From("a", "b")); !strings.Contains(got, "is not ACK/Jasmin") {
		t.Errorf("failed with %q", got)
	}
}

func TestJunebug(t *testing.T) {
	program := newClient(t, "")
	w, at := start(t, doors.NewJunebug(), `
channels:
  7c1de3: {type: smpp, label: An SMPP channel, transport: app, mo_url: `+strings.Replace(program.url, "//", "//me:hidden@", 1)+`/mo, mo_url_auth_token: secret, character_limit: 160}
  other: {}
web_path: /jb
web_username: ju
web_password: ne
`)
	q := http.Request{Header: http.Header{}}
	q.SetBasicAuth("ju", "ne")
	login := []string{"Authorization", q.Header.Get("Authorization")}
	at += "/jb"
	messages := at + "/channels/7c1de3/messages/"
	answers(t, `401 {"code":"Unauthorized"`, "GET", at+"/channels/", "")
	answers(t, `200 {"code":"OK","description":"health ok"`, "GET", at+"/health", "", login...)
	answers(t, `200 {"code":"OK","description":"channels listed","result":["7c1de3","other"],"status":200}`, "GET", at+"/channels/", "", login...)
	if got := answers(t, `200 {"code":"OK","description":"channel found"`, "GET", at+"/channels/7c1de3", "", login...); !strings.Contains(got, `"character_limit":160`) || strings.Contains(got, "hidden") {
		t.Errorf("the channel is %s", got)
	}
	answers(t, `404 {"code":"Not Found","description":"not found"`, "POST", at+"/channels/", `{"type": "telnet", "config": {}}`, login...)
	answers(t, `404 {"code":"Not Found","description":"channel not found","result":{"errors":[{"message":"Channel x not found"`, "POST", at+"/channels/x/messages/", `{}`, login...)
	for body, want := range map[string]string{
		"no json":                                `400 {"code":"Bad Request","description":"json decode error"`,
		`{"to": "+1"}`:                           `400 {"code":"Bad Request","description":"api usage error","result":{"errors":[{"message":"'content' is a required`,
		`{"content": "x"}`:                       `400 {"code":"Bad Request","description":"api usage error","result":{"errors":[{"message":"Either \"to\" or \"reply_to\"`,
		`{"content": "x", "to": "1", "more": 1}`: `400 {"code":"Bad Request","description":"api usage error"`,
		`{"content": "x", "to": "1", "event_url": "x"}`:                       `400 {"code":"Bad Request","description":"api usage error"`,
		`{"content": "x", "to": "1", "channel_data": {"session_event": "x"}}`: `400 {"code":"Bad Request","description":"api usage error"`,
		`{"content": "x", "reply_to": "x", "to": "1"}`:                        `404 {"code":"Not Found","description":"message not found"`,
	} {
		answers(t, want, "POST", messages, body, login...)
	}

	// The documentation's request, posted by a client that says it is a form.
	body := `{"to": "+26612345678", "from": "8110", "content": "hi", "event_url": "` + program.url + `/event", "event_auth_token": "et", "channel_data": {"continue_session": true, "session_event": "resume"}}`
	type result struct {
		Status int
		Result struct {
			MessageID string `json:"message_id"`
			ChannelID string `json:"channel_id"`
			To, From  string
			Data      struct {
				Session  string `json:"session_event"`
				Continue bool   `json:"continue_session"`
			} `json:"channel_data"`
			Last   string `json:"last_event_type"`
			Events []struct {
				Type string `json:"event_type"`
			}
		}
	}
	var got result
	if err := json.Unmarshal([]byte(answers(t, `201 {"code":"Created","description":"message submitted"`, "POST", messages, body,
		append(login, "Content-Type", "application/x-www-form-urlencoded")...)), &got); err != nil {
		t.Fatal(err)
	}
	m := w.Sent()
	if m.ID != got.Result.MessageID || m.To != "+26612345678" || m.From != "8110" || m.TransportName != "app" || m.SessionEvent != message.SessionResume ||
		got.Result.ChannelID != "7c1de3" || got.Result.Data.Session != "resume" || !got.Result.Data.Continue || m.HelperMetadata.Raw("continue_session") != "true" {
		t.Errorf("sent %s, answered %+v", m.Encode(), got)
	}
	events := reports(m)
	for _, c := range []struct {
		event int
		want  string
	}{{ack, "submitted"}, {pending, "delivery_pending"}, {delivered, "delivery_succeeded"}, {failed, "delivery_failed"}, {nack, "rejected"}} {
		w.Report(events[c.event])
		call := program.next("the event")
		var news map[string]any
		if err := json.Unmarshal([]byte(call.body), &news); err != nil || news["event_type"] != c.want || news["message_id"] != m.ID ||
			news["channel_id"] != "7c1de3" || call.Header.Get("Authorization") != "Token et" || call.URL.Path != "/event" {
			t.Errorf("%s %s, %v", call.URL, call.body, err)
		}
		if c.event == nack && fmt.Sprint(news["event_details"]) != "map[reason:no route]" {
			t.Errorf("the details are %v", news["event_details"])
		}
	}
	in := applicationtest.From("+1", "hello")
	in.SessionEvent = message.SessionNew
	w.Receive(in)
	call := program.next("the message")
	var news map[string]any
	if err := json.Unmarshal([]byte(call.body), &news); err != nil || news["content"] != "hello" || news["from"] != "+1" || news["to"] != "8080" ||
		news["channel_id"] != "7c1de3" || fmt.Sprint(news["channel_data"]) != "map[session_event:new]" || call.Header.Get("Authorization") != "Token secret" {
		t.Errorf("%s, %v", call.body, err)
	}
	testutil.Eventually(t, "five events to be remembered", func() bool {
		if err := json.Unmarshal([]byte(answers(t, "200 ", "GET", messages+m.ID, "", login...)), &got); err != nil {
			t.Fatal(err)
		}
		return len(got.Result.Events) == 5 && got.Result.Last == "rejected"
	})
	answers(t, `201 {`, "POST", messages, `{"reply_to": "`+in.ID+`", "content": "bye", "channel_data": {"session_event": "close"}}`, login...)
	if reply := w.Sent(); reply.InReplyTo != in.ID || reply.To != "+1" || reply.SessionEvent != message.SessionClose {
		t.Errorf("replied %s", reply.Encode())
	}
	answers(t, `404 {"code":"Not Found","description":"message not found"`, "POST", at+"/channels/other/messages/", `{"reply_to": "`+in.ID+`", "content": "bye"}`, login...)
	in.TransportName, in.ID = "unknown", message.NewID()
	if got := w.Fails(in); !strings.Contains(got, "no channel has the transport unknown") {
		t.Errorf("failed with %q", got)
	}
}

func TestRapidPro(t *testing.T) {
	rapidpro := newClient(t, `{"message": "Message Accepted"}`)
	w, at := start(t, doors.NewRapidPro(), "url: "+rapidpro.url+"/c/ex/8eb23e93/\nauthorization: Token abc\nsend_via: sms")
	login := []string{"Authorization", "Token abc"}
	answers(t, "403 ", "POST", at+"/", "id=1&to=2")
	answers(t, "400 id and to", "POST", at+"/", "id=1", login...)
	answers(t, "400 The request is no JSON object", "POST", at+"/", "{", append(login, "Content-Type", "application/json")...)
	send := func(method, query, body string, header ...string) *message.Message {
		t.Helper()
		answers(t, `200 {"message_id":`, method, at+"/"+query, body, append(login, header...)...)
		m := w.Sent()
		if m.To != "+250788383383" || m.From != "+5080" || m.Content != "Hi there" || m.TransportName != "sms" {
			t.Errorf("sent %s", m.Encode())
		}
		return m
	}
	// The default body of the channel, and the same as JSON and as a query.
	fields := "id=4&text=Hi+there&to=%2B250788383383&to_no_plus=250788383383&from=%2B5080&from_no_plus=5080&channel=526"
	m := send("POST", "", fields)
	tell := func(e *message.Event, want ...string) {
		t.Helper()
		w.Report(e)
		for _, word := range want {
			call := rapidpro.next(word)
			if call.URL.Path != "/c/ex/8eb23e93/"+word {
				t.Errorf("%s was called, not %s", call.URL.Path, word)
			}
			if call.is(t, map[bool]string{true: "from=+250788383383", false: "id=4"}[word == "stopped"]); call.Method != http.MethodPost {
				t.Errorf("called by %s", call.Method)
			}
		}
	}
	tell(reports(m)[ack], "sent")
	tell(reports(m)[pending])
	tell(reports(m)[delivered], "delivered")
	tell(reports(send("GET", "?"+fields, ""))[failed], "failed")
	m = send("PUT", "", `{"id": 4, "text": "Hi there", "to": "+250788383383", "from": "+5080"}`, "Content-Type", "application/json")
	tell(message.NewNack(m, "blocked: opted out"), "failed", "stopped")
	in := applicationtest.From("+1", "hello")
	w.Receive(in)
	call := rapidpro.next("the message")
	call.is(t, "from=+1", "text=hello")
	if at, err := time.Parse(time.RFC3339, call.form().Get("date")); err != nil || !at.Equal(in.Timestamp) || call.URL.Path != "/c/ex/8eb23e93/receive" {
		t.Errorf("%s, date %s, %v", call.URL, at, err)
	}
}

func TestRapidSMSHTTP(t *testing.T) {
	rapidsms := newClient(t, "OK")
	w, at := start(t, doors.NewRapidSMSHTTP(), "url: "+rapidsms.url+"/backend/http/\nfrom: '8080'\nsend_via: sms\nweb_username: r\nweb_password: s")
	login := []string{"Authorization", "Basic cjpz"}
	answers(t, "401 ", "POST", at+"/", "identity=1&text=x")
	answers(t, "400 form failed to validate", "POST", at+"/", "identity=1", login...)
	answers(t, "405 ", "PUT", at+"/", "identity=1&text=x", login...)
	answers(t, "200 OK", "POST", at+"/", "identity=%2B1&text=hi", login...)
	if m := w.Sent(); m.To != "+1" || m.From != "8080" || m.Content != "hi" || m.TransportName != "sms" {
		t.Errorf("sent %s", m.Encode())
	}
	w.Receive(applicationtest.From("+1", "hello"))
	rapidsms.next("the message").is(t, "identity=+1", "text=hello")
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		fresh func() applications.Application
		files map[string]string
	}{
		{func() applications.Application { return doors.NewKannel() }, map[string]string{
			"": "users: is missing", "users: {a: {}}": "users.a.password: is missing", "users: {a: {password: b}}\nget_url: x": "get_url: ",
			"users: {a: {password: b}}\nsendsms_url: x": "sendsms_url: is", "sendsms_url: /a//b": "sendsms_url: is",
		}},
		{func() applications.Application { return doors.NewTwilio() }, map[string]string{
			"": "account_sid: is missing", "account_sid: a": "auth_token: is missing", "sms_url: x": "sms_url: ", "api_keys: {SK1: ''}": "api_keys.SK1: is empty",
		}},
		{func() applications.Application { return doors.NewJasmin() }, map[string]string{"": "users: is missing", "method: EAT": "method: is", "url: x": "url: "}},
		{func() applications.Application { return doors.NewJunebug() }, map[string]string{
			"": "channels: is missing", "channels: {a: {mo_url: x}}": "channels.a.mo_url: ", "inbound_message_ttl: 0": "inbound_message_ttl: must", "web_path: '{x}'": "web_path: is",
			"web_username: a": "web_username: and web_password go together", "web_password: a": "web_username: and web_password go together",
		}},
		{func() applications.Application { return doors.NewRapidPro() }, map[string]string{"": "url: ", "url: 'http://x'\nremember_for: 0": "remember_for: must"}},
		{func() applications.Application { return doors.NewRapidSMSHTTP() }, map[string]string{"": "url: ", "url: 'http://x'\ntext_name: ''": "identity_name: must", "web_username: a": "web_username: and web_password"}},
	} {
		refuses(t, c.fresh, c.files)
	}
	for _, open := range []applications.Linter{doors.NewJunebug(), doors.NewRapidPro(), doors.NewRapidSMSHTTP()} {
		if open.Lint() == nil {
			t.Errorf("%T: nobody is warned that anybody may send", open)
		}
	}
}
