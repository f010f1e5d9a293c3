package http_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/transports/http"
)

func startGeneric(t *testing.T, change ...func(*http.Transport)) *bundle {
	return start(t, "generic_json", map[string]string{"send_url": "PROVIDER/send"}, map[string]options.Secret{"token": "s3cret-token"}, change...)
}

const bearer = "Bearer s3cret-token"

func TestMessagesBothWays(t *testing.T) {
	b := startGeneric(t)
	body := `{"id":"m1","from":"+27831234567","to":"1001","text":"hello","time":1700000000}`
	for range 2 { // the second is a repetition
		if status, answer := b.call(t, "POST", "/messages", jsonType, body, "Authorization", bearer); status != 200 || answer != `{"status":"ok"}` {
			t.Fatalf("answered %d %q", status, answer)
		}
	}
	m := b.Next(t)
	if m.From != "+27831234567" || m.To != "1001" || m.Content != "hello" || m.TransportMetadata.Text("external_id") != "m1" ||
		m.TransportMetadata.Text("provider_time") != "2023-11-14 22:13:20.000000" || m.TransportName != "channel" || m.TransportType != "sms" {
		t.Errorf("received %s", m.Encode())
	}
	b.call(t, "POST", "/messages", jsonType, strings.Replace(body, "m1", "m2", 1), "Authorization", bearer)
	if second := b.Next(t); second.TransportMetadata.Text("external_id") != "m2" {
		t.Errorf("a repeated delivery is a second message: %s", second.Encode())
	}

	reply := m.Reply("hello yourself")
	reply.RoutingMetadata.Set(message.PathKey, []string{"app"})
	if id := b.sends(t, reply); id != "p-1" {
		t.Errorf("the provider's id is %q", id)
	}
	a := b.provider.next(t)
	sent := a.json(t)
	if sent["to"] != "+27831234567" || sent["from"] != "1001" || sent["text"] != "hello yourself" || sent["in_reply_to"] != "m1" || a.Header.Get("Authorization") != bearer {
		t.Errorf("sent %v %v", sent, a.Header)
	}
	for range 2 {
		b.call(t, "POST", "/receipts", jsonType, `{"id":"p-1","status":"delivered"}`, "Authorization", bearer)
	}
	b.call(t, "POST", "/receipts", jsonType, `{"message_id":"`+reply.ID+`","status":"failed","code":"77","reason":"no such person"}`, "Authorization", bearer)
	e := b.NextEvent(t)
	if e.Type != message.DeliveryReport || e.DeliveryStatus != message.Delivered || e.MessageID != reply.ID || e.RoutingMetadata.Raw(message.PathKey) != `["app"]` {
		t.Errorf("reported %s", e.Encode())
	}
	e = b.NextEvent(t)
	extra := e.Extra()
	if e.DeliveryStatus != message.Failed || extra.Text("failure_code") != "77" || !strings.Contains(extra.Text("failure_reason"), "no such person") {
		t.Errorf("reported %s", e.Encode())
	}
}

func TestAReceiptBeforeTheAnswer(t *testing.T) {
	b := startGeneric(t)
	b.provider.answersWith(func(asked) (int, map[string]string, string) {
		b.call(t, "POST", "/receipts", jsonType, `{"id":"p-9","status":"delivered"}`, "Authorization", bearer)
		return 200, nil, `{"id":"p-9"}`
	})
	m := outbound("hello")
	b.sends(t, m)
	if e := b.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != message.Delivered {
		t.Errorf("reported %s", e.Encode())
	}
}

// What the provider has is not sent again because its receipt cannot be passed on.
func TestAnEarlyReceiptThatCannotBeReported(t *testing.T) {
	b := startGeneric(t)
	b.provider.answersWith(func(asked) (int, map[string]string, string) {
		b.call(t, "POST", "/receipts", jsonType, `{"id":"p-9","status":"delivered"}`, "Authorization", bearer)
		return 200, nil, `{"id":"p-9"}`
	})
	b.refuses.Store(true)
	if id := b.sends(t, outbound("hello")); id != "p-9" {
		t.Errorf("sent as %q", id)
	}
	b.refuses.Store(false)
	if e := b.NextEvent(t); e.DeliveryStatus != message.Delivered {
		t.Errorf("reported %s", e.Encode())
	}
}

func TestWhoIsNotTheProvider(t *testing.T) {
	b := startGeneric(t)
	good := `{"id":"m1","from":"+27831234567","to":"1001","text":"hello"}`
	for _, c := range []struct {
		what, method, path, body, token string
		want                            int
	}{
		{"no token", "POST", "/messages", good, "", 403},
		{"a wrong token", "POST", "/messages", good, "Bearer wrong", 403},
		{"another path", "POST", "/elsewhere", good, bearer, 404},
		{"another method", "PUT", "/messages", good, bearer, 405},
		{"no JSON", "POST", "/messages", "{", bearer, 400},
		{"two values", "POST", "/messages", good + "{}", bearer, 400},
		{"nobody's message", "POST", "/messages", `{"text":"hello"}`, bearer, 400},
		{"deep JSON", "POST", "/messages", strings.Repeat("[", 100_000), bearer, 400},
		{"too much", "POST", "/messages", `{"text":"` + strings.Repeat("x", 1<<20) + `"}`, bearer, 413},
		{"no object", "POST", "/messages", `"text"`, bearer, 400},
	} {
		if status, _ := b.call(t, c.method, c.path, jsonType, c.body, "Authorization", c.token); status != c.want {
			t.Errorf("%s: answered %d, want %d", c.what, status, c.want)
		}
	}
	if got := counted(t, b, "switchboard_http_rejected_total"); got != 10 {
		t.Errorf("%v rejections are counted, want 10", got)
	}
	b.call(t, "POST", "/messages", jsonType, strings.Replace(good, "m1", "last", 1), "Authorization", bearer)
	if m := b.Next(t); m.TransportMetadata.Text("external_id") != "last" {
		t.Errorf("received %s", m.Encode())
	}
}

func counted(t *testing.T, b *bundle, name string) (sum float64) {
	t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// Each answer of a provider is one outcome.
func TestOutcomes(t *testing.T) {
	b := startGeneric(t)
	for _, c := range []struct {
		what              string
		status            int
		permanent, temper bool
	}{
		{"accepted", 202, false, false},
		{"a fault of the provider's", 500, false, true},
		{"busy", 503, false, true},
		{"refused", 400, true, false},
		{"not there", 404, true, false},
		{"moved: nothing is followed", 302, true, false},
	} {
		b.provider.answers(c.status, map[string]string{"Location": "/elsewhere"}, `{"id":"x","code":"E1","reason":"because"}`)
		_, err := b.Send(within(t), outbound(c.what))
		if message.IsPermanent(err) != c.permanent || (err != nil && !message.IsPermanent(err)) != c.temper {
			t.Errorf("%s: %v", c.what, err)
		}
		if err != nil && !strings.Contains(err.Error(), "because") {
			t.Errorf("%s: the reason is not told: %v", c.what, err)
		}
		b.provider.next(t)
	}
}

// A provider that asks for less gets less, and no message spends a try on it.
func TestThrottled(t *testing.T) {
	b := startGeneric(t)
	calls := 0
	b.provider.answersWith(func(asked) (int, map[string]string, string) {
		if calls++; calls == 1 {
			return 429, map[string]string{"Retry-After": "1"}, ""
		}
		return 200, nil, `{"id":"p-2"}`
	})
	began := time.Now()
	if id := b.sends(t, outbound("patience")); id != "p-2" || time.Since(began) < 900*time.Millisecond {
		t.Errorf("sent as %q after %s", id, time.Since(began))
	}
	for _, want := range []string{"started", "throttled", "sending"} {
		if s := b.NextStatus(t); s.Type != want {
			t.Errorf("the status is %s, want %s", s.Encode(), want)
		}
	}
}

// An account that cannot send is down, and its traffic waits.
func TestAlert(t *testing.T) {
	b := startGeneric(t)
	b.provider.answers(401, nil, `{"code":"401","reason":"bad token s3cret-token"}`)
	ended := make(chan error, 1)
	go func() {
		_, err := b.Send(within(t), outbound("waits"))
		ended <- err
	}()
	b.NextStatus(t)
	s := b.NextStatus(t)
	if s.Health != message.Down || strings.Contains(string(s.Encode()), "s3cret") {
		t.Errorf("the status is %s", s.Encode())
	}
	b.provider.answers(200, nil, `{"id":"p-3"}`)
	if err := <-ended; err != nil {
		t.Errorf("what waited failed: %v", err)
	}
	if s := b.NextStatus(t); s.Health != message.OK {
		t.Errorf("the status is %s", s.Encode())
	}
}

// A request that was sent and not answered is unknown.
func TestUnknown(t *testing.T) {
	for _, c := range []struct {
		policy             string
		permanent, receipt bool
	}{{"fail", true, false}, {"resend", false, false}, {"wait", false, false}, {"wait", false, true}} {
		b := startGeneric(t, func(tr *http.Transport) {
			tr.UnknownPolicy, tr.Timeout, tr.UnknownWait = c.policy, options.Duration(200*time.Millisecond), options.Duration(2*time.Second)
		})
		hold := make(chan struct{})
		b.provider.answersWith(func(asked) (int, map[string]string, string) { <-hold; return 200, nil, `{"id":"late"}` })
		m := outbound("who knows")
		_, err := b.Send(within(t), m)
		close(hold)
		if message.IsPermanent(err) != c.permanent || err == nil || !strings.Contains(err.Error(), "unknown") {
			t.Errorf("%s: %v", c.policy, err)
		}
		b.provider.next(t)
		b.provider.answers(200, nil, `{"id":"again"}`)
		if c.policy != "wait" {
			continue
		}
		if c.receipt {
			b.call(t, "POST", "/receipts", jsonType, `{"message_id":"`+m.ID+`","status":"delivered"}`, "Authorization", bearer)
			b.NextEvent(t)
			if _, err := b.SendAgain(within(t), m); err != nil {
				t.Errorf("a receipt proves it sent: %v", err)
			}
			continue
		}
		if _, err := b.SendAgain(within(t), m); err == nil || message.IsPermanent(err) {
			t.Errorf("while it waits: %v", err)
		}
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && !message.IsPermanent(err); {
			if _, err = b.SendAgain(within(t), m); err == nil {
				t.Fatal("it was sent again")
			}
		}
		if !message.IsPermanent(err) {
			t.Errorf("after unknown_wait: %v", err)
		}
	}
}

// A receipt proves a message sent also when it comes before the request is given up.
func TestAReceiptWhileTheRequestWaits(t *testing.T) {
	b := startGeneric(t, func(tr *http.Transport) {
		tr.UnknownPolicy, tr.Timeout, tr.UnknownWait = "wait", options.Duration(time.Second), options.Duration(time.Millisecond)
	})
	m, hold := outbound("who knows"), make(chan struct{})
	b.provider.answersWith(func(asked) (int, map[string]string, string) {
		b.call(t, "POST", "/receipts", jsonType, `{"message_id":"`+m.ID+`","status":"delivered"}`, "Authorization", bearer)
		<-hold
		return 200, nil, ""
	})
	_, err := b.Send(within(t), m)
	close(hold)
	if err == nil || !strings.Contains(err.Error(), "unknown") {
		t.Fatalf("got %v", err)
	}
	if _, err := b.SendAgain(within(t), m); err != nil {
		t.Errorf("a receipt proves it sent: %v", err)
	}
}

func TestAProviderOutOfReach(t *testing.T) {
	b := startGeneric(t)
	b.provider.close()
	_, err := b.Send(within(t), outbound("nobody there"))
	if err == nil || message.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	b.NextStatus(t)
	if s := b.NextStatus(t); s.Health != message.Down || s.Type != "unreachable" {
		t.Errorf("the status is %s", s.Encode())
	}
}

func TestTheBrokerIsAway(t *testing.T) {
	b := startGeneric(t)
	b.Refuse(errors.New("no broker"))
	body := `{"id":"m1","from":"+27831234567","to":"1001","text":"hello"}`
	if status, answer := b.call(t, "POST", "/messages", jsonType, body, "Authorization", bearer); status != 503 || strings.Contains(answer, "broker") {
		t.Errorf("answered %d %q", status, answer)
	}
	b.Refuse(nil)
	b.call(t, "POST", "/messages", jsonType, body, "Authorization", bearer)
	if m := b.Next(t); m.Content != "hello" {
		t.Errorf("received %s", m.Encode())
	}
}
