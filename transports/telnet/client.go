package telnet

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/transports"
)

const (
	// writeTimeout is how long a client may take to make room for what it is
	// sent; then it is hung up on.
	writeTimeout = 10 * time.Second
	// drainTimeout is how long the end of a connection waits for the client to
	// read the last words. Closing at once could destroy them on their way.
	drainTimeout = time.Second
	readBuffer   = 4096
)

// What people are told by the transport itself.
const (
	tooManyText   = "Too many people are connected; please try again later."
	tooLongText   = "That line is too long and was not sent; the most is %d bytes."
	askToText     = `Please provide "to_addr":`
	askFromText   = `Please provide "from_addr":`
	addressedText = "[Sending all messages to: %s and from: %s]"
	takenText     = "Somebody else has that address."

	notSentText = "That could not be sent; please try again."
)

// quitCommand is the line that ends a session, in any case.
const quitCommand = "/quit"

// client is one person's connection.
type client struct {
	addr    string
	to      string // where the person's messages go
	conn    net.Conn
	writing sync.Mutex

	// Of the one goroutine that reads.
	parser parser
	buffer []byte
	unread []byte // within buffer
}

func newClient(conn net.Conn, to string) *client {
	return &client{addr: conn.RemoteAddr().String(), to: to, conn: conn, parser: parser{limit: maxLine}, buffer: make([]byte, readBuffer)}
}

// next is the next token of the byte stream; its bytes are good until the next call.
func (c *client) next() (found token, err error) {
	for {
		if found, c.unread = c.parser.next(c.unread); found.kind != nothing {
			return found, nil
		}
		if err != nil {
			return token{}, err
		}
		var n int
		n, err = c.conn.Read(c.buffer)
		c.unread = c.buffer[:n]
	}
}

// write sends bytes to the person. When it fails the connection is of no
// further use, and its address never comes back.
func (c *client) write(ctx context.Context, text []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetWriteDeadline(time.Now()) })
	defer stop()
	_, err := c.conn.Write(text)
	if err == nil {
		return nil
	}
	_ = c.conn.Close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return message.Permanent(fmt.Errorf("writing to %s: %w", c.addr, err))
}

func (c *client) tell(ctx context.Context, text string) error {
	return c.write(ctx, encodeText(text))
}

// hangUp makes the client's reader end the session.
func (c *client) hangUp() { _ = c.conn.SetReadDeadline(time.Now()) }

// close ends the connection so that the last words arrive, unless ctx has
// ended: then there is no time for it.
func (c *client) close(ctx context.Context) {
	defer func() { _ = c.conn.Close() }()
	half, can := c.conn.(interface{ CloseWrite() error })
	if ctx.Err() != nil || !can || half.CloseWrite() != nil {
		return
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(drainTimeout))
	_, _ = io.Copy(io.Discard, c.conn)
}

// add takes a person in unless there are too many.
func (t *Transport) add(c *client) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.clients) >= t.MaxConnections {
		return false
	}
	t.clients[c.addr] = c
	return true
}

func (t *Transport) remove(c *client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clients[c.addr] == c {
		delete(t.clients, c.addr)
	}
}

func (t *Transport) hangUpAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.clients {
		c.hangUp()
	}
}

// serve is a person's session: new, a message a line, close. It ends soon after
// ctx; work lasts long enough to finish what is in flight.
func (t *Transport) serve(ctx, work context.Context, conn net.Conn, line transports.Publisher) {
	c := newClient(conn, t.ToAddr)
	defer c.close(work)
	if !t.add(c) {
		_ = c.tell(work, tooManyText)
		return
	}
	defer t.remove(c)
	if ctx.Err() != nil { // hangUpAll may have come before add
		return
	}
	if t.addressed && !t.askAddresses(work, c) {
		return
	}
	if err := line.Inbound(work, t.message(c, message.SessionNew, "")); err != nil {
		t.logger.Warn("opening a session failed", "client", c.addr, "error", err)
		_ = c.tell(work, notSentText)
		return
	}
	t.converse(work, c, line)
	t.remove(c)
	if err := line.Inbound(work, t.message(c, message.SessionClose, "")); err != nil {
		t.logger.Warn("closing a session failed; the application does not know that it is over", "client", c.addr, "error", err)
	}
}

// converse takes lines until the person says /quit, or either side hangs up.
// The next line is read when the broker has the one before.
func (t *Transport) converse(ctx context.Context, c *client, line transports.Publisher) {
	for {
		token, err := c.next()
		if err != nil || !t.take(ctx, c, line, token) {
			return
		}
	}
}

// askAddresses asks, in the words of Vumi's transport, to whom the person speaks and who
// they are; false when they hang up.
func (t *Transport) askAddresses(ctx context.Context, c *client) bool {
	to, told := c.ask(ctx, askToText)
	if !told {
		return false
	}
	for {
		from, told := c.ask(ctx, askFromText)
		if !told {
			return false
		}
		if t.rename(c, from) {
			c.to = to
			return c.tell(ctx, fmt.Sprintf(addressedText, to, from)) == nil
		}
		if c.tell(ctx, takenText) != nil {
			return false
		}
	}
}

// ask asks until there is an answer; false when the person hangs up.
func (c *client) ask(ctx context.Context, question string) (answer string, told bool) {
	if c.tell(ctx, question) != nil {
		return "", false
	}
	for {
		token, err := c.next()
		if err != nil {
			return "", false
		}
		if answer := strings.TrimSpace(strings.ToValidUTF8(string(token.bytes), "\uFFFD")); token.kind == lineEnd && answer != "" {
			return answer, true
		}
	}
}

// rename gives a client another address, unless somebody has it.
func (t *Transport) rename(c *client, addr string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clients[addr] != nil {
		return false
	}
	delete(t.clients, c.addr)
	c.addr = addr
	t.clients[addr] = c
	return true
}

// take handles one token of the byte stream; more is false when it was the last.
func (t *Transport) take(ctx context.Context, c *client, line transports.Publisher, token token) (more bool) {
	var err error
	switch token.kind {
	case answer:
		err = c.write(ctx, token.bytes)
	case tooLong:
		err = c.tell(ctx, fmt.Sprintf(tooLongText, maxLine))
	case lineEnd:
		text := strings.ToValidUTF8(string(token.bytes), "\uFFFD")
		if strings.EqualFold(strings.TrimSpace(text), quitCommand) {
			return false
		}
		if failed := line.Inbound(ctx, t.message(c, message.SessionResume, text)); failed != nil {
			t.logger.Warn("receiving a line failed", "client", c.addr, "error", failed)
			err = c.tell(ctx, notSentText)
		}
	}
	return err == nil
}

func (t *Transport) message(c *client, event message.SessionEvent, text string) *message.Message {
	m := message.New()
	m.From, m.To, m.Content = c.addr, c.to, text
	m.SessionEvent, m.TransportType = event, t.TransportType
	return m
}
