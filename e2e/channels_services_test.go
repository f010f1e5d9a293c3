//go:build services

package e2e

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/internal/xmpptest"
	"switchboard/message"
	"switchboard/xmpp"
)

// One application answers SMPP, XMPP, Telegram, Twilio and the phone in the browser,
// and each conversation is traced. Then Prosody is killed under load: the other
// channels go on, nothing is lost, and twice comes at most what was in flight.
func TestEveryChannel(t *testing.T) {
	t.Parallel()
	f := startEveryChannel(t)
	anna := f.people.Join(t, f.prosody)
	for _, c := range []channel{
		{"smpp_transport", "D (delivered)", f.sms.say, f.sms.read},
		{"xmpp_transport", "D (delivered)", func(text string) { f.chat(anna, text) }, func() string { return bodyOf(anna.Message(t)) }},
		{"telegram", "S (sent)", f.telegram, f.readTelegram},
		{"twilio", "D (delivered)", f.twilio, f.readTwilio},
		{"phone", "S (sent)", func(text string) { f.page.say("+27831234567", text) }, func() string { return f.page.read("+27831234567") }},
	} {
		f.converse(c)
	}

	const window, sms = 20, 20 // the one of configs/use-cases/every-channel/xmpp.yaml
	absent := f.prosody.Account(t, "absent")
	acks, acked, sent := f.load(absent)
	for i := range sms {
		f.sms.say(fmt.Sprintf("meanwhile %d", i))
		f.sms.read()
	}
	f.servers.run("start-prosody")
	for len(acked) < sent {
		select {
		case e := <-acks:
			acked[e.MessageID] = true
		case <-time.After(patience):
			t.Fatalf("%d of %d messages are acknowledged", len(acked), sent)
		}
	}
	came, twice := map[string]bool{}, 0
	for reader := f.people.Login(t, f.prosody, absent); len(came) < sent; { // Prosody kept them
		text := bodyOf(reader.Message(t))
		if came[text] {
			twice++
		}
		came[text] = true
	}
	t.Logf("Prosody was killed with %d messages on their way: all came, %d of them twice", sent, twice)
	if twice > window {
		t.Errorf("%d of %d messages came twice, more than were in flight", twice, sent)
	}
	f.awaitAudit(map[string]int{"I R": 5 + sms, "O S": 2, "O D": 3 + sms + sent})
}

// everyChannel is configs/use-cases/every-channel as one process, and who speaks to it.
type everyChannel struct {
	*operator
	servers *servers
	broker  *rabbitmq.Broker
	prosody xmpptest.Server
	people  *xmpptest.People
	bot     string // its JID
	sms     *smsPhone

	toTelegram, toTwilio chan string // what the providers are asked to send
	ports                map[string]string
	page                 *phonePage
}

const (
	telegramSecret = "the webhook's secret"
	twilioToken    = "the account's token"
	twilioURL      = "https://sms.example.org/twilio"
)

func startEveryChannel(t *testing.T) *everyChannel {
	t.Helper()
	f := &everyChannel{
		servers:    startServers(t, "rabbitmq", "postgres", "prosody"),
		toTelegram: make(chan string, 10), toTwilio: make(chan string, 10), ports: map[string]string{},
	}
	var err error
	if f.people, err = xmpptest.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.people.Close)
	f.sms = newSMSPhone(t)
	f.prosody = xmpptest.FindIn(t, f.servers.url)
	f.bot = f.prosody.Account(t, "bot")
	telegram := provider(t, f.toTelegram, http.StatusOK, `{"ok": true, "result": {"message_id": 7, "chat": {"id": 42}}}`)
	twilio := provider(t, f.toTwilio, http.StatusCreated, `{"sid": "SM7"}`)
	host, port, _ := net.SplitHostPort(f.sms.smsc.Addr())
	amqp := f.servers.url("AMQP_URL")
	env := []string{
		"AMQP_URL=" + amqp, "DATABASE_URL=" + f.servers.url("DATABASE_URL"), "SMPP_HOST=" + host, "SMPP_PORT=" + port,
		"XMPP_HOST=" + f.prosody.Addr, "XMPP_CA=" + f.prosody.CA, "XMPP_USERNAME=" + f.bot, "XMPP_PASSWORD=" + xmpptest.Password,
		"TELEGRAM_API=" + telegram, "TELEGRAM_SECRET=" + telegramSecret, "TWILIO_API=" + twilio, "TWILIO_TOKEN=" + twilioToken,
	}
	for _, name := range []string{"TELEGRAM_PORT", "TWILIO_PORT", "PHONE_PORT"} {
		f.ports[name] = fmt.Sprint(freePort(t))
		env = append(env, name+"="+f.ports[name])
	}
	f.operator = &operator{t, env}
	f.must("migrate")
	startArgs(t, "every-channel", env, "run", "../configs/use-cases/every-channel")
	f.page = openPhonePage(t, f.ports["PHONE_PORT"])
	f.broker = connect(t, amqp)
	return f
}

// provider is an HTTP provider's API: the bodies of its requests, which all get one answer.
func provider(t *testing.T, requests chan<- string, status int, answer string) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
		requests <- string(body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// channel is how somebody speaks to the fleet, and is answered.
type channel struct {
	transport, state string
	say              func(text string)
	read             func() string
}

// converse says something, waits for the echo, and finds each hop of it in the record.
func (f *everyChannel) converse(c channel) {
	f.t.Helper()
	text := "hello by " + c.transport
	c.say(text)
	if got := c.read(); got != text {
		f.t.Errorf("%s answers %q, not %q", c.transport, got, text)
	}
	f.awaitTrace(text, "received by transport", "transport "+c.transport+",", "rule route_mappings."+c.transport,
		"sent by application", "ack", "is R (replied)", "is "+c.state)
}

func (f *everyChannel) chat(p *xmpptest.Person, text string) {
	p.Send(f.t, xmpp.New(xmpp.NSClient, "message", xmpp.NewText(xmpp.NSClient, "body", text)).Set("to", f.bot).Set("type", "chat").Set("id", message.NewID()))
}

func bodyOf(e *xmpp.Element) string { return e.ChildText(xmpp.NSClient, "body") }

func (f *everyChannel) telegram(text string) {
	f.t.Helper()
	update := fmt.Sprintf(`{"update_id": 1, "message": {"message_id": 1, "chat": {"id": 42, "type": "private"}, "date": 1790000000, "text": %q}}`, text)
	f.post("TELEGRAM_PORT", "/telegram/", "application/json", update, "X-Telegram-Bot-Api-Secret-Token", telegramSecret)
}

func (f *everyChannel) readTelegram() string {
	f.t.Helper()
	var asked struct {
		ChatID any `json:"chat_id"`
		Text   string
	}
	if err := json.Unmarshal([]byte(<-f.toTelegram), &asked); err != nil || fmt.Sprint(asked.ChatID) != "42" {
		f.t.Errorf("Telegram was asked %v: %v", asked, err)
	}
	return asked.Text
}

func (f *everyChannel) twilio(text string) {
	f.t.Helper()
	f.signed("", url.Values{"MessageSid": {"SM1"}, "From": {"+27831234567"}, "To": {"+27820001001"}, "Body": {text}})
}

// readTwilio is the text that Twilio is asked to send. Twilio says that it arrived.
func (f *everyChannel) readTwilio() string {
	f.t.Helper()
	asked, err := url.ParseQuery(<-f.toTwilio)
	path, ours := strings.CutPrefix(asked.Get("StatusCallback"), twilioURL)
	if err != nil || !ours || asked.Get("To") != "+27831234567" {
		f.t.Errorf("Twilio was asked %v: %v", asked, err)
	}
	f.signed(path, url.Values{"MessageSid": {"SM7"}, "MessageStatus": {"delivered"}})
	return asked.Get("Body")
}

// signed posts as Twilio does: the signature is over the URL that Twilio knows, and the
// fields by their names.
func (f *everyChannel) signed(path string, fields url.Values) {
	f.t.Helper()
	mac := hmac.New(sha1.New, []byte(twilioToken))
	_, _ = io.WriteString(mac, twilioURL+path)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		_, _ = io.WriteString(mac, name+fields.Get(name))
	}
	f.post("TWILIO_PORT", "/twilio"+path, "application/x-www-form-urlencoded", fields.Encode(),
		"X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// post posts with a header that proves who does; without it nothing is taken.
func (f *everyChannel) post(port, path, kind, body, header, proof string) {
	f.t.Helper()
	for value, want := range map[string]int{"forged": http.StatusForbidden, proof: http.StatusOK} {
		request, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, "http://127.0.0.1:"+f.ports[port]+path, strings.NewReader(body))
		if err != nil {
			f.t.Fatal(err)
		}
		request.Header.Set("Content-Type", kind)
		request.Header.Set(header, value)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			f.t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			f.t.Fatalf("%s answers %s, not %d", path, answer.Status, want)
		}
	}
}

// load sends to an XMPP address, so that some messages are always on their way, kills
// Prosody while they are, and returns what was acknowledged of how many.
func (f *everyChannel) load(to string) (acks <-chan *message.Event, acked map[string]bool, sent int) {
	f.t.Helper()
	const first, backlog = 100, 200 // acknowledged before the kill, and not yet at any time
	events := make(chan *message.Event, 10_000)
	f.watch("xmpp_transport.event", events)
	acked = map[string]bool{}
	killed := make(chan struct{})
	kill := sync.OnceFunc(func() {
		go func() {
			defer close(killed)
			f.servers.run("kill-prosody")
		}()
	})
	for {
		for ; sent < len(acked)+backlog; sent++ {
			m := message.New()
			m.To, m.TransportName, m.TransportType, m.Content = to, "xmpp_transport", "xmpp", fmt.Sprintf("text %d", sent)
			if err := f.broker.Publish(f.t.Context(), broker.Publication{Key: "my_application.outbound", Body: m.Encode()}); err != nil {
				f.t.Fatal(err)
			}
		}
		select {
		case e := <-events:
			acked[e.MessageID] = true
			if len(acked) >= first {
				kill()
			}
		case <-killed:
			return events, acked, sent
		case <-time.After(patience):
			f.t.Fatalf("%d of %d messages are acknowledged", len(acked), sent)
		}
	}
}

// watch takes acks from a queue of its own beside those of the fleet.
func (f *everyChannel) watch(key string, acks chan<- *message.Event) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	queue := broker.Queue{Name: "watch." + key, Keys: []string{key}}
	if err := f.broker.Declare(ctx, queue); err != nil {
		f.t.Fatal(err)
	}
	go func() {
		done <- f.broker.Consume(ctx, queue, 500, func(d *broker.Delivery) {
			defer d.Ack()
			switch e, err := message.DecodeEvent(d.Body); {
			case err != nil || e.Type == message.Nack:
				f.t.Errorf("%s has %s", key, d.Body)
			case e.Type == message.Ack:
				acks <- e
			}
		})
	}()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
}
