//go:build services

package rabbitmq_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"os"
	"testing"

	"switchboard/internal/faultproxy"
)

// proxy stands between a broker and RabbitMQ and makes their connection fail.
type proxy struct {
	*faultproxy.Proxy
	url string // of RabbitMQ, through the proxy
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
	p, err := faultproxy.New(plainHost(u), frames)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	u.Host = p.Addr
	return &proxy{p, u.String()}
}

func plainHost(u *url.URL) string {
	if u.Port() == "" {
		return u.Hostname() + ":5672"
	}
	return u.Host
}

// frames copies what RabbitMQ sends frame by frame (AMQP 0-9-1 §4.2.3), so that
// inject can come between.
func frames(p *faultproxy.Proxy, pair *faultproxy.Pair) error {
	in := bufio.NewReader(pair.Server)
	for {
		head, err := in.Peek(7) // type, channel, size of the payload
		if err != nil {
			return err
		}
		frame := make([]byte, 7+binary.BigEndian.Uint32(head[3:])+1)
		if _, err := io.ReadFull(in, frame); err != nil {
			return err
		}
		if in.Buffered() == 0 && !p.Pass() { // latency counts once for what came together
			return net.ErrClosed
		}
		p.AwaitAnswers()
		if err := pair.Send(frame); err != nil {
			return err
		}
	}
}

// inject sends a method frame of channel 0 on all connections, as if RabbitMQ had.
func (p *proxy) inject(class, method uint16, arguments ...byte) {
	payload := binary.BigEndian.AppendUint16(nil, class)
	payload = binary.BigEndian.AppendUint16(payload, method)
	payload = append(payload, arguments...)
	frame := binary.BigEndian.AppendUint32([]byte{1, 0, 0}, uint32(len(payload)))
	frame = append(append(frame, payload...), 0xCE)
	p.Each(func(pair *faultproxy.Pair) { _ = pair.Send(frame) })
}
