package webclient

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestClient(t *testing.T) {
	redirected := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/there":
			redirected = true
		case "/long":
			_, _ = w.Write(make([]byte, MaxAnswer+1))
		case "/slow":
			_, _ = io.Copy(io.Discard, r.Body) // only then the server sees the client leave
			<-r.Context().Done()
		default:
			_, _ = w.Write([]byte(r.Method + r.Header.Get("X-A")))
		}
	}))
	defer server.Close()
	open := New(Settings{Timeout: 10 * time.Second, AllowPrivate: true})
	defer open.Close()
	ask := func(c *Client, path string) (Answer, error) {
		return c.Do(t.Context(), http.MethodPost, server.URL+path, http.Header{"X-A": {"1"}}, []byte("x"))
	}
	if a, err := ask(open, "/"); err != nil || string(a.Body) != "POST1" {
		t.Errorf("got %q, %v", a.Body, err)
	}
	if a, err := ask(open, "/away"); err != nil || a.Status != http.StatusFound || redirected {
		t.Errorf("a redirect: %d, %v, followed: %v", a.Status, err, redirected)
	}
	if _, err := ask(open, "/long"); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a long answer: %v", err)
	}
	if _, err := ask(New(Settings{Timeout: 50 * time.Millisecond, AllowPrivate: true}), "/slow?key=secret"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("no answer: %v", err)
	}
	for what, c := range map[string]*Client{
		"a private address": New(Settings{}),
		"another host":      New(Settings{AllowPrivate: true, AllowHosts: []string{"example.org"}}),
	} {
		if _, err := ask(c, "/"); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := open.Do(t.Context(), "GET", "file:///etc/passwd", nil, nil); !errors.Is(err, ErrRefused) {
		t.Errorf("a file: %v", err)
	}
}

// However an address inside is written, it is refused when it is dialled, and so is one that a
// name leads to only then.
func TestPrivateAddressesAreNotDialled(t *testing.T) {
	called := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { called <- r.Host }))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := New(Settings{Timeout: 10 * time.Second})
	defer client.Close()
	for _, host := range []string{"127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "[::1]", "169.254.169.254", "[::ffff:169.254.169.254]", "10.0.0.1"} {
		if _, err := client.Do(t.Context(), http.MethodGet, "http://"+host+":"+port, nil, nil); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if len(called) > 0 {
		t.Errorf("%s was asked", <-called)
	}
}

func TestPrivateAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1": true, "10.1.2.3": true, "172.16.0.1": true, "192.168.1.1": true, "169.254.169.254": true, "0.0.0.0": true,
		"100.64.0.1": true, "224.0.0.1": true, "255.255.255.255": true, "::1": true, "::": true, "fe80::1": true, "fd00::1": true,
		"64:ff9b::a00:1": true, "2002:a00:1::": true, "::10.0.0.1": true,
		"8.8.8.8": false, "172.32.0.1": false, "2606:4700::1": false,
	} {
		if got := isPrivate(netip.MustParseAddr(address).Unmap()); got != want {
			t.Errorf("%s is private: %v", address, got)
		}
	}
	if !isPrivate(netip.MustParseAddr("::ffff:10.0.0.1").Unmap()) {
		t.Error("a mapped address is not private")
	}
}
