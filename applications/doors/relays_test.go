package doors_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"switchboard/applications"
	"switchboard/applications/applicationtest"
	"switchboard/applications/doors"
	"switchboard/message"
)

func startRelay(t *testing.T, yaml string) *applicationtest.Worker {
	t.Helper()
	app := doors.NewHTTPRelay()
	if err := applicationtest.Configure(app, "allow_private: true\n"+yaml); err != nil {
		t.Fatal(err)
	}
	return applicationtest.Start(t, app)
}

func TestHTTPRelay(t *testing.T) {
	program := newClient(t, "thanks!")
	w := startRelay(t, "url: "+program.url+"/path\nusername: username\npassword: password\n")
	say := func(header, value, body string, want ...string) {
		t.Helper()
		program.answer <- func(w http.ResponseWriter) {
			w.Header().Set(header, value)
			_, _ = w.Write([]byte(body))
		}
		m := applicationtest.From("+27831234567", "hi")
		if got := applicationtest.Texts(w.Receive(m)); strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s: %s %q gave %q, not %q", header, value, body, got, want)
		}
		call := program.next("the message")
		sent, err := message.Decode([]byte(call.body))
		if err != nil || sent.ID != m.ID || call.URL.Path != "/path" || call.Method != http.MethodPost {
			t.Errorf("%s %s %s, %v", call.Method, call.URL, call.body, err)
		}
		if name, password, _ := call.BasicAuth(); name != "username" || password != "password" {
			t.Errorf("logged in as %q, %q", name, password)
		}
	}
	say("X-Vumi-HTTPRelay-Reply", "true", "thanks!", "thanks!")
	say("X-Vumi-HTTPRelay-Reply", "True", " thanks!\n", "thanks!")
	say("X-Vumi-HTTPRelay-Reply", "true", " ")
	say("X-Vumi-HTTPRelay-Reply", "untrue!", "thanks!")
	say("X-Other", "true", "thanks!")
	for _, code := range []int{http.StatusNotFound, http.StatusUnauthorized, http.StatusServiceUnavailable} {
		program.status(code)
		if got := w.Fails(applicationtest.From("a", "x")); !strings.Contains(got, "answered HTTP") {
			t.Errorf("%d: failed with %q", code, got)
		}
		program.next("the message")
	}
	w.Report(message.NewAck(applicationtest.From("a", "x"), "1"))
	say("X-Other", "true", "") // the next call is of a message, not of the event before
}

func TestHTTPRelayOfEvents(t *testing.T) {
	program := newClient(t, "")
	w := startRelay(t, "url: "+program.url+"\nevent_url: "+program.url+"/events\nhttp_method: PUT\n")
	m := applicationtest.From("a", "x")
	for _, e := range []*message.Event{message.NewAck(m, "1"), message.NewNack(m, "no"), message.NewDeliveryReport(m, message.Delivered)} {
		w.Report(e)
		call := program.next("the event")
		if got, err := message.DecodeEvent([]byte(call.body)); err != nil || got.ID != e.ID || got.Type != e.Type || call.URL.Path != "/events" || call.Method != http.MethodPut {
			t.Errorf("%s %s %s, %v", call.Method, call.URL, call.body, err)
		}
	}
	refuses(t, func() applications.Application { return doors.NewHTTPRelay() }, map[string]string{
		"": "url: ", "url: x": "url: ", "url: 'http://x'\nevent_url: y": "event_url: ", "url: 'http://x'\nhttp_method: EAT": "http_method: is",
		"url: 'http://x'\nauth_method: digest": "auth_method: is", "url: 'http://x'\ntimeout: 0s": "timeout: ",
	})
}

func TestRapidSMSRelay(t *testing.T) {
	rapidsms := newClient(t, "")
	w, door := start(t, doors.NewRapidSMSRelay(), "rapidsms_url: "+rapidsms.url+"/backend/vumi/\nrapidsms_username: vumi\nrapidsms_password: secret\n"+
		"web_path: /send\nvumi_username: rapid\nvumi_password: sms\nallowed_endpoints: [default, bulk]\nsend_via: sms")
	m := applicationtest.From("+27831234567", "hi")
	w.Receive(m)
	call := rapidsms.next("the message")
	if got, err := message.Decode([]byte(call.body)); err != nil || got.ID != m.ID || call.URL.Path != "/backend/vumi/" {
		t.Errorf("%s %s, %v", call.URL, call.body, err)
	}
	if name, password, _ := call.BasicAuth(); name != "vumi" || password != "secret" {
		t.Errorf("logged in as %q, %q", name, password)
	}
	closed := applicationtest.From("+27831234567", "")
	closed.SessionEvent = message.SessionClose
	w.Receive(closed)
	if got, _ := message.Decode([]byte(rapidsms.next("the session's close").body)); got == nil || got.SessionEvent != message.SessionClose {
		t.Error("the session's close was not relayed")
	}

	login := []string{"Authorization", "Basic cmFwaWQ6c21z"}
	answers(t, "200 OK", "GET", door+"/health", "")
	answers(t, "401 ", "POST", door+"/send", `{}`)
	for body, want := range map[string]string{
		`no JSON`:                           "400 The request is no JSON object",
		`{"content": "x", "to_addr": "+1"}`: "400 Supplied `to_addr` was not a list",
		`{"content": "x", "to_addr": [1]}`:  "400 Supplied `to_addr` has what is no address",
		`{"content": "x", "to_addr": ["+1"], "endpoint": "other"}`:           `400 Endpoint "other" not defined`,
		`{"content": "x", "to_addr": [], "in_reply_to": "unknown"}`:          `400 Original message "unknown" not found.`,
		`{"content": "x", "to_addr": ["+1"], "in_reply_to": "` + m.ID + `"}`: "400 Supplied `to_addrs` don't match",
		`{"content": "x", "to_addr": []}`:                                    "200 []",
	} {
		answers(t, want, "POST", door+"/send/", body, login...)
	}

	// RapidSMS's own request.
	body := `{"content": "hello", "to_addr": ["+1", "+2"], "session_event": null, "metadata": {"rapidsms_msg_id": 7}, "endpoint": "bulk", "from_addr": "8080"}`
	var list []*message.Message
	if err := json.Unmarshal([]byte(answers(t, "200 [{", "PUT", door+"/send", body, login...)), &list); err != nil || len(list) != 2 {
		t.Fatalf("answered with %d messages, %v", len(list), err)
	}
	for i, to := range []string{"+1", "+2"} {
		sent := w.Sent()
		if sent.ID != list[i].ID || sent.To != to || sent.From != "8080" || sent.Content != "hello" || sent.Endpoint() != "bulk" || sent.TransportName != "sms" {
			t.Errorf("sent %s", sent.Encode())
		}
	}
	answers(t, "200 [{", "POST", door+"/send", `{"content": "you said hi", "to_addr": ["+27831234567"], "in_reply_to": "`+m.ID+`"}`, login...)
	if reply := w.Sent(); reply.InReplyTo != m.ID || reply.To != m.From || reply.From != m.To || reply.TransportName != m.TransportName {
		t.Errorf("replied %s", reply.Encode())
	}
}

func TestRapidSMSRelayOptions(t *testing.T) {
	rapidsms := newClient(t, "")
	w, door := start(t, doors.NewRapidSMSRelay(), "rapidsms_url: "+rapidsms.url+"\nallow_replies: false\nrapidsms_event_url: "+rapidsms.url+"/events")
	answers(t, "400 Support for `in_reply_to` not configured.", "POST", door+"/", `{"content": "x", "to_addr": [], "in_reply_to": "x"}`)
	w.Report(message.NewAck(applicationtest.From("a", "x"), "1"))
	if call := rapidsms.next("the event"); call.URL.Path != "/events" || !strings.Contains(call.body, `"ack"`) {
		t.Errorf("%s %s", call.URL, call.body)
	}
	refuses(t, func() applications.Application { return doors.NewRapidSMSRelay() }, map[string]string{
		"": "rapidsms_url: ", "rapidsms_url: 'http://x'\nvumi_reply_timeout: 0": "vumi_reply_timeout: must",
		"rapidsms_url: 'http://x'\nweb_path: '/{x}'": "web_path: is", "web_path: health": "web_path: is /health", "vumi_password: x": "vumi_username: and vumi_password go together",
		"rapidsms_url: 'http://x'\nweb_port: -1":            "web_port: must",
		"rapidsms_url: 'http://x'\nrapidsms_auth_method: x": "rapidsms_auth_method: is",
	})
	if err := doors.NewRapidSMSRelay().Lint(); err == nil {
		t.Error("nobody is warned that anybody may send")
	}
}
