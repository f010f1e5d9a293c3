package doors_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"switchboard/applications"
	"switchboard/applications/applicationtest"
	"switchboard/internal/testutil"
)

// called is a request that a client's program got.
type called struct {
	*http.Request
	body string
}

// client is the program of a client: a server that keeps what it is told.
type client struct {
	t      *testing.T
	url    string
	calls  chan called
	answer chan func(http.ResponseWriter) // the next answers; then 200 with ok
	ok     string
}

func newClient(t *testing.T, ok string) *client {
	c := &client{t: t, calls: make(chan called, 100), answer: make(chan func(http.ResponseWriter), 100), ok: ok}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		c.calls <- called{q, string(body)}
		select {
		case answer := <-c.answer:
			answer(w)
		default:
			_, _ = io.WriteString(w, c.ok)
		}
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *client) next(what string) called {
	c.t.Helper()
	select {
	case call := <-c.calls:
		return call
	case <-time.After(testutil.Patience):
		c.t.Fatalf("waited %s for %s", testutil.Patience, what)
		return called{}
	}
}

func (c *client) status(code int) {
	c.answer <- func(w http.ResponseWriter) { w.WriteHeader(code) }
}

// form is the fields of a call, of its query or its body.
func (c called) form() url.Values {
	if c.Method == http.MethodGet {
		return c.URL.Query()
	}
	values, _ := url.ParseQuery(c.body)
	return values
}

// is compares fields with what is wanted: name=value.
func (c called) is(t *testing.T, want ...string) {
	t.Helper()
	for _, field := range want {
		name, value, _ := strings.Cut(field, "=")
		if got := c.form().Get(name); got != value {
			t.Errorf("%s %s has %s %q, not %q", c.Method, c.URL.Path, name, got, value)
		}
	}
}

type door interface {
	applications.Application
	Addr(context.Context) (net.Addr, error)
}

// start runs a door on a free port, and returns its URL.
func start(t *testing.T, app door, yaml string) (*applicationtest.Worker, string) {
	t.Helper()
	if err := applicationtest.Configure(app, "allow_private: true\nweb_host: 127.0.0.1\nweb_port: 0\n"+yaml); err != nil {
		t.Fatal(err)
	}
	w := applicationtest.Start(t, app)
	ctx, cancel := context.WithTimeout(t.Context(), testutil.Patience)
	defer cancel()
	addr, err := app.Addr(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return w, "http://" + addr.String()
}

// ask makes a request, which is a form where the body does not begin with a brace.
func ask(t *testing.T, method, address, body string, header ...string) (status int, answer string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" && body[0] != '{' {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		q.Header.Set(header[i], header[i+1])
	}
	response, answer := testutil.Do(t, http.DefaultClient, q)
	return response.StatusCode, answer
}

// answers asks, and compares the answer: its status, a blank, and its beginning.
func answers(t *testing.T, want, method, address, body string, header ...string) string {
	t.Helper()
	status, answer := ask(t, method, address, body, header...)
	if got := fmt.Sprintf("%d %s", status, answer); !strings.HasPrefix(got, want) {
		t.Errorf("%s %s was answered %q, not %q", method, address, got, want)
	}
	return answer
}

// refuses tries files that are wrong; each must be refused with the words.
func refuses(t *testing.T, fresh func() applications.Application, files map[string]string) {
	t.Helper()
	for yaml, want := range files {
		if err := applicationtest.Configure(fresh(), yaml); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gave %v, not %s", yaml, err, want)
		}
	}
}
