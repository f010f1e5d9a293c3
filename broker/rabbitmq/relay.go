package rabbitmq

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
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
	// moveAttempts is how often moving fails before the consumers go on without.
	moveAttempts = 2
	// moveRetry is how often a body that is stuck is tried again. Each time returns what is
	// before it to its queue, and RabbitMQ 4 drops from a quorum queue what returned 20 times.
	moveRetry = 5 * time.Minute
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
			r.extend()
		}
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
	_ = r.Conn.SetWriteDeadline(time.Time{}) // the library sets those for reading
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

// stuckError says that a body could not be moved.
type stuckError struct {
	consumer *consumer
	size     uint64
	error
}

func (e *stuckError) Unwrap() error { return e.error }

// moveAllLarge moves the large bodies of all consumers before they use s. Its error says to
// connect again and try again. What fails again and again does not keep the others waiting:
// a consumer that may receive the body does, and another waits by itself, see awaitMove.
func (b *Broker) moveAllLarge(ctx context.Context, s *session) error {
	moved, err := b.moveLarge(ctx, s, slices.DeleteFunc(b.tracker.all(), func(c *consumer) bool { return c.stuck.Load() })...)
	if moved > 0 {
		b.failedMoves = 0
	}
	if err == nil {
		return nil
	}
	if b.failedMoves++; b.failedMoves < moveAttempts || ctx.Err() != nil {
		return err
	}
	consequence := "its consumer receives it"
	if stuck := (*stuckError)(nil); errors.As(err, &stuck) && s.socket.exceedsMemory(stuck.size) {
		b.failedMoves = 0
		stuck.consumer.stuck.Store(true)
		consequence = "its consumer waits until it can be moved"
	} else {
		s.socket.relayed.Store(false)
	}
	b.log.Error("a large body cannot be moved to the dead letters: "+consequence, "component", "broker", "error", err)
	return nil
}

// awaitMove tries again and again to move what is stuck, until ctx ends or the broker closes.
func (c *consumer) awaitMove(ctx context.Context) error {
	for c.stuck.Load() {
		select {
		case <-time.After(moveRetry):
		case <-ctx.Done():
			return ctx.Err()
		case <-c.broker.closing:
			return broker.ErrClosed
		}
		s, err := c.broker.consume.get(ctx, false)
		if err == nil {
			_, err = c.broker.moveLarge(ctx, s, c)
		}
		if err == nil {
			c.stuck.Store(false)
		} else if ctx.Err() == nil {
			c.broker.log.Error("a large body still cannot be moved to the dead letters", "component", "broker", "queue", c.spec.Name, "error", err)
		}
	}
	return nil
}

// moveLarge moves bodies over broker.MaxBody to the dead letters of their queues: those that
// consumers would be sent next. It declares through s. What was unsettled on a connection that
// broke needs a moment to return; it gives up after returnPatience, as another process may
// have moved it. It ends at the first that it cannot move.
func (b *Broker) moveLarge(ctx context.Context, s *session, consumers ...*consumer) (moved int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	conn, r, err := b.consume.dialer.dialRelay(ctx)
	if err != nil {
		return 0, err
	}
	blocks := conn.NotifyBlocked(make(chan amqp.Blocking, 16))
	go func() {
		select {
		case <-ctx.Done():
		case <-b.closing:
			cancel(broker.ErrClosed)
		case why, open := <-blocks: // heartbeats would keep a connection up that is not read
			if open {
				cancel(fmt.Errorf("RabbitMQ takes no bodies: %s", why.Reason))
			}
		}
	}()
	for began := time.Now(); moved == 0 && time.Since(began) < returnPatience; backoff.Sleep(ctx, returnPoll) {
		for _, c := range consumers {
			n, err := b.moveLargeOf(ctx, s, conn, r, c)
			moved += n
			if why := context.Cause(ctx); err != nil && why != nil {
				err = fmt.Errorf("%w (%w)", err, why)
			}
			if err != nil {
				return moved, fmt.Errorf("moving large bodies of queue %q to its dead letters: %w", c.spec.Name, err)
			}
		}
	}
	hangUp := time.AfterFunc(closeHandshake, func() { cancel(errNoGoodbye) })
	defer hangUp.Stop()
	if err := conn.CloseDeadline(time.Now().Add(closeHandshake)); err != nil {
		b.log.Debug("closing the connection for large bodies", "component", "broker", "error", err)
	}
	return moved, nil
}

// moveLargeOf walks as far as a consumer is sent. What it leaves returns to its place when
// the channel is closed.
func (b *Broker) moveLargeOf(ctx context.Context, s *session, conn *amqp.Connection, r *relay, c *consumer) (moved int, err error) {
	ch, err := conn.Channel()
	if err != nil {
		return 0, fmt.Errorf("opening channel: %w", err)
	}
	closes := ch.NotifyClose(make(chan *amqp.Error, 1))
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
				return moved, &stuckError{c, size, whyClosed(closes, err)}
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
