package httptester

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/options"
	"switchboard/transports/transporttest"
)

// start runs a transport on a free port until the test ends and returns its
// page's address.
func start(t *testing.T, opts ...func(*Transport)) (tr *Transport, line *transporttest.Publisher, page string) {
	t.Helper()
	tr, line = New(), transporttest.NewPublisher()
	tr.TransportName, tr.WebHost, tr.WebPort = "phone", "127.0.0.1", 0
	for _, option := range opts {
		option(tr)
	}
	if err := tr.Validate(); err != nil {
		t.Fatal(err)
	}
	transporttest.Start(t, tr, line)
	return tr, line, pageOf(t, tr)
}

func pageOf(t *testing.T, tr *Transport) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), transporttest.Patience)
	defer cancel()
	addr, err := tr.Addr(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + addr.String() + tr.path()
}

// do makes a request with a client of its own and returns status and body.
func do(t *testing.T, r *http.Request) (status int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: transporttest.Patience}
	response, body := testutil.Do(t, client, r)
	return response.StatusCode, body
}

func form(t *testing.T, where string, fields ...string) *http.Request {
	t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, where, strings.NewReader(values.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func get(t *testing.T, where string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, where, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// events is an open stream of a page.
type events struct {
	t    *testing.T
	body io.ReadCloser
	in   *bufio.Reader
	id   string // of the last event
}

func listenTo(t *testing.T, page, lastEventID string) *events {
	t.Helper()
	r := get(t, page+"events")
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	transport := &http.Transport{}
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close(); transport.CloseIdleConnections() })
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("the stream is %s", got)
	}
	watch := time.AfterFunc(transporttest.Patience, func() { _ = response.Body.Close() })
	t.Cleanup(func() { watch.Stop() })
	return &events{t: t, body: response.Body, in: bufio.NewReader(response.Body)}
}

// next is the next entry; a reset is an entry whose Flow is "reset".
func (e *events) next() (found entry) {
	e.t.Helper()
	for {
		text, err := e.in.ReadString('\n')
		if err != nil {
			e.t.Fatalf("reading the stream: %v", err)
		}
		key, value, _ := strings.Cut(strings.TrimSuffix(text, "\n"), ": ")
		switch key {
		case "id":
			e.id = value
		case "event":
			return entry{Flow: message.Flow(value)}
		case "data":
			if value == "{}" {
				continue
			}
			if err := json.Unmarshal([]byte(value), &found); err != nil {
				e.t.Fatal(err)
			}
			return found
		}
	}
}

func (e *events) ends() {
	e.t.Helper()
	if _, err := io.ReadAll(e.in); err != nil {
		e.t.Fatalf("the stream ended with %v", err)
	}
}

func TestWhatIsTypedIsReceivedAndAnswered(t *testing.T) {
	tr, line, page := start(t)
	stream := listenTo(t, page, "")
	if got := stream.next(); got.Flow != "reset" {
		t.Errorf("the first event is %v, want reset", got)
	}
	if status, body := do(t, form(t, page+"messages", "from", " +12025550101", "content", "hello\r\nworld")); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, body)
	}
	m := line.Next(t)
	if m.From != "+12025550101" || m.To != "8080" || m.Content != "hello\nworld" || m.TransportType != "sms" || m.SessionEvent != "" {
		t.Errorf("received %s", m.Encode())
	}
	if _, err := tr.Send(t.Context(), m.Reply("<b>hi</b>")); err != nil {
		t.Fatal(err)
	}
	if got := stream.next(); got.Flow != message.Inbound || got.Phone != m.From || got.Content != m.Content {
		t.Errorf("got %+v", got)
	}
	if got := stream.next(); got.Flow != message.Outbound || got.Phone != m.From || got.Other != "8080" || got.Content != "<b>hi</b>" {
		t.Errorf("got %+v", got)
	}
	if _, body := do(t, get(t, page)); strings.Contains(body, "<b>hi") || !strings.Contains(body, "&lt;b&gt;hi") || !strings.Contains(body, ">phone<") {
		t.Errorf("the page does not show its messages as text, or not its transport's name:\n%s", body)
	}
}

func TestASessionIsUSSD(t *testing.T) {
	_, line, page := start(t)
	for _, session := range []string{"new", "resume", "close"} {
		if status, body := do(t, form(t, page+"messages", "from", "12345", "to", "*120#", "session", session)); status != http.StatusAccepted {
			t.Fatalf("%d %s", status, body)
		}
		m := line.Next(t)
		if string(m.SessionEvent) != session || m.TransportType != "ussd" || m.To != "*120#" {
			t.Errorf("received %s", m.Encode())
		}
	}
}

func TestTheAnswerIsNotAboveTheQuestion(t *testing.T) {
	tr, line, page := start(t)
	release := line.Hold()
	posted := make(chan int, 1)
	r := form(t, page+"messages", "from", "12345", "content", "question")
	go func() {
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			posted <- 0
			return
		}
		_ = response.Body.Close()
		posted <- response.StatusCode
	}()
	question := line.Asked(t)
	sent := make(chan error, 1)
	go func() { // as when the answer overtakes the broker's confirm
		_, err := tr.Send(context.Background(), question.Reply("answer"))
		sent <- err
	}()
	if entries, _ := tr.history.since(0); len(entries) > 0 {
		t.Errorf("%+v is shown before the broker has it", entries)
	}
	release()
	if status := <-posted; status != http.StatusAccepted {
		t.Errorf("got status %d", status)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	entries, _ := tr.history.since(0)
	if len(entries) != 2 || entries[0].Content != "question" || entries[1].Content != "answer" {
		t.Errorf("got %+v", entries)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func TestWhatIsRefused(t *testing.T) {
	_, line, page := start(t)
	line.Refuse(errors.New("the broker said no"))
	for name, c := range map[string]struct {
		path   string
		fields []string
		status int
		want   string
	}{
		"the broker":        {"messages", []string{"from", "123", "content", "x"}, 503, "was not sent. the broker said no"},
		"no text":           {"messages", []string{"from", "123", "content", " "}, 400, "no text"},
		"no number":         {"messages", []string{"content", "x"}, 400, "needs a number"},
		"an odd number":     {"messages", []string{"from", "1\x002", "content", "x"}, 400, "unprintable"},
		"an endless number": {"messages", []string{"from", strings.Repeat("1", 65), "content", "x"}, 400, "longer than 64 bytes"},
		"an odd session":    {"messages", []string{"from", "123", "content", "x", "session", "maybe"}, 400, "not new, resume or close"},
		"a long text":       {"messages", []string{"from", "123", "content", strings.Repeat("x", maxContent+1)}, 400, "longer than"},
		"an endless form":   {"messages", []string{"from", "123", "content", strings.Repeat("x", maxForm)}, 400, "cannot be read"},
		"bulk: no lines":    {"bulk", []string{"lines", " \n "}, 400, "no line with a message"},
		"bulk: a mistake":   {"bulk", []string{"lines", "111, a\n222,"}, 400, "Nothing was sent: line 2: there is no text"},
		"bulk: too many":    {"bulk", []string{"from", "1", "lines", strings.Repeat("x\n", maxBulk+1)}, 400, "more than 1000"},
		"bulk: the broker":  {"bulk", []string{"lines", "111, a\n222, b"}, 503, "0 of 2 messages were sent. the broker said no"},
	} {
		t.Run(name, func(t *testing.T) {
			if status, body := do(t, form(t, page+c.path, c.fields...)); status != c.status || !strings.Contains(body, c.want) {
				t.Errorf("got %d %s, want %d … %s", status, body, c.status, c.want)
			}
		})
	}
}

func TestManyAtOnce(t *testing.T) {
	_, line, page := start(t)
	lines := "+1 202 555 0101, hello, world\n\n222: two\n333\tthree\nno number here: four\n"
	if status, body := do(t, form(t, page+"bulk", "from", "999", "lines", lines)); status != http.StatusAccepted || body != "4 messages were sent." {
		t.Fatalf("%d %s", status, body)
	}
	for _, want := range []string{"+1 202 555 0101|hello, world", "222|two", "333|three", "999|no number here: four"} {
		if m := line.Next(t); m.From+"|"+m.Content != want {
			t.Errorf("got %s|%s, want %s", m.From, m.Content, want)
		}
	}
}

func TestAnotherSitesPageCannotSend(t *testing.T) {
	_, _, page := start(t)
	for header, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
		r := form(t, page+"messages", "from", "123", "content", "x")
		r.Header.Set(header, value)
		if status, _ := do(t, r); status != http.StatusForbidden {
			t.Errorf("with %s: %s the answer is %d, want 403", header, value, status)
		}
	}
}

func TestAPageThatComesBackGetsWhatIsNew(t *testing.T) {
	tr, _, page := start(t)
	send := func(text string) {
		m := message.New()
		m.To, m.From, m.Content = "123", "8080", text
		if _, err := tr.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	send("one")
	first := listenTo(t, page, "")
	first.next()
	first.next()
	send("two")
	send("three")
	again := listenTo(t, page, first.id)
	if got := again.next(); got.Content != "two" {
		t.Errorf("after %s came %q, want two", first.id, got.Content)
	}
	for _, other := range []string{"deadbeef-1", "nonsense", "-", "deadbeef-" + strings.Repeat("9", 30)} {
		stream := listenTo(t, page, other)
		if got := stream.next(); got.Flow != "reset" {
			t.Errorf("a page of another run (%s) is not told to start anew, but got %+v", other, got)
		}
		if got := stream.next(); got.Content != "one" {
			t.Errorf("and then got %q, want one", got.Content)
		}
	}
}

func TestClearing(t *testing.T) {
	tr, _, page := start(t)
	for _, phone := range []string{"1", "2", "1", "3"} {
		tr.history.add(entry{Phone: phone, Flow: message.Outbound})
	}
	phones := func() (list string) {
		entries, _ := tr.history.since(0)
		for _, e := range entries {
			list += fmt.Sprintf("%s:%s ", e.Flow, e.Phone)
		}
		return list
	}
	do(t, form(t, page+"clear", "phone", "1"))
	if got := phones(); got != "outbound:2 outbound:3 clear:1 " {
		t.Errorf("got %s", got)
	}
	do(t, form(t, page+"clear"))
	if got := phones(); got != "clear: " {
		t.Errorf("got %s", got)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	h := newHistory()
	for range maxPhoneEntries + 5 {
		h.add(entry{Phone: "talker"})
	}
	entries, _ := h.since(0)
	if len(entries) != maxPhoneEntries || entries[0].Seq != 6 {
		t.Errorf("%d entries from %d of one phone, want %d from 6", len(entries), entries[0].Seq, maxPhoneEntries)
	}
	for i := range maxEntries + 5 {
		h.add(entry{Phone: fmt.Sprint(i)})
	}
	if entries, _ = h.since(0); len(entries) != maxEntries {
		t.Errorf("%d entries of all phones, want %d", len(entries), maxEntries)
	}
	if entries, _ = h.since(h.last - 1); len(entries) != 1 || entries[0].Seq != h.last {
		t.Errorf("since the last but one: %+v", entries)
	}
}

func TestStoppingEndsTheStreamsAndIsQuick(t *testing.T) {
	tr, line := New(), transporttest.NewPublisher()
	tr.WebHost, tr.WebPort = "127.0.0.1", 0
	stop := transporttest.Start(t, tr, line)
	page := pageOf(t, tr)
	silent, err := net.Dial("tcp", strings.Split(page, "/")[2]) // as browsers do, just in case
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	stream := listenTo(t, page, "")
	stream.next()
	began := time.Now()
	stop()
	stream.ends()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	m := message.New()
	m.To = "123"
	if _, err := tr.Send(ctx, m); !errors.Is(err, context.DeadlineExceeded) || message.IsPermanent(err) {
		t.Errorf("sending while nobody can see it: %v, want to wait as long as the context lasts", err)
	}
}

func TestThePathMayBeElsewhere(t *testing.T) {
	_, line, page := start(t, func(tr *Transport) { tr.WebPath = "/my/phones" })
	for _, asset := range []string{"", "style.css", "app.js"} {
		if status, body := do(t, get(t, page+asset)); status != http.StatusOK || body == "" {
			t.Errorf("%s%s: %d", page, asset, status)
		}
	}
	if status, _ := do(t, form(t, page+"messages", "from", "123", "content", "x", "plain", "1")); status != http.StatusOK {
		t.Errorf("a form without script led to %d, not back to the page", status)
	}
	line.Next(t)
}

func TestOptions(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "",
		"web_port: 80000":      "web_port: must be a port number",
		"web_path: phone":      "web_path: is \"phone\"",
		"web_path: /{x}/":      "web_path: is",
		"to_addr: ''":          "to_addr: must not be empty",
		"web_prot: 1":          `did you mean "web_port"?`,
		"transport_name: sms1": "",
	} {
		t.Run(text, func(t *testing.T) {
			tr := New()
			doc, err := options.Parse("phone.yaml", []byte(text), func(string) (string, bool) { return "", false })
			if err == nil {
				err = errors.Join(doc.Into(tr), doc.Rest())
			}
			err = errors.Join(err, tr.Validate())
			if got := fmt.Sprint(err); (err == nil) != (want == "") || !strings.Contains(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}
