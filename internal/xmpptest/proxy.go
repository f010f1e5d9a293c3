package xmpptest

import (
	"net"
	"sync"
	"testing"
)

// Proxy carries connections to a server, and cuts them.
type Proxy struct {
	Addr string

	listener net.Listener
	to       string
	group    sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]bool
	refusing bool
	deaf     bool // what the server says is lost
}

// NewProxy starts one; it ends with the test.
func NewProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), listener: l, to: to, conns: map[net.Conn]bool{}}
	p.group.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.Refuse(true)
		p.group.Wait()
	})
	return p
}

func (p *Proxy) accept() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.group.Go(func() { p.carry(conn) })
	}
}

func (p *Proxy) carry(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	server, err := net.Dial("tcp", p.to)
	if err != nil || !p.add(conn, server) {
		return
	}
	defer func() { _ = server.Close() }()
	p.group.Go(func() {
		p.copy(conn, server, func() bool { return p.isDeaf() })
		_ = conn.Close()
	})
	p.copy(server, conn, func() bool { return false })
}

func (p *Proxy) copy(to, from net.Conn, lost func() bool) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if lost() {
			continue
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

func (p *Proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refusing {
		return false
	}
	for _, c := range conns {
		p.conns[c] = true
	}
	return true
}

func (p *Proxy) isDeaf() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deaf
}

// Deafen loses all that the server says, from now on or no longer.
func (p *Proxy) Deafen(is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = is
}

// Cut ends all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tcp, is := c.(*net.TCPConn); is {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
	clear(p.conns)
}

// Refuse cuts all connections, and lets none in until it is called with false.
func (p *Proxy) Refuse(is bool) {
	p.mu.Lock()
	p.refusing = is
	p.mu.Unlock()
	if is {
		p.Cut()
	}
}
