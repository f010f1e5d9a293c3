//go:build services

package rabbitmq_test

import (
	"bufio"
	"encoding/binary"
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
	mute    bool
	latency time.Duration
	closed  bool
}

type pair struct {
	client, server net.Conn
	toClient       sync.Mutex // held for a whole frame
}

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
	p := &proxy{target: plainHost(u), pairs: make(map[*pair]struct{})}
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

func plainHost(u *url.URL) string {
	if u.Port() == "" {
		return u.Hostname() + ":5672"
	}
	return u.Host
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
		both := &pair{client: client, server: server}
		p.mu.Lock()
		p.pairs[both] = struct{}{}
		p.mu.Unlock()
		p.wg.Go(func() { p.forget(both, p.bytes(client, server)) })
		p.wg.Go(func() { p.forget(both, p.frames(both)) })
	}
}

func (p *proxy) forget(both *pair, _ error) {
	both.close()
	p.set(func() { delete(p.pairs, both) })
}

// bytes copies what the broker sends.
func (p *proxy) bytes(from io.Reader, to io.Writer) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return err
		}
		if !p.pass() {
			return net.ErrClosed
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return err
		}
	}
}

// frames copies what RabbitMQ sends frame by frame (AMQP 0-9-1 §4.2.3), so that
// inject can come between.
func (p *proxy) frames(both *pair) error {
	in := bufio.NewReader(both.server)
	for {
		head, err := in.Peek(7) // type, channel, size of the payload
		if err != nil {
			return err
		}
		frame := make([]byte, 7+binary.BigEndian.Uint32(head[3:])+1)
		if _, err := io.ReadFull(in, frame); err != nil {
			return err
		}
		if in.Buffered() == 0 && !p.pass() { // latency counts once for what came together
			return net.ErrClosed
		}
		p.awaitAnswers()
		if err := both.send(frame); err != nil {
			return err
		}
	}
}

func (p *proxy) awaitAnswers() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.mute && !p.closed {
		p.changed.Wait()
	}
}

// HoldAnswers lets RabbitMQ hear everything, and holds back what it says.
func (p *proxy) HoldAnswers(on bool) { p.set(func() { p.mute = on }) }

func (p *pair) send(frame []byte) error {
	p.toClient.Lock()
	defer p.toClient.Unlock()
	_, err := p.client.Write(frame)
	return err
}

// inject sends a method frame of channel 0 on all connections, as if RabbitMQ had.
func (p *proxy) inject(class, method uint16, arguments ...byte) {
	payload := binary.BigEndian.AppendUint16(nil, class)
	payload = binary.BigEndian.AppendUint16(payload, method)
	payload = append(payload, arguments...)
	frame := binary.BigEndian.AppendUint32([]byte{1, 0, 0}, uint32(len(payload)))
	frame = append(append(frame, payload...), 0xCE)
	p.set(func() {
		for both := range p.pairs {
			both.send(frame)
		}
	})
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

func (p *proxy) Latency(d time.Duration) { p.set(func() { p.latency = d }) }

func (p *proxy) close() {
	p.ln.Close()
	p.set(func() { p.closed = true })
	p.Cut()
	p.wg.Wait()
}
