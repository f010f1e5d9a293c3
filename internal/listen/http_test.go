package listen_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"

	"switchboard/internal/listen"
)

func serve(t *testing.T, address string) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := listen.HTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		}
	}))
	go func() { _ = server.Serve(listen.Limited(l)) }()
	t.Cleanup(func() { _ = server.Close() })
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func ask(t *testing.T, method, url, host string, body io.Reader) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		request.Host = host
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// A page whose name resolves to 127.0.0.1 must not speak to what listens there.
func TestLoopbackAnswersToItsOwnNamesAlone(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", ":0"} {
		port := serve(t, address)
		url := "http://127.0.0.1:" + port + "/"
		for host, want := range map[string]int{
			"":                            http.StatusOK,
			"localhost":                   http.StatusOK,
			"LOCALHOST:" + port:           http.StatusOK,
			"phone.localhost:" + port:     http.StatusOK,
			"127.0.0.1:" + port:           http.StatusOK,
			"[::1]:" + port:               http.StatusOK,
			"evil.example.org":            http.StatusMisdirectedRequest,
			"evil.example.org:" + port:    http.StatusMisdirectedRequest,
			"localhost.evil.example.org":  http.StatusMisdirectedRequest,
			"127.0.0.1.evil.example.org":  http.StatusMisdirectedRequest,
			"10.0.0.1:" + port:            http.StatusMisdirectedRequest,
			"localhost@evil.example.org:": http.StatusMisdirectedRequest,
		} {
			if got := ask(t, http.MethodPost, url, host, nil); got != want {
				t.Errorf("listening on %s, Host %q: %d, want %d", address, host, got, want)
			}
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	url := "http://127.0.0.1:" + serve(t, "127.0.0.1:0") + "/"
	if got := ask(t, http.MethodPost, url, "", bytes.NewReader(make([]byte, 1<<20))); got != http.StatusOK {
		t.Errorf("a body of 1 MiB: %d", got)
	}
	if got := ask(t, http.MethodPost, url, "", bytes.NewReader(make([]byte, 1<<20+1))); got != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of more: %d", got)
	}
}
