package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/broker"
)

// confirmChannel is one channel in confirm mode, from opening until it is closed.
type confirmChannel struct {
	ch        *amqp.Channel
	publisher *publisher
	metrics   *metrics
	returns   chan amqp.Return
	gone      chan struct{} // closed when the channel is
	reason    error         // set before gone is closed

	socket   *socket
	turn     chan struct{} // holds one token while somebody publishes; guards what follows
	inFlight chan inFlight // in order; its room is the window, so it never blocks
	seq      uint64
	closed   bool
}

// inFlight is a publication that is not confirmed yet.
type inFlight struct {
	publication
	id      string
	confirm *amqp.DeferredConfirmation
}

func newConfirmChannel(s *session, u *publisher) (*confirmChannel, error) {
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("opening channel: %w", err)
	}
	if err := ch.Confirm(false); err != nil {
		return nil, fmt.Errorf("asking for confirms: %w", err)
	}
	c := &confirmChannel{
		ch: ch, socket: s.socket, publisher: u, metrics: u.broker.metrics,
		turn: make(chan struct{}, 1),
		// At most one for each confirm outstanding, so the library never waits.
		returns:  ch.NotifyReturn(make(chan amqp.Return, cap(u.slots))),
		inFlight: make(chan inFlight, cap(u.slots)),
		gone:     make(chan struct{}),
	}
	closes := ch.NotifyClose(make(chan *amqp.Error, 1))
	go c.watch(closes)
	u.callbacks.Go(c.confirms)
	return c, nil
}

// watch waits until the channel is closed and all its confirms are settled.
func (c *confirmChannel) watch(closes <-chan *amqp.Error) {
	for e := range closes {
		c.reason = e
	}
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	c.closed = true
	close(c.inFlight)
	close(c.gone)
}

// publish sends p. After amqp.ErrClosed it was not sent, and another channel may.
func (c *confirmChannel) publish(ctx context.Context, p publication) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := c.socket.waitRoom(ctx); err != nil {
		return err
	}
	if c.closed {
		return amqp.ErrClosed
	}
	id := strconv.FormatUint(c.seq, 36) // tells which publication a returned body was
	confirm, err := c.ch.PublishWithDeferredConfirm(p.via.exchange, p.via.key, true, false, amqp.Publishing{
		Headers:      toTable(p.Headers),
		DeliveryMode: amqp.Persistent,
		Expiration:   p.via.expiration,
		MessageId:    id,
		Body:         p.Body,
	})
	if err != nil {
		if errors.Is(err, amqp.ErrClosed) {
			return amqp.ErrClosed
		}
		return fmt.Errorf("%w (%w)", broker.ErrLost, err)
	}
	c.seq++
	c.metrics.outstanding.Inc()
	c.inFlight <- inFlight{p, id, confirm}
	return nil
}

// confirms calls done of each publication, in order, until the channel is closed.
func (c *confirmChannel) confirms() {
	returned := make(map[string]string)
	blamed := false
	for p := range c.inFlight {
		select {
		case <-p.confirm.Done():
		case <-c.gone:
		}
		// The library delivers a return before its confirm, on one goroutine.
		c.collect(returned)
		err := c.outcome(p, returned, &blamed)
		c.metrics.outstanding.Dec()
		if errors.Is(err, broker.ErrUnroutable) && c.publisher.resend(p.publication) {
			continue
		}
		if p.again && err == nil {
			c.publisher.routed()
		}
		p.done(err)
		<-c.publisher.slots
	}
}

func (c *confirmChannel) collect(returned map[string]string) {
	for {
		select {
		case r, open := <-c.returns:
			if !open {
				c.returns = nil
				return
			}
			returned[r.MessageId] = r.ReplyText
		default:
			return
		}
	}
}

func (c *confirmChannel) outcome(p inFlight, returned map[string]string, blamed *bool) error {
	text, unroutable := returned[p.id]
	delete(returned, p.id)
	switch {
	case p.confirm.Acked() && unroutable:
		return c.count("unroutable", fmt.Errorf("publishing to %q: %w (%s)", p.Destination(), broker.ErrUnroutable, text))
	case p.confirm.Acked():
		c.metrics.confirmed.Inc()
		return nil
	case !c.ch.IsClosed():
		return c.count("refused", fmt.Errorf("publishing to %q: %w", p.Destination(), broker.ErrRefused))
	}
	<-c.gone
	if err := c.blame(p); err != nil && !*blamed {
		*blamed = true
		return c.count("invalid", err)
	}
	return c.count("lost", fmt.Errorf("publishing to %q: %w (%w)", p.Destination(), broker.ErrLost, c.why()))
}

func (c *confirmChannel) why() error {
	if c.reason != nil {
		return c.reason
	}
	return amqp.ErrClosed
}

func (c *confirmChannel) count(outcome string, err error) error {
	c.metrics.published.WithLabelValues(outcome).Inc()
	return err
}

// tooLarge matches RabbitMQ's 406 for a body over its max_message_size.
var tooLarge = regexp.MustCompile(`message size (\d+) is larger than (?:configured )?max size (\d+)`)

// blame returns an error when RabbitMQ closed the channel because of p: the first
// one in flight that matches the reason.
func (c *confirmChannel) blame(p inFlight) error {
	var e *amqp.Error
	if !errors.As(c.reason, &e) || !e.Server {
		return nil
	}
	switch m := tooLarge.FindStringSubmatch(e.Reason); {
	case m != nil && m[1] == strconv.Itoa(len(p.Body)):
		return fmt.Errorf("publishing %d bytes to %q: RabbitMQ takes at most %s (max_message_size in rabbitmq.conf): %w", len(p.Body), p.Destination(), m[2], broker.ErrInvalid)
	case m == nil && e.Code == amqp.AccessRefused:
		return fmt.Errorf("publishing to %q: %w: %w", p.Destination(), broker.ErrRefused, explain(e))
	}
	return nil
}
