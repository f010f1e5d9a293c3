// Package webclient is the HTTP client of whatever users' files and scripts may
// send where they like: it reaches public addresses only, follows nothing, and
// bounds what it reads.
package webclient

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// MaxAnswer is how long an answer's body may be, in bytes.
	MaxAnswer      = 256 << 10
	maxHeader      = 64 << 10
	connectTimeout = 10 * time.Second
	idleTimeout    = 90 * time.Second
	defaultIdle    = 20
)

// ErrRefused is what may not be asked for: a private address, a host that is not
// listed, another scheme than http and https.
var ErrRefused = errors.New("refused")

// Settings are how a client is made.
type Settings struct {
	// Timeout is how long a request may take, its answer included.
	Timeout time.Duration
	// AllowPrivate permits addresses of private networks and this machine.
	AllowPrivate bool
	// AllowHosts are the only hosts that may be asked; empty allows all.
	AllowHosts []string
	// MaxIdle is how many connections are kept for the next requests; 0 is 20.
	MaxIdle int
	// Transport stands in for the network; nil is the network.
	Transport http.RoundTripper
}

// Client sends requests.
type Client struct {
	hosts  []string
	client http.Client
}

// Answer is what came back. A redirect is an answer like others.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// New makes a client.
func New(s Settings) *Client {
	transport := s.Transport
	if transport == nil {
		dialer, idle := net.Dialer{Timeout: connectTimeout}, cmp.Or(s.MaxIdle, defaultIdle)
		if !s.AllowPrivate {
			dialer.Control = refusePrivate
		}
		transport = &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: connectTimeout,
			IdleConnTimeout: idleTimeout, MaxIdleConns: idle, MaxIdleConnsPerHost: idle, MaxResponseHeaderBytes: maxHeader,
		}
	}
	return &Client{s.AllowHosts, http.Client{
		Timeout: s.Timeout, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close ends the connections that are not in use. A nil Client has none.
func (c *Client) Close() error {
	if c != nil {
		c.client.CloseIdleConnections()
	}
	return nil
}

// CheckURL says whether a URL is one that a client may ask for at all.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is no address; write http://… or https://…", text)
	}
	return nil
}

// Do sends a request and reads its answer. The errors that ErrRefused marks stay
// as they are when it is tried again.
func (c *Client) Do(ctx context.Context, method, address string, header http.Header, body []byte) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err := CheckURL(address); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if host := request.URL.Hostname(); len(c.hosts) > 0 && !slices.ContainsFunc(c.hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
		return Answer{}, fmt.Errorf("%w: the host %s is not among those that may be asked", ErrRefused, host)
	}
	if header != nil {
		request.Header = header
	}
	response, err := c.client.Do(request)
	if err != nil {
		return Answer{}, plain(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, MaxAnswer+1))
	if err != nil {
		return Answer{}, fmt.Errorf("reading the answer of %s: %w", request.URL.Host, err)
	}
	if len(text) > MaxAnswer {
		return Answer{}, fmt.Errorf("the answer of %s is longer than %d bytes", request.URL.Host, MaxAnswer)
	}
	return Answer{response.StatusCode, response.Header, text}, nil
}

// plain is an error without the URL, whose path and query may hold secrets.
func plain(err error) error {
	if whole, is := errors.AsType[*url.Error](err); is {
		host := "the server"
		if u, err := url.Parse(whole.URL); err == nil {
			host = u.Host
		}
		return fmt.Errorf("asking %s: %w", host, whole.Err)
	}
	return err
}

// refusePrivate looks at the address itself, after its name is resolved, so that
// no name can lead inside.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if isPrivate(at.Addr().Unmap()) {
		return fmt.Errorf("%w: %s is a private address; allow_private: true permits them", ErrRefused, at.Addr())
	}
	return nil
}

// reserved are networks that are not the public internet, beside those that
// netip names (RFC 6890), and those that may hold such an address within theirs.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("::/96"),
}

func isPrivate(a netip.Addr) bool {
	return !a.IsGlobalUnicast() || a.IsPrivate() || slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(a) })
}
