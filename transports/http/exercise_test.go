package http_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"switchboard/message"
	"switchboard/options"
	"switchboard/transports/http"
)

// request is one of the provider's. ID stands for our identifier of the message
// that was sent last.
type request struct {
	method, path, kind, body string
	header                   []string
	status                   int // of the answer; 200
	answer, answerType       string
	messages                 []received // what it brings
	events                   []reported
}

// received is a message from a person.
type received struct{ from, to, text, id string }

// reported is a delivery report.
type reported struct {
	status message.DeliveryStatus
	code   string
}

// sent is what a preset makes of a message.
type sent struct {
	message    func() *message.Message
	answer     string
	status     int // of the answer; 200
	header     map[string]string
	method     string
	path       string
	wants      map[string]string // headers
	query      string
	form, json string
	id         string
}

// exercise is what a provider documents, and what is to come of it.
type exercise struct {
	preset   string
	settings map[string]string
	secrets  map[string]options.Secret
	public   string
	now      time.Time
	inbound  []request
	forged   []request // rejected
	sends    sent
	receipts []request
	classes  []classified
}

type classified struct {
	status int
	body   string
	class  http.Class
}

func TestPresets(t *testing.T) {
	covered := map[string]bool{}
	for _, x := range slices.Concat(exercises, exercises2) {
		covered[x.preset] = true
		t.Run(x.preset, func(t *testing.T) {
			t.Run("receives", func(t *testing.T) { x.receive(t) })
			t.Run("rejects", func(t *testing.T) { x.reject(t) })
			t.Run("sends", func(t *testing.T) { x.send(t) })
			t.Run("understands", func(t *testing.T) { x.understand(t) })
		})
	}
	for _, name := range http.Presets() {
		if !covered[name] {
			t.Errorf("preset %s is not exercised", name)
		}
	}
}

func (x exercise) begin(t *testing.T) *bundle {
	t.Helper()
	b := unprovisioned(x.preset, x.settings, x.secrets)
	b.now = x.now
	b.PublicURL = x.public
	b.run(t)
	return b
}

// receive has the provider say everything twice: each message is one.
func (x exercise) receive(t *testing.T) {
	b := x.begin(t)
	for _, q := range x.inbound {
		for range 2 {
			b.asks(t, q, "")
		}
		for _, want := range q.messages {
			m := b.Next(t)
			got := received{m.From, m.To, m.Content, m.TransportMetadata.Text("external_id")}
			if got != want {
				t.Errorf("%s %s: received %+v, want %+v", q.method, q.path, got, want)
			}
			if len(m.TransportType) == 0 || m.Timestamp.IsZero() {
				t.Errorf("something is missing: %s", m.Encode())
			}
		}
		if n := b.received.Swap(0); n != int64(len(q.messages)) {
			t.Errorf("%s %s said twice was %d messages, want %d", q.method, q.path, n, len(q.messages))
		}
	}
}

func (b *bundle) asks(t *testing.T, q request, id string) {
	t.Helper()
	body, path := strings.ReplaceAll(q.body, "MSGID", id), strings.ReplaceAll(q.path, "MSGID", id)
	if id == "" {
		body, path = q.body, q.path
	}
	status, answer, header := b.callFull(t, q.method, path, q.kind, body, q.header...)
	want := q.status
	if want == 0 {
		want = 200
	}
	if status != want || answer != q.answer || q.answerType != "" && header.Get("Content-Type") != q.answerType {
		t.Errorf("%s %s: answered %d %q %q, want %d %q %q", q.method, path, status, answer, header.Get("Content-Type"), want, q.answer, q.answerType)
	}
}

func (x exercise) reject(t *testing.T) {
	b := x.begin(t)
	for _, q := range x.forged {
		b.asks(t, q, "")
	}
	if n := b.received.Load(); n != 0 {
		t.Errorf("%d forged messages were received", n)
	}
}

// send sends a message, holds the request against the provider's documents, and
// has it report on the message.
func (x exercise) send(t *testing.T) {
	if x.sends.method == "" {
		return
	}
	b := x.begin(t)
	m := outbound("hello")
	if x.sends.message != nil {
		m = x.sends.message()
	}
	b.provider.answersWith(func(asked) (int, map[string]string, string) {
		return max(x.sends.status, 200), x.sends.header, strings.ReplaceAll(x.sends.answer, "MSGID", m.ID)
	})
	if id := b.sends(t, m); id != strings.ReplaceAll(x.sends.id, "MSGID", m.ID) {
		t.Errorf("the provider's id is %q, want %q", id, x.sends.id)
	}
	a := b.provider.next(t)
	put := func(text string) string { return strings.ReplaceAll(text, "MSGID", m.ID) }
	if a.Method != x.sends.method || a.Path != x.sends.path {
		t.Errorf("asked %s %s, want %s %s", a.Method, a.Path, x.sends.method, x.sends.path)
	}
	for name, want := range x.sends.wants {
		if got := a.Header.Get(name); got != want {
			t.Errorf("the header %s is %q, want %q", name, got, want)
		}
	}
	if diff := cmp.Diff(query(t, put(x.sends.query)), query(t, a.RawQuery)); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	switch {
	case x.sends.form != "":
		if diff := cmp.Diff(query(t, put(x.sends.form)), query(t, a.Body)); diff != "" {
			t.Errorf("form (-want +got):\n%s", diff)
		}
	case x.sends.json != "":
		if diff := cmp.Diff(asked{Body: put(x.sends.json)}.json(t), a.json(t)); diff != "" {
			t.Errorf("JSON (-want +got):\n%s", diff)
		}
	}
	for _, q := range x.receipts {
		for range 2 {
			b.asks(t, q, m.ID)
		}
		for _, want := range q.events {
			e := b.NextEvent(t)
			extra := e.Extra()
			if got := (reported{e.DeliveryStatus, extra.Text("failure_code")}); got != want || e.MessageID != m.ID || e.RoutingMetadata.Raw(message.PathKey) != `["app"]` {
				t.Errorf("%s: reported %s, want %+v", q.body, e.Encode(), want)
			}
		}
	}
	if n := b.events.Load(); n != int64(events(x.receipts)) {
		t.Errorf("%d events were reported, want %d", n, events(x.receipts))
	}
}

func events(list []request) (n int) {
	for _, q := range list {
		n += len(q.events)
	}
	return n
}

func (x exercise) understand(t *testing.T) {
	b := x.begin(t)
	for _, c := range x.classes {
		b.provider.answers(c.status, nil, c.body)
		m := outbound("hello")
		if x.sends.message != nil {
			m = x.sends.message()
		}
		tried, err := b.Try(within(t), m)
		if err != nil {
			t.Fatal(err)
		}
		if tried[0].Class != c.class || tried[0].Reason == "" && c.class != http.Sent && c.class != http.Pending {
			t.Errorf("%d %s is understood as %s (%s), want %s", c.status, c.body, tried[0].Class, tried[0].Reason, c.class)
		}
		for _, secret := range x.secrets {
			if text := tried[0].Request + tried[0].Answer + tried[0].Reason; strings.Contains(text, secret.Reveal()) {
				t.Errorf("a secret is in %s", text)
			}
		}
	}
}
