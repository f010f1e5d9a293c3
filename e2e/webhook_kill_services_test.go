//go:build services

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/message"
)

const (
	writers      = 40 // people
	writtenEach  = 50 // messages of each
	webhookToken = "a-token-of-the-shop"
)

const webhookShopYAML = `
application_class: http_api
transport_name: shop
web_host: 127.0.0.1
web_port: %d
tokens: {shop: {token: ` + webhookToken + `, scopes: [send, read, optouts]}}
opt_out_list: default
allow_private: true
webhook: {url: %s, secret: a-secret-of-the-shop}
`

const webhookJoinYAML = `
router_class: simple
transport_names: [sms]
exposed_names: [shop]
route_mappings: {sms: shop}
middleware: [stop: opt_out]
stop: {stop_keywords: [STOP, ARRÊT], start_keywords: [START, RETOUR]}
`

// An application is killed twice while its webhook is told what people write: all of it comes,
// each person's in the order it was written, and what comes twice has the same id. Who says
// STOP gets the confirmation and nothing more, until START, or until somebody with the command
// or the API says so; the webhook is told what was blocked.
func TestWebhookApplicationKilled(t *testing.T) {
	t.Parallel()
	s := startServers(t, "rabbitmq", "postgres")
	env := []string{"AMQP_URL=" + s.url("AMQP_URL"), "DATABASE_URL=" + s.url("DATABASE_URL")}
	op := operator{t, env}
	op.must("migrate")
	sink, port := newSink(t), freePort(t)
	yaml := fmt.Sprintf(webhookShopYAML, port, sink.URL)
	start(t, "join", webhookJoinYAML, env...)
	shop := start(t, "shop", yaml, env...)
	b := connect(t, s.url("AMQP_URL"))

	written := make(chan struct{})
	go func() {
		defer close(written)
		for n := range writtenEach {
			for i := range writers {
				writes(t, b, fmt.Sprintf("+2783%07d", i), strconv.Itoa(n))
			}
		}
	}()
	for _, taken := range []int{writers * writtenEach / 4, writers * writtenEach / 2} {
		eventually(t, fmt.Sprintf("the webhook has taken %d", taken), func() bool { return sink.count() >= taken })
		shop.kill()
		shop = start(t, "shop", yaml, env...)
	}
	<-written
	eventually(t, "the webhook has all", func() bool { return sink.count() == writers*writtenEach })
	sink.mu.Lock()
	t.Logf("%d came twice, %d were refused at first", sink.repeats, len(sink.refused))
	sink.mu.Unlock()

	t.Run("opt-outs", func(t *testing.T) { optOutsOfAFleet(t, b, op, sink, port) })
}

func writes(t *testing.T, b *rabbitmq.Broker, from, text string) {
	m := message.New()
	m.From, m.To, m.Content, m.TransportName, m.TransportType = from, "8080", text, "sms", "sms"
	e := message.Envelope{Flow: message.Inbound, Connector: "sms", Message: m}
	if err := b.Publish(t.Context(), broker.Publication{Key: e.Key(), Body: e.Encode()}); err != nil {
		t.Error(err)
	}
}

// sink is the program behind a webhook. It refuses some messages the first time, and answers
// STOP.
type sink struct {
	*httptest.Server
	blocked chan string // the reasons

	mu      sync.Mutex
	ids     map[string][]string // of what each person wrote, in the order it was first taken
	refused map[string]bool
	taken   int
	repeats int
}

func newSink(t *testing.T) *sink {
	s := &sink{ids: map[string][]string{}, refused: map[string]bool{}, blocked: make(chan string, 100)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var n struct {
			ID, Type string
			Data     struct{ From, Content, Type, Reason string }
		}
		if err := json.NewDecoder(q.Body).Decode(&n); err != nil {
			return // the application died in the middle of it
		}
		if n.Type == "event" {
			s.blocked <- n.Data.Type + " " + n.Data.Reason
			return
		}
		if strings.EqualFold(n.Data.Content, "arrêt") {
			_, _ = io.WriteString(w, `{"reply": "Bye."}`)
		}
		i, err := strconv.Atoi(n.Data.Content)
		if err != nil {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		had := s.ids[n.Data.From]
		switch {
		case i%10 == 3 && !s.refused[n.ID]:
			s.refused[n.ID] = true
			w.WriteHeader(http.StatusServiceUnavailable)
		case i == len(had):
			s.ids[n.Data.From], s.taken = append(had, n.ID), s.taken+1
		case i < len(had) && had[i] == n.ID:
			s.repeats++
		default:
			t.Errorf("%s: %d came as %s after %d", n.Data.From, i, n.ID, len(had))
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

func optOutsOfAFleet(t *testing.T, b *rabbitmq.Broker, op operator, s *sink, port int) {
	const person = "+27821234567"
	sent := make(chan *message.Message, 100)
	outbound := broker.Queue{Name: "sms.outbound", Keys: []string{"sms.outbound"}}
	go func() {
		_ = b.Consume(t.Context(), outbound, 10, func(d *broker.Delivery) {
			if m, err := message.Decode(d.Body); err == nil {
				sent <- m
			}
			d.Ack()
		})
	}()
	goesOut := func(text string) {
		t.Helper()
		select {
		case m := <-sent:
			if m.Content != text || m.To != person {
				t.Fatalf("went out %s, not %q", m.Encode(), text)
			}
		case reason := <-s.blocked:
			t.Fatalf("%q did not go out: %s", text, reason)
		case <-time.After(patience):
			t.Fatalf("%q did not go out", text)
		}
	}
	isBlocked := func() {
		t.Helper()
		select {
		case reason := <-s.blocked:
			if reason != "nack blocked: "+person+" has opted out (list default)" {
				t.Fatalf("the webhook was told %q", reason)
			}
		case m := <-sent:
			t.Fatalf("went out: %s", m.Encode())
		case <-time.After(patience):
			t.Fatal("the webhook was told of nothing blocked")
		}
	}
	ask := func(method, path, body string) {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+webhookToken)
		answer, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		if text, _ := io.ReadAll(answer.Body); answer.StatusCode >= 300 {
			t.Fatalf("%s %s: %d %s", method, path, answer.StatusCode, text)
		}
	}
	send := func(text string) {
		ask("POST", "/messages", `{"to": "`+person+`", "content": "`+text+`", "transport": "sms"}`)
	}
	send("one")
	goesOut("one")
	writes(t, b, person, "Arrêt")
	goesOut("Bye.") // the confirmation
	send("two")
	isBlocked()
	if out := op.must("optouts", "list"); !strings.Contains(out, "27821234567") {
		t.Errorf("the list:\n%s", out)
	}
	writes(t, b, person, "retour")
	eventually(t, "START takes the person off", func() bool { return !strings.Contains(op.must("optouts", "list"), "27821234567") })
	send("three")
	goesOut("three")
	ask("PUT", "/optouts/27821234567", "")
	send("four")
	isBlocked()
	op.must("optouts", "remove", person)
	send("five")
	goesOut("five")
	op.must("optouts", "add", "0027821234567")
	send("six")
	isBlocked()
	ask("DELETE", "/optouts/"+person, "")
	send("seven")
	goesOut("seven")
}
