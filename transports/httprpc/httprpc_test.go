package httprpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/store/memory"
	"switchboard/transports"
	"switchboard/transports/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) *transporttest.Outside {
		tr := New()
		tr.WebHost, tr.WebUsername, tr.WebPassword = "127.0.0.1", "gateway", "s3cr3t&pass"
		if err := tr.Validate(); err != nil {
			t.Fatal(err)
		}
		g := &gateway{tr: tr, client: &nethttp.Transport{}, answers: make(chan string, 100)}
		return &transporttest.Outside{
			Transport: tr, Say: g.say, Hear: g.hear, Leave: g.client.CloseIdleConnections, Asks: true, Secrets: []string{"s3cr3t&pass"},
			Meet: map[transporttest.Outcome]func(){transporttest.Permanent: g.hangUp},
		}
	})
}

// gateway asks, and reads the answers.
type gateway struct {
	tr      *Transport
	client  *nethttp.Transport
	answers chan string
	cancel  context.CancelFunc // of the last request
	done    chan struct{}      // closed when it has ended
}

// say returns when the request is on its way.
func (g *gateway) say(ctx context.Context, text string) error {
	addr, err := g.tr.Addr(ctx)
	if err != nil {
		return err
	}
	ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	body := url.Values{"from_addr": {"+27831234567"}, "to_addr": {"*120#"}, "content": {text}}
	q, err := nethttp.NewRequestWithContext(ctx, nethttp.MethodPost, "http://"+addr.String()+"/", strings.NewReader(body.Encode()))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.SetBasicAuth("gateway", "s3cr3t&pass")
	done := make(chan struct{})
	g.done = done
	go func() {
		defer close(done)
		answer, err := g.client.RoundTrip(q)
		if err != nil {
			return
		}
		defer func() { _ = answer.Body.Close() }()
		if text, err := io.ReadAll(answer.Body); err == nil && answer.StatusCode == nethttp.StatusOK {
			g.answers <- string(text)
		}
	}()
	return nil
}

func (g *gateway) hear(ctx context.Context) (string, error) {
	select {
	case text := <-g.answers:
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// hangUp ends the last request, and waits until the transport knows.
func (g *gateway) hangUp() {
	g.cancel()
	<-g.done
	for deadline := time.Now().Add(transporttest.Patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if r, err := g.tr.current.Get(context.Background()); err == nil && r.requests.pending() == 0 {
			return
		}
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), transporttest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// server is a running transport, and what it publishes.
type server struct {
	*Transport
	*transporttest.Publisher
	client *nethttp.Transport
	stop   func()
}

func start(t *testing.T, state store.State, change ...func(*Transport)) *server {
	t.Helper()
	s := &server{Transport: New(), Publisher: transporttest.NewPublisher(), client: &nethttp.Transport{}}
	s.WebHost, s.TransportName = "127.0.0.1", "ussd"
	for _, c := range change {
		c(s.Transport)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := s.Provision(t.Context(), transports.Env{Name: "ussd", State: state, Logger: s.logger, Registerer: prometheus.NewRegistry()}); err != nil {
		t.Fatal(err)
	}
	s.stop = transporttest.Start(t, s.Transport, s.Publisher)
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		s.stop()
	})
	return s
}

func remember(t *testing.T) *memory.State {
	state := memory.New()
	t.Cleanup(func() { _ = state.Close() })
	return state
}

// answer is what a request was answered.
type answered2 struct {
	status int
	body   string
	header nethttp.Header
}

// asks makes a request, "METHOD PATH[?QUERY]" with a body, in the background.
func (s *server) asks(t *testing.T, what, body string) <-chan answered2 {
	t.Helper()
	addr, err := s.Addr(within(t))
	if err != nil {
		t.Fatal(err)
	}
	method, path, _ := strings.Cut(what, " ")
	q, err := nethttp.NewRequestWithContext(within(t), method, "http://"+addr.String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case strings.HasPrefix(body, "{"):
		q.Header.Set("Content-Type", "application/json")
	case strings.HasPrefix(body, "<"):
		q.Header.Set("Content-Type", "text/xml")
	case body != "":
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answers := make(chan answered2, 1)
	go func() {
		response, err := s.client.RoundTrip(q)
		if err != nil {
			answers <- answered2{body: err.Error()}
			return
		}
		defer func() { _ = response.Body.Close() }()
		text, _ := io.ReadAll(response.Body)
		answers <- answered2{response.StatusCode, string(text), response.Header}
	}()
	return answers
}

const hello = "from_addr=123&to_addr=456&content=hello"

// A reply that no request waits for is a nack that says why.
func TestLateReplies(t *testing.T) {
	s := start(t, nil, func(tr *Transport) {
		tr.RequestTimeout, tr.RequestTimeoutBody = options.Duration(50*time.Millisecond), "too slow"
	})
	answer := s.asks(t, "POST /", hello)
	m := s.Next(t)
	if a := <-answer; a.status != 504 || a.body != "too slow" {
		t.Errorf("answered %d %q", a.status, a.body)
	}
	for what, c := range map[string]struct {
		reply *message.Message
		want  string
	}{
		"after the timeout":      {m.Reply("late"), "the reply came too late: the request was given up after 50ms"},
		"to another message":     {&message.Message{ID: "m", InReplyTo: "other", Content: "x"}, `no request with the message_id "other" waits`},
		"to nothing":             {&message.Message{ID: "m", Content: "x"}, "Missing fields: in_reply_to"},
		"with nothing":           {&message.Message{ID: "m", InReplyTo: m.ID}, "Missing fields: content"},
		"with nothing whatever":  {&message.Message{ID: "m"}, "Missing fields: in_reply_to, content"},
		"to a request elsewhere": {heldElsewhere(), "replicas need a DATABASE_URL"},
	} {
		if _, err := s.Send(within(t), c.reply); !message.IsPermanent(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}
	for status := s.NextStatus(t); status.Type != "timeout"; status = s.NextStatus(t) {
	}
}

func heldElsewhere() *message.Message {
	m := message.New()
	m.InReplyTo, m.Content = "other", "x"
	m.TransportMetadata.Set(metadataKey, holding{"another", time.Now().Add(time.Minute)})
	return m
}

// A request has one reply, and whoever sends another learns it.
func TestSecondReply(t *testing.T) {
	s := start(t, nil)
	answer := s.asks(t, "GET /?"+hello, "")
	m := s.Next(t)
	if _, err := s.Send(within(t), m.Reply("one")); err != nil {
		t.Fatal(err)
	}
	if a := <-answer; a.status != 200 || a.body != "one" {
		t.Errorf("answered %+v", a)
	}
	if _, err := s.Send(within(t), m.Reply("two")); !message.IsPermanent(err) || !strings.Contains(err.Error(), "answered before") {
		t.Errorf("got %v", err)
	}
}

// A reply that another replica is given reaches the process that holds the request, and
// what became of it the one that has the reply.
func TestReplicas(t *testing.T) {
	state := remember(t)
	holder, replica := start(t, state), start(t, state)
	answer := holder.asks(t, "POST /", hello)
	m := holder.Next(t)
	if _, err := replica.Send(within(t), m.Reply("by the other")); err != nil {
		t.Fatal(err)
	}
	if a := <-answer; a.status != 200 || a.body != "by the other" {
		t.Errorf("answered %+v", a)
	}
	if _, err := replica.Send(within(t), m.Reply("again")); !message.IsPermanent(err) || !strings.Contains(err.Error(), "answered before") {
		t.Errorf("a second reply: %v", err)
	}
	left, err := state.Range(t.Context(), handOverKey, handOverKey+"~", 10)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// The replicas of a process that has gone learn it, and say so.
func TestAHolderThatDied(t *testing.T) {
	state := remember(t)
	replica := start(t, state)
	if _, err := replica.Send(within(t), heldElsewhere()); !message.IsPermanent(err) || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("got %v", err)
	}
}

// A stop answers those that wait.
func TestStopAnswersRequests(t *testing.T) {
	s := start(t, nil)
	answer := s.asks(t, "POST /", hello)
	s.Next(t)
	s.stop()
	if a := <-answer; a.status != 503 {
		t.Errorf("answered %+v", a)
	}
}

func TestTooManyRequests(t *testing.T) {
	s := start(t, nil, func(tr *Transport) { tr.MaxRequests = 1 })
	first := s.asks(t, "POST /", hello)
	m := s.Next(t)
	if a := <-s.asks(t, "POST /", hello); a.status != 503 || !strings.Contains(a.body, "too many requests wait") {
		t.Errorf("answered %+v", a)
	}
	if a := <-s.asks(t, "GET /health", ""); a.body != `{"pending_requests":1}`+"\n" {
		t.Errorf("health says %+v", a)
	}
	if _, err := s.Send(within(t), m.Reply("one")); err != nil {
		t.Error(err)
	}
	<-first
}

// How long replies take is said.
func TestResponseTimes(t *testing.T) {
	s := start(t, nil, func(tr *Transport) {
		tr.ResponseTimeDegraded, tr.ResponseTimeDown = options.Duration(time.Second), options.Duration(time.Hour)
	})
	for _, want := range []struct {
		wait time.Duration
		kind string
	}{{0, "response_sent"}, {time.Second, "slow_response"}, {0, "response_sent"}} {
		answer := s.asks(t, "POST /", hello)
		m := s.Next(t)
		r, err := s.current.Get(within(t))
		if err != nil {
			t.Fatal(err)
		}
		q, _ := r.requests.find(m.ID)
		q.began = q.began.Add(-want.wait) // the reply is slow
		if _, err := s.Send(within(t), m.Reply("hi")); err != nil {
			t.Fatal(err)
		}
		<-answer
		if want.kind == "slow_response" || want.wait == 0 {
			for status := s.NextStatus(t); status.Component != "response" || status.Type != want.kind; status = s.NextStatus(t) {
				if status.Component == "response" && want.wait > 0 {
					t.Errorf("got %s", status.Encode())
				}
			}
		}
	}
}

// Wrong requests are refused as Vumi's transport refuses them.
func TestWrongRequests(t *testing.T) {
	s := start(t, nil)
	for _, c := range []struct {
		what, body string
		status     int
		want       string
	}{
		{"POST /", "from_addr=1&to_addr=2", 400, `{"missing_parameter":["content"]}`},
		{"POST /", hello + "&colour=red", 400, `{"unexpected_parameter":["colour"]}`},
		{"POST /", `{"from_addr": "1"`, 400, "no JSON"},
		{"POST /", hello + "&session_event=begin", 400, "session_event is not"},
		{"DELETE /", "", 405, "DELETE is not"},
		{"GET /elsewhere", "", 404, "nothing is taken here"},
		{"POST /", hello + strings.Repeat("x", 2<<20), 413, "bytes"},
	} {
		if a := <-s.asks(t, c.what, c.body); a.status != c.status || !strings.Contains(a.body, c.want) {
			t.Errorf("%s %.60s was answered %d %s, want %d %s", c.what, c.body, a.status, a.body, c.status, c.want)
		}
	}
	s.Refuse(errors.New("the broker said no"))
	if a := <-s.asks(t, "POST /", hello); a.status != 503 {
		t.Errorf("answered %+v", a)
	}
}

func TestAuthentication(t *testing.T) {
	s := start(t, nil, func(tr *Transport) { tr.WebUsername, tr.WebPassword = "user", "right" })
	a := <-s.asks(t, "POST /", hello)
	if a.status != 401 || a.header.Get("WWW-Authenticate") != `Basic realm="Vumi HTTP RPC transport"` {
		t.Errorf("answered %+v", a)
	}
}

// Vumi's HTTP API answers with the message's ID, and has defaults for fields.
func TestAPI(t *testing.T) {
	s := start(t, nil, func(tr *Transport) {
		tr.ReplyExpected, tr.AllowedFields, tr.FieldDefaults = false, options.Names{"content", "to_addr"}, map[string]string{"from_addr": "789"}
	})
	a := <-s.asks(t, "POST /", `{"content": "hello", "to_addr": "456"}`)
	m := s.Next(t)
	if a.status != 200 || strings.TrimSpace(a.body) != fmt.Sprintf(`{"message_id":"%s"}`, m.ID) {
		t.Errorf("answered %+v", a)
	}
	if m.From != "789" || m.To != "456" || m.Content != "hello" || m.TransportType != "http_api" || m.SessionEvent != message.SessionNone {
		t.Errorf("got %s", m.Encode())
	}
	if a := <-s.asks(t, "POST /", hello); !strings.Contains(a.body, `"unexpected_parameter":["from_addr"]`) {
		t.Errorf("answered %+v", a)
	}
	if _, err := s.Send(within(t), m.Reply("hi")); !message.IsPermanent(err) || !strings.Contains(err.Error(), "reply_expected is off") {
		t.Errorf("got %v", err)
	}
}

func TestOptions(t *testing.T) {
	for text, want := range map[string]string{
		"provider: safaricm":                           `did you mean "safaricom"`,
		"provider: ./nowhere.yaml":                     "provider",
		"provider: airtel\noptions: {colour: red}":     "options.colour: airtel has none of this name",
		"web_port: 70000":                              "web_port: must be a port number",
		"web_path: ussd":                               "web_path: is",
		"web_username: user":                           "web_username: and web_password",
		"validation_mode: lax":                         "validation_mode: is",
		"request_timeout: 0":                           "request_timeout: must be above 0",
		"request_timeout_status_code: 42":              "request_timeout_status_code: must be",
		"max_requests: 0":                              "max_requests: must be",
		"provider: vodacom\nussd_string_prefix: '*12'": "",
	} {
		tr := New()
		doc, err := options.Parse("rpc.yaml", []byte(text), func(string) (string, bool) { return "", false })
		if err == nil {
			err = errors.Join(doc.Into(tr), doc.Rest())
		}
		if err == nil {
			err = doc.Locate(tr.Validate())
		}
		if got := fmt.Sprint(err); !strings.Contains(got, want) || want == "" && err != nil {
			t.Errorf("%s gave %s, want %s", text, got, want)
		}
	}
}

func TestLint(t *testing.T) {
	for _, c := range []struct {
		change func(*Transport)
		warns  bool
	}{
		{func(*Transport) {}, true},
		{func(tr *Transport) { tr.WebUsername, tr.WebPassword = "u", "p" }, false},
		{func(tr *Transport) { tr.Provider = "airtel" }, true},
		{func(tr *Transport) { tr.Provider, tr.AirtelUsername, tr.AirtelPassword = "airtel", "u", "p" }, false},
	} {
		tr := New()
		c.change(tr)
		if err := tr.Validate(); err != nil {
			t.Fatal(err)
		}
		if got := tr.Lint(); (got != nil) != c.warns {
			t.Errorf("%+v: %v", tr.VumiOptions, got)
		}
	}
}
