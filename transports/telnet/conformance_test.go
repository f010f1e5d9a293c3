package telnet

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"switchboard/transports/transporttest"
)

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(*testing.T) *transporttest.Outside {
		tr := open()
		terminal := &terminal{tr: tr}
		return &transporttest.Outside{
			Transport: tr, Say: terminal.say, Hear: terminal.hear, Leave: terminal.leave,
			Unacknowledged: true, Sessions: true,
		}
	})
}

// terminal is a person who connects with the first line.
type terminal struct {
	tr   *Transport
	conn net.Conn
	in   *bufio.Reader
}

func (c *terminal) say(ctx context.Context, text string) error {
	if c.conn == nil {
		addr, err := c.tr.Addr(ctx)
		if err != nil {
			return err
		}
		if c.conn, err = net.Dial("tcp", addr.String()); err != nil {
			return err
		}
		c.in = bufio.NewReader(c.conn)
	}
	_, err := io.WriteString(c.conn, text+"\r\n")
	return err
}

func (c *terminal) hear(ctx context.Context) (string, error) {
	if until, bounded := ctx.Deadline(); bounded {
		_ = c.conn.SetReadDeadline(until)
		defer func() { _ = c.conn.SetReadDeadline(time.Time{}) }()
	}
	text, err := c.in.ReadString('\n')
	return strings.TrimSuffix(text, "\r\n"), err
}

func (c *terminal) leave() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
}
