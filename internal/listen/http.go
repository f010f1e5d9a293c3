package listen

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/netutil"
)

// What an HTTP server bounds. There is no bound on the time of an answer:
// streams of events and profiles take long.
const (
	headerTimeout  = 10 * time.Second
	bodyTimeout    = time.Minute // for the whole body, where the server has no ReadTimeout
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	maxBodyBytes   = 1 << 20
	maxConnections = 1000
)

// HTTPServer is a server for handler with bounded headers, bodies and idle
// connections, which answers on loopback to this machine's own names alone.
func HTTPServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           LocalNames(timedBodies(http.MaxBytesHandler(handler, maxBodyBytes), bodyTimeout)),
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
}

// timedBodies ends a connection whose request's body is not there in time. The server's own
// ReadTimeout would end long answers too.
func timedBodies(next http.Handler, limit time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			connection, within := http.NewResponseController(w), limit
			if server, is := r.Context().Value(http.ServerContextKey).(*http.Server); is && server.ReadTimeout > 0 {
				within = server.ReadTimeout
			}
			if connection.SetReadDeadline(time.Now().Add(within)) == nil {
				r.Body = &timedBody{r.Body, connection}
			}
		}
		next.ServeHTTP(w, r)
	})
}

type timedBody struct {
	io.ReadCloser
	connection *http.ResponseController
}

// Read lifts the deadline when the body is there.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.connection.SetReadDeadline(time.Time{})
	}
	return n, err
}

// Limited is l with at most 1,000 connections open at once; others wait.
func Limited(l net.Listener) net.Listener { return LimitedTo(l, maxConnections) }

// LimitedTo is l with at most n connections open at once; others wait.
func LimitedTo(l net.Listener, n int) net.Listener { return netutil.LimitListener(l, n) }

// LocalNames rejects requests that reach a loopback address under another name
// than localhost or a loopback address: a web page in a browser on this machine
// may have its own name resolved to 127.0.0.1 (DNS rebinding), and is then of
// the same origin. A proxy on this machine sends the address it connects to, or
// is told to.
func LocalNames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if isLoopback(hostOf(addrText(local))) && !isLocalName(hostOf(r.Host)) {
			http.Error(w, fmt.Sprintf("this address answers to localhost and 127.0.0.1, not to %q", r.Host), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func addrText(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// hostOf is an address without its port.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return strings.Trim(address, "[]")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// isLocalName says whether a name means this machine wherever it is resolved
// (RFC 6761 §6.3).
func isLocalName(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || isLoopback(host)
}
