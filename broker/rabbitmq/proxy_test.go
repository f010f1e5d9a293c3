//go:build services

package rabbitmq_test

import (
	"io"
	"net"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"
)

// proxy stands between a broker and RabbitMQ and makes their connection fail.
type proxy struct {
	url    string // of RabbitMQ, through the proxy
	target string
	ln     net.Listener
	wg     sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	pairs   map[*pair]struct{}
	refuse  bool
	hole    bool
	latency time.Duration
	closed  bool
}

type pair struct{ client, server net.Conn }

func (p *pair) close() {
	p.client.Close()
	p.server.Close()
}

func amqpURL(t testing.TB) string {
	t.Helper()
	u := os.Getenv("AMQP_URL")
	if u == "" {
		t.Fatal(`AMQP_URL is not set: eval "$(scripts/services env)" after scripts/services up`)
	}
	return u
}

func newProxy(t testing.TB) *proxy {
	t.Helper()
	u, err := url.Parse(amqpURL(t))
	if err != nil {
		t.Fatal("AMQP_URL is malformed")
	}
	p := &proxy{target: u.Host, pairs: make(map[*pair]struct{})}
	if u.Port() == "" {
		p.target += ":5672"
	}
	p.changed = sync.NewCond(&p.mu)
	if p.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	u.Host = p.ln.Addr().String()
	p.url = u.String()
	p.wg.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refuse := p.refuse
		p.mu.Unlock()
		if refuse {
			client.Close()
			continue
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		both := &pair{client, server}
		p.mu.Lock()
		p.pairs[both] = struct{}{}
		p.mu.Unlock()
		p.wg.Go(func() { p.pump(both, client, server) })
		p.wg.Go(func() { p.pump(both, server, client) })
	}
}

func (p *proxy) pump(both *pair, from, to net.Conn) {
	defer func() {
		both.close()
		p.mu.Lock()
		delete(p.pairs, both)
		p.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if !p.pass() {
			return
		}
		if _, e := to.Write(buf[:n]); e != nil || err == io.EOF || err != nil {
			return
		}
	}
}

// pass waits while the black hole is open, and for the latency.
func (p *proxy) pass() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.hole && !p.closed {
		p.changed.Wait()
	}
	if d := p.latency; d > 0 {
		p.mu.Unlock()
		time.Sleep(d)
		p.mu.Lock()
	}
	return !p.closed
}

func (p *proxy) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.changed.Broadcast()
}

func (p *proxy) Cut() {
	p.set(func() {
		for both := range p.pairs {
			both.close()
		}
	})
}

func (p *proxy) Refuse(on bool) {
	p.set(func() { p.refuse = on })
	if on {
		p.Cut()
	}
}

func (p *proxy) BlackHole(on bool) { p.set(func() { p.hole = on }) }

func (p *proxy) close() {
	p.ln.Close()
	p.set(func() { p.closed = true })
	p.Cut()
	p.wg.Wait()
}
