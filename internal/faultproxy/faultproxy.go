// Package faultproxy stands between clients and a server and makes their connections fail: cut,
// refused, half-open, silent or slow.
package faultproxy

import (
	"io"
	"net"
	"sync"
	"time"
)

// bufferSize is how much is read at once, and held back when nothing may pass.
const bufferSize = 64 << 10

// Proxy carries connections to a server.
type Proxy struct {
	// Addr is where clients connect, host:port.
	Addr string

	target   string
	answers  func(*Proxy, *Pair) error
	listener net.Listener
	group    sync.WaitGroup

	mu      sync.Mutex
	changed *sync.Cond
	pairs   map[*Pair]struct{}
	refuse  bool
	hole    bool
	mute    bool
	latency time.Duration
	closed  bool
}

// Pair is a client's connection and the one to the server that goes with it.
type Pair struct {
	Client, Server net.Conn

	toClient sync.Mutex // held for a whole Send
}

// Send writes to the client, between what the server says.
func (p *Pair) Send(text []byte) error {
	p.toClient.Lock()
	defer p.toClient.Unlock()
	_, err := p.Client.Write(text)
	return err
}

func (p *Pair) close() {
	_ = p.Client.Close()
	_ = p.Server.Close()
}

// New starts a proxy on a free port of the loopback address. answers copies what a server says
// until an error; nil copies its bytes as they come.
func New(target string, answers func(*Proxy, *Pair) error) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if answers == nil {
		answers = copyAnswers
	}
	p := &Proxy{
		Addr: listener.Addr().String(), target: target, answers: answers, listener: listener,
		pairs: map[*Pair]struct{}{},
	}
	p.changed = sync.NewCond(&p.mu)
	p.group.Go(p.accept)
	return p, nil
}

func copyAnswers(p *Proxy, pair *Pair) error {
	return p.copy(pair.Server, pair.Send, func() bool {
		p.AwaitAnswers()
		return p.Pass()
	})
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		pair := &Pair{Client: client, Server: server}
		if !p.add(pair) {
			pair.close()
			continue
		}
		p.group.Go(func() {
			_ = p.copy(client, func(b []byte) error { _, err := server.Write(b); return err }, p.Pass)
			p.forget(pair)
		})
		p.group.Go(func() {
			_ = p.answers(p, pair)
			p.forget(pair)
		})
	}
}

func (p *Proxy) add(pair *Pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse || p.closed {
		return false
	}
	p.pairs[pair] = struct{}{}
	return true
}

func (p *Proxy) forget(pair *Pair) {
	pair.close()
	p.set(func() { delete(p.pairs, pair) })
}

func (p *Proxy) copy(from io.Reader, to func([]byte) error, pass func() bool) error {
	buffer := make([]byte, bufferSize)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return err
		}
		if !pass() {
			return net.ErrClosed
		}
		if err := to(buffer[:n]); err != nil {
			return err
		}
	}
}

// Pass waits while the black hole is open, and for the latency. It is false at the end.
func (p *Proxy) Pass() bool {
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

// AwaitAnswers waits while what the server says is held back.
func (p *Proxy) AwaitAnswers() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.mute && !p.closed {
		p.changed.Wait()
	}
}

func (p *Proxy) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.changed.Broadcast()
}

// Each calls visit with every connection there is.
func (p *Proxy) Each(visit func(*Pair)) {
	p.set(func() {
		for pair := range p.pairs {
			visit(pair)
		}
	})
}

// Cut closes every connection.
func (p *Proxy) Cut() { p.Each((*Pair).close) }

// Refuse closes every connection, and new ones at once.
func (p *Proxy) Refuse(on bool) {
	p.set(func() { p.refuse = on })
	if on {
		p.Cut()
	}
}

// BlackHole leaves connections open, and nothing passes. It passes when the hole closes.
func (p *Proxy) BlackHole(on bool) { p.set(func() { p.hole = on }) }

// HoldAnswers lets the server hear everything, and holds back what it says.
func (p *Proxy) HoldAnswers(on bool) { p.set(func() { p.mute = on }) }

// Latency delays each piece, both ways.
func (p *Proxy) Latency(d time.Duration) { p.set(func() { p.latency = d }) }

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.set(func() { p.closed = true })
	p.Cut()
	p.group.Wait()
}
