package rabbitmq

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/broker"
	"switchboard/internal/backoff"
)

const (
	// relayStall bounds how long RabbitMQ may neither send nor take a byte of a large body.
	relayStall = 30 * time.Second
	// relayConfirm bounds the wait until RabbitMQ has it safe.
	relayConfirm = 2 * time.Minute
)

// errTooLarge ends a connection on which RabbitMQ sends a body over broker.MaxBody: a relay
// moves it to the dead letters first.
var errTooLarge = fmt.Errorf("RabbitMQ sends a body of more than %d MiB; moving it to the dead letters, then connecting again", broker.MaxBody>>20)

var errReturned = errors.New("RabbitMQ returned it: its queue is gone")

// relay is a connection on which large bodies are copied from queue to queue, frame by frame,
// so that no process holds one. The client library above it sees them empty: Read keeps back
// the frames of the body, and Write sends them as the body of the next publication.
type relay struct {
	net.Conn
	in      *bufio.Reader
	frame   []byte        // the last one that was read
	next    []byte        // what Read returns of it
	out     []byte        // written, but not a frame yet
	size    atomic.Uint64 // of the body that is kept back
	copied  chan struct{} // closed when that is sent; nil when none is kept back
	between []byte        // other frames that came between its own
	sent    atomic.Bool   // one is, and may come back
	closed  chan struct{}
}

// dialRelay connects. The connection ends with ctx.
func (d *dialer) dialRelay(ctx context.Context) (*amqp.Connection, *relay, error) {
	var r *relay
	conn, err := amqp.DialConfig(d.settings.URL, amqp.Config{
		Heartbeat:  d.settings.Heartbeat,
		Properties: d.properties("large bodies"),
		Dial: func(network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{Timeout: handshakeTimeout}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			r = &relay{Conn: c, in: bufio.NewReaderSize(c, readBuffer), closed: make(chan struct{})}
			context.AfterFunc(ctx, func() {
				close(r.closed)
				c.Close()
			})
			return r, c.SetDeadline(time.Now().Add(handshakeTimeout))
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to RabbitMQ on %s: %w", d.host, err)
	}
	return conn, r, nil
}

// Read gives the library one frame after the other, and none while a body is kept back.
func (r *relay) Read(p []byte) (int, error) {
	for len(r.next) == 0 {
		if r.copied != nil {
			select {
			case <-r.copied:
				r.next, r.copied = r.between, nil
				continue
			case <-r.closed:
				return 0, net.ErrClosed
			}
		}
		if err := r.readFrame(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.next)
	r.next = r.next[n:]
	return n, nil
}

func (r *relay) readFrame() error {
	head, err := r.in.Peek(frameHead)
	if err != nil {
		return err
	}
	r.frame = append(r.frame[:0], make([]byte, frameLength(head))...)
	if _, err := io.ReadFull(r.in, r.frame); err != nil {
		return err
	}
	r.next = r.frame
	if r.frame[0] != contentFrame || len(r.frame) < contentHead {
		return nil
	}
	field := r.frame[contentHead-8:]
	if size := binary.BigEndian.Uint64(field); size > broker.MaxBody {
		if r.sent.Load() {
			return errReturned
		}
		r.copied = make(chan struct{})
		r.size.Store(size)
		binary.BigEndian.PutUint64(field, 0)
	}
	return nil
}

// Write sends whole frames. The content header is that of the body that is kept back.
func (r *relay) Write(p []byte) (int, error) {
	r.out = append(r.out, p...)
	for {
		n := frameLength(r.out)
		if n == 0 || n > len(r.out) {
			return len(p), nil
		}
		content := r.out[0] == contentFrame
		if content {
			binary.BigEndian.PutUint64(r.out[contentHead-8:], r.size.Load())
		}
		r.extend()
		if _, err := r.Conn.Write(r.out[:n]); err != nil {
			return 0, err
		}
		r.out = r.out[n:]
		if content {
			if err := r.copyBody(); err != nil {
				return 0, err
			}
		}
	}
}

// copyBody sends the frames of the body that is kept back, on the same channel. What else
// comes between them is the library's.
func (r *relay) copyBody() error {
	var between []byte
	for left := r.size.Load(); left > 0; {
		r.extend()
		head, err := r.in.Peek(frameHead)
		if err != nil {
			return err
		}
		n := int64(frameLength(head))
		if head[0] == bodyFrame {
			left -= min(left, uint64(n-frameHead-1))
			_, err = io.CopyN(r.Conn, r.in, n)
		} else {
			frame := make([]byte, n)
			_, err = io.ReadFull(r.in, frame)
			between = append(between, frame...)
		}
		if err != nil {
			return err
		}
	}
	r.between = between
	r.size.Store(0)
	r.sent.Store(true)
	close(r.copied)
	return nil
}

// extend is of no use on a connection that has ended, as reading and writing then say.
func (r *relay) extend() { _ = r.Conn.SetDeadline(time.Now().Add(relayStall)) }

// frameLength is the length of the frame that b begins with, 0 if b is too short to tell.
func frameLength(b []byte) int {
	switch {
	case len(b) < frameHead:
		return 0
	case b[0] == 'A': // AMQP and the version, which a client sends first
		return frameHead + 1
	}
	return frameHead + int(binary.BigEndian.Uint32(b[3:])) + 1
}

// moveLarge moves bodies over broker.MaxBody to the dead letters of their queues: those that
// consumers would be sent next. It declares through s. What was unsettled on a connection that
// broke needs a moment to return; it gives up after returnPatience, as another process may
// have moved it.
func (b *Broker) moveLarge(ctx context.Context, s *session) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, r, err := b.consume.dialer.dialRelay(ctx)
	if err != nil {
		return err
	}
	moved := 0
	for began := time.Now(); moved == 0 && time.Since(began) < returnPatience; backoff.Sleep(ctx, returnPoll) {
		for _, c := range b.tracker.all() {
			n, err := b.moveLargeOf(ctx, s, conn, r, c)
			if err != nil {
				return fmt.Errorf("moving large bodies of queue %q to its dead letters: %w", c.spec.Name, err)
			}
			moved += n
		}
	}
	return conn.CloseDeadline(time.Now().Add(closeHandshake))
}

// moveLargeOf walks as far as a consumer is sent. What it leaves returns to its place when
// the channel is closed.
func (b *Broker) moveLargeOf(ctx context.Context, s *session, conn *amqp.Connection, r *relay, c *consumer) (moved int, err error) {
	ch, err := conn.Channel()
	if err != nil {
		return 0, fmt.Errorf("opening channel: %w", err)
	}
	if err := ch.Confirm(false); err != nil {
		return 0, fmt.Errorf("asking for confirms: %w", err)
	}
	for range 2*c.limit() + firstWindow {
		d, some, err := ch.Get(c.spec.Name, false)
		if hasCode(err, amqp.NotFound) {
			return moved, nil
		}
		if err != nil {
			return moved, fmt.Errorf("reading: %w", err)
		}
		if !some {
			break
		}
		if size := r.size.Load(); size > 0 {
			if err := b.deadLetterLarge(ctx, s, ch, r, c.spec, convert(c.spec.Name, &d), size); err != nil {
				return moved, err
			}
			if err := ch.Ack(d.DeliveryTag, false); err != nil {
				return moved, fmt.Errorf("acknowledging: %w", err)
			}
			moved++
		}
	}
	return moved, ch.Close()
}

// deadLetterLarge publishes on ch what r keeps back.
func (b *Broker) deadLetterLarge(ctx context.Context, s *session, ch *amqp.Channel, r *relay, q broker.Queue, d broker.Delivery, size uint64) error {
	dead := broker.Queue{Name: q.Name + broker.DeadSuffix, Type: q.Type}
	if err := withChannel(s, func(ch *amqp.Channel) error { return declareQueue(ch, dead) }); err != nil {
		return fmt.Errorf("declaring %s: %w", dead.Name, err)
	}
	b.topology.add(dead)
	confirm, err := ch.PublishWithDeferredConfirm("", dead.Name, true, false, amqp.Publishing{
		Headers: toTable(b.deadLetter(&d, size)), DeliveryMode: amqp.Persistent,
	})
	if err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, relayConfirm)
	defer cancel()
	if safe, err := confirm.WaitContext(ctx); err != nil || !safe {
		return fmt.Errorf("waiting for the confirm: %w", errors.Join(broker.ErrLost, err))
	}
	r.sent.Store(false)
	b.log.Warn("dead-lettered a body that is too large to be received", "component", "broker", "queue", dead.Name, "bytes", size)
	return nil
}
