package http_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/text/encoding/unicode"

	"switchboard/internal/backoff"
	"switchboard/options"
	"switchboard/transports/http"
	"switchboard/transports/transporttest"
)

// voice is how a preset's provider brings a text under an id of its own, and what the text
// is in a request that it gets.
type voice struct {
	says    func(id int, text string) request
	hears   func(a asked) string
	texts   []string                  // those it takes; nil is any
	secrets map[string]options.Secret // in place of the exercise's
}

// voices are those of the presets.
var voices = map[string]voice{
	"generic_json": {
		says: func(id int, text string) request {
			return request{path: "/messages", kind: jsonType, header: []string{"Authorization", bearer}, body: object("id", fmt.Sprint(id), "from", "+27831234567", "to", "1001", "text", text)}
		},
		hears: member("text"),
	},
	"generic_form": {
		says: func(id int, text string) request {
			return request{path: "/messages", kind: formType, body: form("id", fmt.Sprint(id), "sender", "+27831234567", "to", "1001", "text", text, "token", "t0ken")}
		},
		hears: field("text"),
	},
	"twilio": {
		secrets: map[string]options.Secret{"auth_token": "tw1lio-t0ken"},
		says: func(id int, text string) request {
			body := form("MessageSid", fmt.Sprint("SM", id), "From", "+27831234567", "To", "+27820001001", "Body", text)
			return request{path: "/", kind: formType, body: body, header: []string{"X-Twilio-Signature", twilioSign("tw1lio-t0ken", "https://mycompany.com/myapp.php", body)}}
		},
		hears: field("Body"),
	},
	"kannel": {
		says: func(id int, text string) request {
			return request{method: "GET", path: "/?" + form("id", fmt.Sprint(id), "sender", "+27831234567", "to", "1001", "text", text, "charset", "UTF-8", "token", "t0ken")}
		},
		hears: func(a asked) string {
			query, _ := url.ParseQuery(a.RawQuery)
			if query.Get("coding") == "2" {
				return utf16(query.Get("text"))
			}
			return query.Get("text")
		},
	},
	"vas2nets": {
		texts: []string{"plain", "2013-01-01 10:00:00", "{brackets}", "last"},
		says: func(id int, text string) request {
			return request{path: "/", kind: formType, body: form("messageid", fmt.Sprintf("%025d", id), "time", "2009.02.13 23:31:30", "sender", "0041791234567", "destination", "9292", "text", text)}
		},
		hears: field("text"),
	},
	"infobip": {
		says: func(id int, text string) request {
			return request{path: "/", kind: jsonType, body: fmt.Sprintf(`{"results":[%s]}`, object("messageId", fmt.Sprint(id), "from", "385916242493", "to", "385921004026", "text", text))}
		},
		hears: member("messages", "0", "content", "text"),
	},
	"africastalking": {
		says: func(id int, text string) request {
			return request{path: "/", kind: formType, body: form("id", fmt.Sprint(id), "from", "+254711082000", "to", "20880", "text", text)}
		},
		hears: field("message"),
	},
	"vonage": {
		says: func(id int, text string) request {
			body := vonageSign("signature_secret", "msisdn", "27831234567", "to", "27820001001", "messageId", fmt.Sprint(id), "text", text, "timestamp", fmt.Sprint(vonageNow.Unix()))
			return request{path: "/", kind: formType, body: body}
		},
		hears: field("text"),
	},
	"plivo": {
		says: func(id int, text string) request {
			return request{
				path: "/", kind: formType, body: form("From", "27831234567", "To", "27820001001", "Text", text, "MessageUUID", fmt.Sprint(id)),
				header: []string{"X-Plivo-Signature-V2", macBase64("my_auth_token", public+"12345"), "X-Plivo-Signature-V2-Nonce", "12345"},
			}
		},
		hears: member("text"),
	},
	"messagebird": {
		says: func(id int, text string) request {
			body := form("mid", fmt.Sprint(id), "shortcode", "1008", "originator", "27831234567", "message", text)
			return request{path: "/", kind: formType, body: body, header: []string{"MessageBird-Signature-JWT", birdJWT("signing-key", public, body)}}
		},
		hears: member("body"),
	},
	"bird": {
		says: func(id int, text string) request {
			return request{path: "/", kind: jsonType, body: fmt.Sprintf(`{"event":"sms.inbound","payload":{"id":"BI%d","sender":{"contact":{"identifierValue":"+27831234567"}},
				"receiver":{"connectors":[{"identifierValue":"+27820001001"}]},"body":{"type":"text","text":%s}}}`, id, object("text", text))}
		},
		hears: member("body", "text", "text"),
	},
	"clickatell": {
		texts: []string{"naïve ☃ سلام 🎲", "2013-01-01 10:00:00", `{"content": "\u0000"}`, strings.Repeat("long ", 127) + "end"}, // 640 at most in one request
		says: func(id int, text string) request {
			return request{path: "/", kind: jsonType, body: object("messageId", fmt.Sprint(id), "apiKey", "cl1ckatell-key", "fromNumber", "27831234567", "toNumber", "27820001001", "text", text)}
		},
		hears: member("messages", "0", "content"),
	},
	"telnyx": {
		says: func(id int, text string) request {
			body := fmt.Sprintf(`{"data":{"event_type":"message.received","id":"EV%d","payload":{"id":"TX%d","from":{"phone_number":"+27831234567"},"to":[{"phone_number":"+27820001001"}],"text":%s}}}`, id, id, quoted(text))
			return request{path: "/", kind: jsonType, body: body, header: telnyxHeader(body, signedAt)}
		},
		hears: member("text"),
	},
	"telegram": {
		says: func(id int, text string) request {
			return request{
				path: "/", kind: jsonType, header: []string{"X-Telegram-Bot-Api-Secret-Token", "hook-s3cret"},
				body: fmt.Sprintf(`{"update_id":%d,"message":{"message_id":%d,"date":1700000000,"from":{"id":42},"chat":{"id":42,"type":"private"},"text":%s}}`, id, id, quoted(text)),
			}
		},
		hears: member("text"),
	},
	"whatsapp": {
		says: func(id int, text string) request {
			body := fmt.Sprintf(`{"entry":[{"changes":[{"value":{"metadata":{"display_phone_number":"27820001001","phone_number_id":"PN1"},
				"messages":[{"id":"wamid.%d","from":"27831234567","timestamp":"1700000000","type":"text","text":%s}]}}]}]}`, id, object("body", text))
			return request{path: "/", kind: jsonType, body: body, header: whatsappSigned(body)}
		},
		hears: member("text", "body"),
	},
	"sms_gate": {
		says: func(id int, text string) request {
			body := fmt.Sprintf(`{"id":"WH%d","event":"sms:received","payload":{"messageId":"abc","message":%s,"sender":"+27831234567","recipient":"+27820001001"}}`, id, quoted(text))
			return request{path: "/", kind: jsonType, body: body, header: gateHeader(body)}
		},
		hears: member("textMessage", "text"),
	},
	"smssync": {
		says: func(id int, text string) request {
			return request{
				path: "/", kind: formType, answer: `{"payload":{"error":null,"success":true}}`,
				body: form("from", "+27831234567", "message", text, "message_id", fmt.Sprint(id), "sent_to", "0820001001", "secret", "ph0ne-secret", "device_id", "1"),
			}
		},
	},
	"jasmin": {
		says: func(id int, text string) request {
			return request{path: "/?token=t0ken", kind: formType, body: form("id", fmt.Sprint(id), "from", "27831234567", "to", "1001", "coding", "8", "binary", hex.EncodeToString([]byte(asUTF16(text))))}
		},
		hears: func(a asked) string {
			if text, err := hex.DecodeString(a.Form.Get("hex-content")); err == nil && len(text) > 0 {
				return utf16(string(text))
			}
			return a.Form.Get("content")
		},
	},
}

func quoted(text string) string {
	encoded, _ := json.Marshal(text) // texts: cannot fail
	return string(encoded)
}

func object(pairs ...string) string {
	var members []string
	for i := 0; i < len(pairs); i += 2 {
		members = append(members, quoted(pairs[i])+":"+quoted(pairs[i+1]))
	}
	return "{" + strings.Join(members, ",") + "}"
}

var bigEndian = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)

func utf16(text string) string {
	text, _ = bigEndian.NewDecoder().String(text)
	return text
}

func asUTF16(text string) string {
	text, _ = bigEndian.NewEncoder().String(text)
	return text
}

func field(name string) func(asked) string { return func(a asked) string { return a.Form.Get(name) } }

// member is the text at a path of names and numbers in a JSON body.
func member(path ...string) func(asked) string {
	return func(a asked) string {
		var value any
		_ = json.Unmarshal([]byte(a.Body), &value)
		for _, key := range path {
			if list, is := value.([]any); is {
				n, _ := strconv.Atoi(key)
				value = list[n]
				continue
			}
			members, _ := value.(map[string]any)
			value = members[key]
		}
		text, _ := value.(string)
		return text
	}
}

// partner is the provider of a preset, and the person behind it: it answers as the
// preset's exercise documents it.
type partner struct {
	*httptest.Server
	exercise
	voice
	transport *http.Transport
	client    *nethttp.Client
	heard     chan string
	leave     func()

	mu   sync.Mutex
	said int
	last request
	next transporttest.Outcome // of the next message
	held chan struct{}         // closed when answers may go; nil while none is held
}

func TestConformance(t *testing.T) {
	for _, x := range slices.Concat(exercises, exercises2) {
		t.Run(x.preset, func(t *testing.T) {
			if voices[x.preset].says == nil {
				t.Fatal("it has no voice")
			}
			transporttest.Run(t, func(t *testing.T) *transporttest.Outside { return newPartner(x).outside(t) })
		})
	}
}

func newPartner(x exercise) *partner {
	p := &partner{exercise: x, voice: voices[x.preset], transport: http.New(), client: &nethttp.Client{Transport: &nethttp.Transport{}}, heard: make(chan string, 1000)}
	if p.voice.secrets != nil {
		p.exercise.secrets = p.voice.secrets
	}
	p.Server = httptest.NewServer(p)
	p.leave = sync.OnceFunc(func() {
		p.Server.Close()
		p.client.CloseIdleConnections()
	})
	port := 0
	p.transport.Provider, p.transport.WebHost, p.transport.WebPort, p.transport.UnknownPolicy = x.preset, "127.0.0.1", &port, "fail"
	p.transport.PublicURL, p.transport.Options, p.transport.Secrets = x.public, map[string]string{}, p.exercise.secrets
	for name, value := range x.settings {
		p.transport.Options[name] = strings.ReplaceAll(value, "PROVIDER", p.URL)
	}
	p.transport.StopWithin(100 * time.Millisecond)
	return p
}

func (p *partner) outside(t *testing.T) *transporttest.Outside {
	o := &transporttest.Outside{
		Transport: p.transport, Say: p.say, Repeat: p.repeat, Hear: p.hear, Leave: p.leave, Texts: p.texts,
		Meet: map[transporttest.Outcome]func(){},
	}
	if !p.now.IsZero() {
		o.Now = func() time.Time { return p.now }
	}
	for _, secret := range p.exercise.secrets {
		o.Secrets = append(o.Secrets, secret.Reveal())
	}
	if p.hears == nil { // it fetches, and nothing can be refused
		ctx, stop := context.WithCancel(context.Background())
		var group sync.WaitGroup
		group.Go(func() { p.fetch(ctx) })
		t.Cleanup(func() { stop(); group.Wait(); p.leave() })
		return o
	}
	o.Stall = p.stall
	for _, outcome := range []transporttest.Outcome{transporttest.Temporary, transporttest.Throttled, transporttest.Permanent, transporttest.Unknown} {
		o.Meet[outcome] = func() { p.meet(outcome) }
	}
	if _, documented := p.pendingReceipt(); documented {
		o.Meet[transporttest.Pending] = func() { p.meet(transporttest.Pending) }
	}
	return o
}

func (p *partner) say(ctx context.Context, text string) error {
	p.mu.Lock()
	p.said++
	p.last = p.says(p.said, text)
	p.last.answer = p.inbound[len(p.inbound)-1].answer
	p.mu.Unlock()
	return p.repeat(ctx)
}

func (p *partner) repeat(ctx context.Context) error {
	p.mu.Lock()
	last := p.last
	p.mu.Unlock()
	return p.ask(ctx, last)
}

// ask makes a request, and returns an error where the answer is not the documented one.
func (p *partner) ask(ctx context.Context, r request) error {
	status, answer, err := p.call(ctx, r)
	if err == nil && (status != nethttp.StatusOK || answer != r.answer) {
		err = fmt.Errorf("%s %s is answered %d %q", r.method, r.path, status, answer)
	}
	return err
}

func (p *partner) call(ctx context.Context, r request) (status int, answer string, err error) {
	addr, err := p.transport.Addr(ctx)
	if err != nil {
		return 0, "", err
	}
	if r.method == "" {
		r.method = nethttp.MethodPost
	}
	q, err := nethttp.NewRequestWithContext(ctx, r.method, "http://"+addr.String()+r.path, strings.NewReader(r.body))
	if err != nil {
		return 0, "", err
	}
	q.Header.Set("Content-Type", r.kind)
	for i := 0; i < len(r.header); i += 2 {
		q.Header.Set(r.header[i], r.header[i+1])
	}
	response, err := p.client.Do(q)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

func (p *partner) hear(ctx context.Context) (string, error) {
	select {
	case text := <-p.heard:
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// fetch is SMSSync: it asks for messages, and says that it has them.
func (p *partner) fetch(ctx context.Context) {
	for backoff.Sleep(ctx, 5*time.Millisecond) {
		_, answer, err := p.call(ctx, request{method: "GET", path: "/?task=send&secret=ph0ne-secret"})
		var list struct {
			Payload struct {
				Messages []struct{ Message, UUID string }
			}
		}
		if err != nil || json.Unmarshal([]byte(answer), &list) != nil {
			continue
		}
		for _, m := range list.Payload.Messages {
			body := fmt.Sprintf(`{"queued_messages":[%q]}`, m.UUID)
			_, taken, err := p.call(ctx, request{path: "/?task=sent&secret=ph0ne-secret", kind: jsonType, body: body})
			if err == nil && strings.Contains(taken, m.UUID) {
				p.heard <- m.Message
			}
		}
	}
}

func (p *partner) meet(o transporttest.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = o
}

func (p *partner) stall() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := make(chan struct{})
	p.held = held
	return sync.OnceFunc(func() { close(held) })
}

// refusal is how the provider says an outcome.
func (p *partner) refusal(o transporttest.Outcome) classified {
	for _, c := range p.classes {
		if string(c.class) == string(o) {
			return c
		}
	}
	switch o {
	case transporttest.Temporary:
		return classified{status: nethttp.StatusServiceUnavailable}
	case transporttest.Throttled:
		return classified{status: nethttp.StatusTooManyRequests}
	}
	return classified{status: nethttp.StatusBadRequest}
}

func (p *partner) pendingReceipt() (request, bool) {
	for _, r := range p.receipts {
		if slices.Equal(r.events, []reported{pending}) {
			return r, true
		}
	}
	return request{}, false
}

// ourID is our identifier of a message, in what is sent.
var ourID = regexp.MustCompile("[0-9a-f]{32}")

// ServeHTTP takes what is sent to the person.
func (p *partner) ServeHTTP(w nethttp.ResponseWriter, q *nethttp.Request) {
	a := readAsked(q)
	id := ourID.FindString(a.RawQuery + a.Body)
	p.mu.Lock()
	outcome, held := p.next, p.held
	p.next, p.held = transporttest.Sent, nil
	p.mu.Unlock()
	if held != nil {
		<-held
	}
	switch outcome {
	case transporttest.Temporary, transporttest.Throttled, transporttest.Permanent:
		c := p.refusal(outcome)
		w.Header().Set("Retry-After", "0.1")
		answerWith(w, c.status, nil, c.body)
		return
	}
	p.heard <- p.hears(a)
	switch outcome {
	case transporttest.Unknown:
		if conn, _, err := nethttp.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
		return
	case transporttest.Pending:
		r, _ := p.pendingReceipt()
		r.path, r.body = strings.ReplaceAll(r.path, "MSGID", id), strings.ReplaceAll(r.body, "MSGID", id)
		_ = p.ask(q.Context(), r) // its event is awaited
	}
	answerWith(w, max(p.sends.status, 200), p.sends.header, strings.ReplaceAll(p.sends.answer, "MSGID", id))
}

func answerWith(w nethttp.ResponseWriter, status int, header map[string]string, text string) {
	for name, value := range header {
		w.Header().Set(name, value)
	}
	if w.Header().Get("Content-Type") == "" && strings.HasPrefix(text, "{") {
		w.Header().Set("Content-Type", jsonType)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}
