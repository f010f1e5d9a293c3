package http_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	nethttp "net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/store/memory"
	"switchboard/transports"
	"switchboard/transports/http"
	"switchboard/transports/transporttest"
)

// The signatures that Twilio, Vonage and Plivo document.
func TestSignatureVectors(t *testing.T) {
	twilio := func(tr *http.Transport) { tr.PublicURL = "https://mycompany.com/myapp.php" }
	fields := []string{"CallSid", "CA1234567890ABCDE", "Caller", "+14158675309", "Digits", "1234", "From", "+14158675309", "To", "+18005551212"}
	b := start(t, "twilio", map[string]string{"account_sid": "AC1"}, map[string]options.Secret{"auth_token": "12345"}, twilio)
	for _, c := range []struct{ body, signature string }{
		{form(fields...), "RSOYDt4T1cUTdK1PDd93/VVr8B8="},
		{form(append(fields, "Reason", "Participant", "ReasonConferenceEnded", "test")...), "vOEb5UThFn24KEfnOFLQY2AE5FY="},
	} {
		if status, answer := b.call(t, "POST", "/?foo=1&bar=2", formType, c.body, "X-Twilio-Signature", c.signature); status != 200 {
			t.Errorf("answered %d %q", status, answer)
		}
	}
	// Nobody's message: past the signature.
	hash := "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
	if status, _ := b.call(t, "POST", "/?foo=1&bar=2&bodySHA256="+hash, jsonType, `{"property": "value", "boolean": true}`, "X-Twilio-Signature", "a9nBmqA0ju/hNViExpshrM61xv4="); status != 400 {
		t.Errorf("the signature of a body's hash is refused: %d", status)
	}
	if status, _ := b.call(t, "POST", "/?foo=1&bar=2&bodySHA256="+hash, jsonType, `{"property": "value", "boolean": false}`, "X-Twilio-Signature", "a9nBmqA0ju/hNViExpshrM61xv4="); status != 403 {
		t.Errorf("another body is taken: %d", status)
	}
}

func TestVonageSignatureVectors(t *testing.T) {
	for method, signature := range map[string]string{
		"sha256": "280c4320703dbc98bfa22db676655ed2acfbfe8792b062ff7622e67f1183c287", "md5": "724c2bf6ca423c36e20631b11d1c5753",
		"md5hash": "D72F75AC8CDA9BBCE891C4FA62BEE6CD",
	} {
		text := "&param1=value1&param2=value2&timestamp=1234567890"
		got, err := http.Digest(method, "signature_secret", text)
		if err != nil || got != strings.ToLower(signature) {
			t.Errorf("%s: %s, %v, want %s", method, got, err, signature)
		}
	}
}

func TestPlivoSignatureVector(t *testing.T) {
	if got := macBase64("my_auth_token", "https://answer.url"+"12345"); got != "ehV3IKhLysWBxC1sy8INm0qGoQYdYsHwuoKjsX7FsXc=" {
		t.Errorf("got %s", got)
	}
	b := start(t, "plivo", map[string]string{"auth_id": "MA1"}, map[string]options.Secret{"auth_token": "my_auth_token"}, func(tr *http.Transport) { tr.PublicURL = "https://answer.url" })
	status, answer := b.call(t, "POST", "/?any=query", formType, plivoBody, "X-Plivo-Signature-V2", "ehV3IKhLysWBxC1sy8INm0qGoQYdYsHwuoKjsX7FsXc=", "X-Plivo-Signature-V2-Nonce", "12345")
	if status != 200 {
		t.Errorf("answered %d %q", status, answer)
	}
}

func TestTwilioReceipts(t *testing.T) {
	b := start(t, "twilio", map[string]string{"account_sid": "AC1", "api_url": "PROVIDER"}, map[string]options.Secret{"auth_token": "12345"},
		func(tr *http.Transport) { tr.PublicURL = public })
	b.provider.answers(201, nil, `{"sid":"SM9"}`)
	m := outbound("hello")
	b.sends(t, m)
	callback := b.provider.next(t).Form.Get("StatusCallback")
	for _, c := range []struct {
		word, code string
		want       reported
	}{{"sent", "", pending}, {"undelivered", "30005", failed("30005")}, {"delivered", "", delivered}} {
		body := form("MessageSid", "SM9", "MessageStatus", c.word, "ErrorCode", c.code)
		for range 2 {
			status, answer := b.call(t, "POST", strings.TrimPrefix(callback, public), formType, body, "X-Twilio-Signature", twilioSign("12345", callback, body))
			if status != 200 || answer != "<Response/>" {
				t.Fatalf("answered %d %q", status, answer)
			}
		}
		e := b.NextEvent(t)
		extra := e.Extra()
		if (reported{e.DeliveryStatus, extra.Text("failure_code")}) != c.want || e.MessageID != m.ID {
			t.Errorf("reported %s", e.Encode())
		}
		if c.code != "" && extra.Text("failure_reason") != "The number does not exist any more. Take it off the list." {
			t.Errorf("the reason is %q", extra.Text("failure_reason"))
		}
	}
}

// A text that is too long for one request is several, with an id each; it is
// delivered when all of them are.
func TestALongTextIsSplit(t *testing.T) {
	b := start(t, "twilio", map[string]string{"account_sid": "AC1", "api_url": "PROVIDER"}, map[string]options.Secret{"auth_token": "12345"})
	n, failing := 0, true
	b.provider.answersWith(func(a asked) (int, map[string]string, string) {
		if n == 1 && failing {
			failing = false
			return 503, nil, ""
		}
		n++
		return 201, nil, fmt.Sprintf(`{"sid":"SM%d"}`, n)
	})
	text := strings.Repeat("word ", 700)
	m := outbound(text)
	if _, err := b.Send(within(t), m); err == nil || message.IsPermanent(err) {
		t.Fatalf("the second part failed: %v", err)
	}
	if id, err := b.SendAgain(within(t), m); err != nil || id != "SM1" {
		t.Fatalf("got %q, %v", id, err)
	}
	var sent string
	for i := range 4 {
		if part := b.provider.next(t).Form.Get("Body"); i != 1 { // that one failed, and is the next one again
			sent += part
		}
	}
	if sent != text {
		t.Errorf("%d characters were sent, want %d, each once", len(sent), len(text))
	}
	for i, id := range []string{"SM2", "SM1", "SM3"} {
		body := form("MessageSid", id, "MessageStatus", "delivered")
		b.call(t, "POST", "/receipts", formType, body, "X-Twilio-Signature", twilioSign("12345", b.base(t)+"/receipts", body))
		if events := b.events.Load(); (events == 1) != (i == 2) {
			t.Errorf("after %s there are %d reports", id, events)
		}
	}
	if e := b.NextEvent(t); e.DeliveryStatus != message.Delivered || e.MessageID != m.ID {
		t.Errorf("reported %s", e.Encode())
	}
}

// The attempts of a broadcast at a message share its identifier; each is sent, and
// reported on.
func TestEachAttemptIsSent(t *testing.T) {
	b := start(t, "twilio", map[string]string{"account_sid": "AC1", "api_url": "PROVIDER"}, map[string]options.Secret{"auth_token": "12345"})
	n := 0
	b.provider.answersWith(func(asked) (int, map[string]string, string) {
		n++
		return 201, nil, fmt.Sprintf(`{"sid":"SM%d"}`, n)
	})
	first := outbound(strings.Repeat("word ", 400))
	second := first.Clone()
	store.SetAttempt(second, 2)
	reported := map[string]bool{}
	for i, m := range []*message.Message{first, second} {
		if id, want := b.sends(t, m), fmt.Sprintf("SM%d", 2*i+1); id != want {
			t.Errorf("attempt %d was sent as %q, want %q", i+1, id, want)
		}
		for part := 1; part <= 2; part++ {
			body := form("MessageSid", fmt.Sprintf("SM%d", 2*i+part), "MessageStatus", "delivered")
			b.call(t, "POST", "/receipts", formType, body, "X-Twilio-Signature", twilioSign("12345", b.base(t)+"/receipts", body))
			if got, want := b.events.Load(), int64(i+part/2); got != want {
				t.Errorf("attempt %d: after part %d there are %d reports, want %d", i+1, part, got, want)
			}
		}
		e := b.NextEvent(t)
		if e.MessageID != first.ID || store.AttemptOf(e) != store.Attempt(m) {
			t.Errorf("attempt %d: reported %s", i+1, e.Encode())
		}
		reported[e.ID] = true
	}
	if len(reported) != 2 {
		t.Error("the reports on two attempts are copies of one")
	}
}

// A receipt that brings our own identifier says which attempt it is about.
func TestOurIdentifierIsTheAttempts(t *testing.T) {
	b := startGeneric(t)
	m := outbound("hello")
	for attempt := 1; attempt <= 2; attempt++ {
		store.SetAttempt(m, attempt)
		b.sends(t, m)
		id := fmt.Sprint(b.provider.next(t).json(t)["id"])
		b.call(t, "POST", "/receipts", jsonType, `{"message_id":"`+id+`","status":"failed"}`, "Authorization", bearer)
		if e := b.NextEvent(t); e.MessageID != m.ID || store.AttemptOf(e) != attempt {
			t.Errorf("attempt %d: reported %s", attempt, e.Encode())
		}
	}
}

func (b *bundle) base(t *testing.T) string {
	t.Helper()
	addr, err := b.Addr(within(t))
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + addr.String()
}

// Many people in one request have a result each.
func TestAResultForEach(t *testing.T) {
	b := start(t, "africastalking", map[string]string{"username": "me", "api_url": "PROVIDER"}, map[string]options.Secret{"api_key": "k3y-of-at"})
	b.provider.answers(201, nil, `{"SMSMessageData":{"Message":"","Recipients":[
		{"statusCode":403,"number":"+254700000003","status":"InvalidPhoneNumber"},
		{"statusCode":101,"number":"+254700000001","status":"Success","messageId":"AT1"},
		{"statusCode":406,"number":"+254700000002","status":"UserInBlacklist"}]}}`)
	var all []*message.Message
	for i := 1; i <= 4; i++ {
		m := outbound("hello")
		m.To = fmt.Sprintf("+25470000000%d", i)
		all = append(all, m)
	}
	results := b.SendMany(within(t), all)
	if to := b.provider.next(t).Form.Get("to"); to != "+254700000001,+254700000002,+254700000003,+254700000004" {
		t.Errorf("sent to %q", to)
	}
	check := func(i int, r transports.Result, ok bool) {
		if !ok {
			t.Errorf("person %d: %q, %v", i, r.ProviderID, r.Err)
		}
	}
	check(1, results[0], results[0].Err == nil && results[0].ProviderID == "AT1")
	_, told := message.DiscardReason(results[1].Err)
	check(2, results[1], told && strings.Contains(results[1].Err.Error(), "406"))
	check(3, results[2], message.IsPermanent(results[2].Err))
	check(4, results[3], results[3].Err != nil && strings.Contains(results[3].Err.Error(), "unknown"))
}

// The phone fetches what waits; a message is done with when the phone has it.
func TestThePhoneFetches(t *testing.T) {
	b := start(t, "smssync", nil, map[string]options.Secret{"secret": "ph0ne-secret"})
	m := outbound("hello")
	done := make(chan error, 1)
	go func() {
		_, err := b.Send(within(t), m)
		done <- err
	}()
	want := `{"payload":{"messages":[{"message":"hello","to":"+27831234567","uuid":"` + m.ID + `"}],"secret":"ph0ne-secret","task":"send"}}`
	for end := time.Now().Add(transportPatience); ; {
		_, answer := b.call(t, "GET", "/?task=send&secret=ph0ne-secret", "", "")
		if answer == want {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the phone fetched %s", answer)
		}
	}
	if _, answer := b.call(t, "GET", "/?task=send&secret=wrong", "", ""); strings.Contains(answer, "hello") {
		t.Errorf("a stranger fetched %s", answer)
	}
	select {
	case err := <-done:
		t.Fatalf("it is done with (%v) before the phone said that it has it", err)
	default:
	}
	sent := `{"queued_messages":["` + m.ID + `","unknown"]}`
	if _, answer := b.call(t, "POST", "/?task=sent&secret=ph0ne-secret", jsonType, sent); answer != `{"message_uuids":["`+m.ID+`"]}` {
		t.Errorf("answered %s", answer)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	result := `{"message_result":[{"uuid":"` + m.ID + `","sent_result_code":0,"sent_result_message":"sent","delivered_result_code":0,"delivered_result_message":"x"}]}`
	b.call(t, "POST", "/?task=result&secret=ph0ne-secret", jsonType, result)
	if e := b.NextEvent(t); e.DeliveryStatus != message.Delivered || e.MessageID != m.ID {
		t.Errorf("reported %s", e.Encode())
	}
}

const transportPatience = 20 * time.Second

// Telegram is asked for updates, and for each once; a chat that moved is written
// to where it is now.
func TestTelegramPolled(t *testing.T) {
	asks := make(chan asked, 100)
	b := unprovisioned("telegram", map[string]string{"api_url": "PROVIDER", "bot_name": "helper_bot"}, map[string]options.Secret{"bot_token": "123:ABC-def"})
	b.provider.answersWith(func(a asked) (int, map[string]string, string) {
		if strings.HasSuffix(a.Path, "/getUpdates") {
			select {
			case asks <- a:
			default:
			}
			if strings.Contains(a.RawQuery, "offset=13") {
				return 200, nil, `{"ok":true,"result":[]}`
			}
			return 200, nil, `{"ok":true,"result":[` + telegramUpdate + `,
				{"update_id":11,"callback_query":{"id":"q","data":"yes","message":{"chat":{"id":42}}}},
				{"update_id":12,"my_chat_member":{"chat":{"id":42,"type":"private"},"new_chat_member":{"status":"kicked"}}}]}`
		}
		if a.json(t)["chat_id"] == "-5" {
			return 400, nil, `{"ok":false,"error_code":400,"description":"group chat was upgraded to a supergroup chat","parameters":{"migrate_to_chat_id":-1005}}`
		}
		return 200, nil, `{"ok":true,"result":{"message_id":9,"chat":{"id":-1005}}}`
	})
	b.Poll, b.WebPort = true, nil
	b.run(t)
	for _, want := range []string{"hello", "yes", "STOP"} {
		if m := b.Next(t); m.Content != want || m.From != "42" || m.TransportType != "telegram" {
			t.Errorf("received %s, want %s", m.Encode(), want)
		}
	}
	if a := <-asks; strings.Contains(a.RawQuery, "offset") || a.Path != "/bot123:ABC-def/getUpdates" {
		t.Errorf("asked %s?%s first", a.Path, a.RawQuery)
	}
	if a := <-asks; !strings.Contains(a.RawQuery, "offset=13") {
		t.Errorf("then asked with %s", a.RawQuery)
	}
	m := outbound("hello all")
	m.To = "-5"
	if id := b.sends(t, m); id != "-1005/9" {
		t.Errorf("the id is %q", id)
	}
}

// onlyOnce is a channel to a provider that hands a message out once.
func onlyOnce(t *testing.T) *bundle {
	b := unprovisioned("infobip", map[string]string{"base_url": "PROVIDER"}, map[string]options.Secret{"api_key": "k3y-of-infobip"})
	var fetched atomic.Bool
	b.provider.answersWith(func(a asked) (int, map[string]string, string) {
		if a.Path != "/sms/1/inbox/reports" || fetched.Swap(true) {
			return 200, nil, `{"results":[]}`
		}
		return 200, nil, `{"results":[{"messageId":"1","from":"27831234567","to":"1001","text":"once"}]}`
	})
	b.Poll, b.WebPort = true, nil
	return b
}

func TestWhatIsFetchedWaitsForTheBroker(t *testing.T) {
	b := onlyOnce(t)
	b.Refuse(errors.New("no broker"))
	b.run(t)
	for range 2 {
		b.Asked(t)
	}
	b.Refuse(nil)
	if m := b.Next(t); m.Content != "once" {
		t.Errorf("received %s", m.Encode())
	}
}

func TestAStopLetsWhatIsFetchedReachTheBroker(t *testing.T) {
	b := onlyOnce(t)
	t.Cleanup(b.provider.close)
	b.provision(t)
	release := b.Hold()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx, b) }()
	b.Asked(t)
	stop()
	release()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := len(b.All()); n != 1 {
		t.Errorf("the broker has %d messages", n)
	}
}

// Parts that a provider was told are taken wait for the broker, however long it is away.
func TestPartsOutliveTheBroker(t *testing.T) {
	b := start(t, "vonage", map[string]string{"api_key": "k1"}, map[string]options.Secret{"api_secret": "s3cret-api"},
		func(tr *http.Transport) { tr.ReassemblyTTL = options.Duration(100 * time.Millisecond) })
	b.Refuse(errors.New("no broker"))
	b.call(t, "GET", "/?"+vonagePart("P1", 2, "world"), "", "")
	for range 5 { // each is reassembly_ttl later
		b.Asked(t)
	}
	b.Refuse(nil)
	if m := b.Next(t); m.Content != "world" {
		t.Errorf("received %s", m.Encode())
	}
}

// sms-gate reports each part under one id.
func TestSMSGateParts(t *testing.T) {
	b := unprovisioned("sms_gate", map[string]string{"api_url": "PROVIDER/m", "username": "me"}, map[string]options.Secret{"password": "pa55word", "signing_key": "signing-key"})
	b.now = signedAt
	b.run(t)
	m := outbound("a long text")
	b.provider.answers(202, nil, `{"id":"`+m.ID+`","state":"Pending"}`)
	b.sends(t, m)
	for i, event := range []struct{ id, event, more string }{
		{"1", "sms:sent", `,"partsCount":2`}, {"2", "sms:delivered", ""}, {"2", "sms:delivered", ""}, {"3", "sms:delivered", ""},
	} {
		body := fmt.Sprintf(`{"id":%q,"event":%q,"payload":{"messageId":%q%s}}`, event.id, event.event, m.ID, event.more)
		if status, answer := b.call(t, "POST", "/", jsonType, body, gateHeader(body)...); status != 200 {
			t.Fatalf("answered %d %s", status, answer)
		}
		if got, want := b.events.Load(), int64(1+i/3); got != want {
			t.Errorf("after event %d there are %d reports, want %d", i+1, got, want)
		}
	}
}

func TestWhatsAppTemplate(t *testing.T) {
	b := start(t, "whatsapp", map[string]string{"phone_number_id": "PN1", "api_url": "PROVIDER"}, map[string]options.Secret{"access_token": "EAAtoken", "app_secret": "x-secret", "verify_token": "v3rify"})
	b.provider.answers(200, nil, `{"messages":[{"id":"wamid.1"}]}`)
	b.sends(t, templated())
	sent := b.provider.next(t).json(t)
	if fmt.Sprint(sent["template"]) != "map[language:map[code:sw policy:deterministic] name:welcome]" || sent["text"] != nil || sent["type"] != "template" {
		t.Errorf("sent %v", sent)
	}
}

func TestVas2NetsRefusesWhatItCannotWrite(t *testing.T) {
	b := start(t, "vas2nets", map[string]string{"send_url": "PROVIDER/send", "username": "me", "owner": "o", "service": "s", "default_provider": "net"}, map[string]options.Secret{"password": "pa55word"})
	for _, text := range []string{"☃", strings.Repeat("x", 161), strings.Repeat("€", 71)} {
		if _, err := b.Send(within(t), outbound(text)); !message.IsPermanent(err) {
			t.Errorf("%.5q: %v", text, err)
		}
	}
	b.provider.answers(200, map[string]string{"X-Nth-Smsid": "1"}, "")
	b.sends(t, outbound(strings.Repeat("€", 70)))
}

// Vumi's file of a Vas2Nets transport means what it meant.
func TestVas2NetsWithVumisOptions(t *testing.T) {
	v := http.NewVas2Nets()
	b := &bundle{Transport: &v.Transport, Publisher: transporttest.NewPublisher(), provider: newProvider(), registry: prometheus.NewRegistry(), client: &nethttp.Client{Transport: &nethttp.Transport{}}, state: memory.New()}
	port := 0
	v.TransportName, v.WebHost, v.WebPort, v.WebReceivePath, v.WebReceiptPath = "vas2nets", "127.0.0.1", &port, "/receive/", "/receipt/"
	v.URL, v.Username, v.Password, v.Owner, v.Service = b.provider.URL+"/send", "me", "pa55word", "owner", "svc"
	v.DefaultProvider = "net"
	if err := v.Validate(); err != nil {
		t.Fatal(err)
	}
	b.run(t)
	b.call(t, "POST", "/receive/", formType, form("messageid", "1", "time", "2009.02.13 23:31:30", "sender", "0041791234567", "destination", "9292", "provider", "provider", "keyword", "kw", "text", "hello"))
	m := b.Next(t)
	if m.ID != "vas2nets.1" || m.Provider != "provider" || m.TransportMetadata.Text("keyword") != "kw" {
		t.Errorf("received %s", m.Encode())
	}
	b.provider.answers(200, map[string]string{"X-Nth-Smsid": "sms-1"}, "")
	if id := b.sends(t, m.Reply("hello")); id != "sms-1" {
		t.Errorf("the id is %q", id)
	}
	if sent := b.provider.next(t).Form; sent.Get("messageid") != "1" || sent.Get("subservice") != "kw" || sent.Get("call-number") != "0041791234567" {
		t.Errorf("sent %v", sent)
	}
	if _, answer := b.call(t, "GET", "/health", "", ""); answer != "OK" {
		t.Errorf("health is %q", answer)
	}
}

// Whoever a provider says wants nothing is told to whoever keeps the list.
func TestBlockedIsKept(t *testing.T) {
	b := start(t, "twilio", map[string]string{"account_sid": "AC1", "api_url": "PROVIDER"}, map[string]options.Secret{"auth_token": "12345"}, func(tr *http.Transport) { tr.OptOutList = "default" })
	b.provider.answers(400, nil, `{"code":21610,"message":"unsubscribed"}`)
	_, err := b.Send(within(t), outbound("hello"))
	if reason, told := message.DiscardReason(err); !told || !strings.HasPrefix(reason, "blocked: 21610: The person has sent STOP.") {
		t.Errorf("got %v", err)
	}
	found, err := b.state.Get(t.Context(), "shared/opt_out/default/27831234567")
	if err != nil || len(found) != 1 {
		t.Errorf("the list has %v, %v", found, err)
	}
}

func TestCompressedBodies(t *testing.T) {
	b := startGeneric(t)
	zip := func(text string) string {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = w.Write([]byte(text))
		_ = w.Close()
		return out.String()
	}
	ok := zip(`{"id":"z","from":"1","to":"2","text":"zipped"}`)
	if status, answer := b.call(t, "POST", "/messages", jsonType, ok, "Authorization", bearer, "Content-Encoding", "gzip"); status != 200 {
		t.Errorf("answered %d %s", status, answer)
	}
	bomb := zip(`{"text":"` + strings.Repeat("x", 100<<20) + `"}`)
	if status, _ := b.call(t, "POST", "/messages", jsonType, bomb, "Authorization", bearer, "Content-Encoding", "gzip"); status != 413 {
		t.Errorf("100 MB in %d bytes: answered %d", len(bomb), status)
	}
	if status, _ := b.call(t, "POST", "/messages", jsonType, "x", "Authorization", bearer, "Content-Encoding", "br"); status != 400 {
		t.Errorf("an unknown coding: answered %d", status)
	}
}

func TestBasicAuthenticationAndSources(t *testing.T) {
	b := start(t, "infobip", map[string]string{"base_url": "PROVIDER"}, map[string]options.Secret{"api_key": "k3y-of-infobip"}, func(tr *http.Transport) {
		tr.WebUsername, tr.WebPassword = "provider", "pa55word"
	})
	if status, _ := b.call(t, "POST", "/", jsonType, `{"results":[]}`); status != 401 {
		t.Errorf("answered %d without a password", status)
	}
	if status, _ := b.call(t, "POST", "/", jsonType, `{"results":[]}`, "Authorization", "Basic cHJvdmlkZXI6cGE1NXdvcmQ="); status != 200 {
		t.Errorf("answered %d with it", status)
	}
	b = start(t, "infobip", map[string]string{"base_url": "PROVIDER"}, map[string]options.Secret{"api_key": "k3y-of-infobip"}, func(tr *http.Transport) {
		tr.WebSources = options.Names{"192.0.2.0/24"}
	})
	if status, _ := b.call(t, "POST", "/", jsonType, `{"results":[]}`); status != 403 {
		t.Errorf("answered %d from elsewhere", status)
	}
}

// The log of a channel is found by the message, and holds no secrets.
func TestChannelLog(t *testing.T) {
	b := start(t, "telegram", map[string]string{"api_url": "PROVIDER", "bot_name": "b"}, map[string]options.Secret{"bot_token": "123:ABC-def"}, func(tr *http.Transport) { tr.ChannelLog = 2 })
	b.provider.answers(403, nil, `{"ok":false,"error_code":403,"description":"Forbidden: bot was blocked, token 123:ABC-def"}`)
	first := outbound("first")
	for _, m := range []*message.Message{first, outbound("second"), outbound("third")} {
		if _, err := b.Send(within(t), m); err == nil {
			t.Fatal("it was sent")
		}
		logged := waitForLog(t, b, m.ID)
		text := fmt.Sprint(logged)
		if len(logged) != 1 || !strings.Contains(text, "sendMessage") || !strings.Contains(text, "Forbidden") || !strings.Contains(text, "blocked") || strings.Contains(text, "ABC-def") {
			t.Errorf("logged %s", text)
		}
	}
	if logged, err := http.Log(t.Context(), b.state, first.ID); err != nil || len(logged) != 0 {
		t.Errorf("more than channel_log is kept: %v, %v", logged, err)
	}
}

func TestAnImpossibleURLTellsNoSecret(t *testing.T) {
	b := start(t, "telegram", map[string]string{"api_url": "http://in valid", "bot_name": "b"}, map[string]options.Secret{"bot_token": "123:ABC-def"})
	if _, err := b.Send(within(t), outbound("hello")); !message.IsPermanent(err) || strings.Contains(err.Error(), "ABC-def") {
		t.Errorf("got %v", err)
	}
}

func waitForLog(t *testing.T, b *bundle, id string) (logged []http.Logged) {
	t.Helper()
	for end := time.Now().Add(transportPatience); len(logged) == 0 && time.Now().Before(end); {
		var err error
		if logged, err = http.Log(t.Context(), b.state, id); err != nil {
			t.Fatal(err)
		}
	}
	return logged
}

func TestMistakesInADescription(t *testing.T) {
	tr := http.New()
	tr.Provider, tr.TransportName = "twilo", "x"
	if err := tr.Validate(); err == nil || !strings.Contains(err.Error(), `did you mean "twilio"`) {
		t.Errorf("got %v", err)
	}
	tr.Provider = "twilio"
	tr.Options, tr.Secrets = map[string]string{"acount_sid": "x"}, nil
	err := tr.Validate()
	for _, want := range []string{`did you mean "account_sid"`, "account_sid is missing", "auth_token is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if _, named := errors.AsType[*options.FieldError](err); !named {
		t.Errorf("the error names no key: %v", err)
	}
}

func TestLintWarnsOfRequestsThatNobodyProves(t *testing.T) {
	b := open(t, "infobip", map[string]string{"base_url": "PROVIDER"}, map[string]options.Secret{"api_key": "k3y-of-infobip"})
	t.Cleanup(b.provider.close)
	if err := b.Lint(); err == nil || !strings.Contains(err.Error(), "anybody who finds /") {
		t.Errorf("got %v", err)
	}
	b.WebSources = options.Names{"192.0.2.1"}
	if err := errors.Join(b.Validate(), b.Lint()); err != nil {
		t.Errorf("with web_sources: %v", err)
	}
}
