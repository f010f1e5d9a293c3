package http_test

import (
	"context"
	"errors"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/options"
	"switchboard/transports/http"
)

type answered struct {
	status int
	body   string
}

// The answer of a request is the reply to its message where that comes in time.
func TestTheReplyIsInTheAnswer(t *testing.T) {
	for preset, c := range map[string]struct {
		settings     map[string]string
		secrets      map[string]options.Secret
		path, kind   string
		body, want   string
		plain        string
		authenticate []string
	}{
		"kannel": {
			map[string]string{"username": "u", "sendsms_url": "PROVIDER"},
			map[string]options.Secret{"password": "p4ssword"},
			"/?id=K1&sender=2783&to=1001&text=hi", "", "", "hello & you", "", nil,
		},
		"generic_form": {map[string]string{"send_url": "PROVIDER"}, nil, "/messages", formType, form("id", "F1", "from", "2783", "to", "1001", "text", "hi"), "hello & you", "", nil},
		"generic_json": {
			map[string]string{"send_url": "PROVIDER"},
			nil, "/messages", jsonType, `{"id":"J1","from":"2783","to":"1001","text":"hi"}`,
			`{"reply":{"id":"MSGID","text":"hello \u0026 you"},"status":"ok"}`, `{"status":"ok"}`, nil,
		},
		"smssync": {
			nil, nil, "/", formType, form("message_id", "S1", "from", "2783", "message", "hi", "sent_to", "1001", "device_id", "d"),
			`{"payload":{"error":null,"messages":[{"message":"hello \u0026 you","to":"2783","uuid":"MSGID"}],"success":true,"task":"send"}}`, "", nil,
		},
	} {
		t.Run(preset, func(t *testing.T) {
			b := start(t, preset, c.settings, c.secrets, func(tr *http.Transport) { tr.ReplyWait = options.Duration(transportPatience) })
			method := map[bool]string{true: "GET", false: "POST"}[c.kind == ""]
			got := make(chan answered, 1)
			go func() {
				status, body := b.call(t, method, c.path, c.kind, c.body)
				got <- answered{status, body}
			}()
			m := b.Next(t).Reply("hello & you")
			if id := b.sends(t, m); id != "" {
				t.Errorf("sent as %q", id)
			}
			if a := <-got; a.status != 200 || a.body != strings.ReplaceAll(c.want, "MSGID", m.ID) {
				t.Errorf("answered %d %q", a.status, a.body)
			}
			if len(b.provider.asked) != 0 {
				t.Error("it was sent, too")
			}
		})
	}
}

// A reply that is too late, whose asker is gone, or that is the second, is sent.
func TestALateReplyIsSent(t *testing.T) {
	b := startGeneric(t, func(tr *http.Transport) { tr.ReplyWait = options.Duration(50 * time.Millisecond) })
	if status, answer := b.call(t, "POST", "/messages", jsonType, `{"id":"1","from":"1","to":"2","text":"hi"}`, "Authorization", bearer); status != 200 || answer != `{"status":"ok"}` {
		t.Fatalf("answered %d %q", status, answer)
	}
	in := b.Next(t)
	for range 2 {
		if id := b.sends(t, in.Reply("late")); id != "p-1" {
			t.Errorf("sent as %q", id)
		}
		b.provider.next(t)
	}

	b = startGeneric(t, func(tr *http.Transport) { tr.ReplyWait = options.Duration(time.Hour) })
	addr, err := b.Addr(within(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		q, _ := nethttp.NewRequestWithContext(ctx, "POST", "http://"+addr.String()+"/messages", strings.NewReader(`{"id":"1","from":"1","to":"2","text":"hi"}`))
		q.Header.Set("Authorization", bearer)
		answer, err := b.client.Do(q)
		if err == nil {
			_ = answer.Body.Close()
		}
		gone <- err
	}()
	in = b.Next(t)
	leave()
	if err := <-gone; err == nil {
		t.Fatal("the request was answered")
	}
	for end := time.Now().Add(transportPatience); len(b.provider.asked) == 0; { // until the server notices
		b.sends(t, in.Reply("nobody asks"))
		if time.Now().After(end) {
			t.Fatal("the reply was not sent")
		}
	}
}

// A request that is refused although the broker has its message holds up no reply to it.
func TestAReplyToARefusedRequestIsSent(t *testing.T) {
	b := startGeneric(t, func(tr *http.Transport) { tr.ReplyWait = options.Duration(time.Hour) })
	sent := make(chan error, 1)
	b.taken = func(m *message.Message) error {
		go func() {
			_, err := b.Send(within(t), m.Reply("hello"))
			sent <- err
		}()
		testutil.Eventually(t, "the reply is given to the request", func() bool { return !b.AwaitsReply(m.ID) })
		return errors.New("no confirm")
	}
	if status, answer := b.call(t, "POST", "/messages", jsonType, `{"id":"1","from":"1","to":"2","text":"hi"}`, "Authorization", bearer); status != 503 {
		t.Errorf("answered %d %q", status, answer)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	b.provider.next(t)
}

// A stop answers the requests that wait for a reply.
func TestAStopAnswersWhatWaitsForAReply(t *testing.T) {
	b := unprovisioned("generic_form", map[string]string{"send_url": "PROVIDER"}, nil)
	b.ReplyWait, b.stopping = options.Duration(time.Hour), make(chan struct{})
	b.run(t)
	got := make(chan answered, 1)
	go func() {
		status, body := b.call(t, "POST", "/messages", formType, form("id", "1", "from", "1", "to", "2", "text", "hi"))
		got <- answered{status, body}
	}()
	b.Next(t)
	close(b.stopping)
	if a := <-got; a.status != 200 || a.body != "" {
		t.Errorf("answered %d %q", a.status, a.body)
	}
}

func TestReplyWaitWithoutReplies(t *testing.T) {
	b := unprovisioned("telnyx", nil, map[string]options.Secret{"api_key": "k3y-of-telnyx"})
	t.Cleanup(b.provider.close)
	b.ReplyWait = options.Duration(time.Second)
	if err := b.Validate(); err == nil || !strings.Contains(err.Error(), "reply_wait") {
		t.Errorf("got %v", err)
	}
}
