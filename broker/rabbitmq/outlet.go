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

// outlet is one channel in confirm mode, from opening until it is closed.
type outlet struct {
	ch      *amqp.Channel
	metrics *metrics
	release func() // gives a slot of the window back
	returns chan amqp.Return
	gone    chan struct{} // closed when the channel is
	reason  error         // set before gone is closed

	socket *socket
	turn   chan struct{} // holds one token while somebody hands over; guards what follows
	handed chan handed   // in order; never full, its room is the window
	seq    uint64
	closed bool
}

// handed is a publication whose fate is not known yet.
type handed struct {
	id      string
	to      string
	size    int
	done    func(error)
	confirm *amqp.DeferredConfirmation
}

func newOutlet(s *session, b *Broker, window int, release func()) (*outlet, error) {
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, fmt.Errorf("opening channel: %w", err)
	}
	if err := ch.Confirm(false); err != nil {
		return nil, fmt.Errorf("asking for confirms: %w", err)
	}
	o := &outlet{
		ch: ch, socket: s.socket, metrics: b.metrics, release: release,
		turn: make(chan struct{}, 1),
		// At most one for each confirm outstanding, so the library never waits.
		returns: ch.NotifyReturn(make(chan amqp.Return, window)),
		handed:  make(chan handed, window),
		gone:    make(chan struct{}),
	}
	closes := ch.NotifyClose(make(chan *amqp.Error, 1))
	go o.watch(closes)
	b.publisher.fates.Go(o.confirms)
	return o, nil
}

// watch waits until the channel is closed and all its confirms are settled.
func (o *outlet) watch(closes <-chan *amqp.Error) {
	for e := range closes {
		o.reason = e
	}
	o.turn <- struct{}{}
	defer func() { <-o.turn }()
	o.closed = true
	close(o.handed)
	close(o.gone)
}

// hand gives p to RabbitMQ; amqp.ErrClosed means that it did not and another
// outlet may.
func (o *outlet) hand(ctx context.Context, p broker.Publication, via route, done func(error)) error {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := o.socket.waitRoom(ctx); err != nil {
		return err
	}
	if o.closed {
		return amqp.ErrClosed
	}
	id := strconv.FormatUint(o.seq, 36) // tells which publication a returned body was
	confirm, err := o.ch.PublishWithDeferredConfirm(via.exchange, via.key, true, false, amqp.Publishing{
		Headers:      toTable(p.Headers),
		DeliveryMode: amqp.Persistent,
		Expiration:   via.expiration,
		MessageId:    id,
		Body:         p.Body,
	})
	if err != nil {
		if errors.Is(err, amqp.ErrClosed) {
			return amqp.ErrClosed
		}
		return fmt.Errorf("%w (%w)", broker.ErrLost, err)
	}
	o.seq++
	o.metrics.outstanding.Inc()
	o.handed <- handed{id: id, to: p.Destination(), size: len(p.Body), done: done, confirm: confirm}
	return nil
}

// confirms settles publications in their order until the channel is closed.
func (o *outlet) confirms() {
	returned := make(map[string]string)
	culprit := false
	for h := range o.handed {
		select {
		case <-h.confirm.Done():
		case <-o.gone:
		}
		// A returned body comes before its confirm, on the same goroutine of
		// the library, so what is returned is here by now.
		o.collect(returned)
		err := o.outcome(h, returned, &culprit)
		o.metrics.outstanding.Dec()
		h.done(err)
		o.release()
	}
}

func (o *outlet) collect(returned map[string]string) {
	for {
		select {
		case r, open := <-o.returns:
			if !open {
				o.returns = nil
				return
			}
			returned[r.MessageId] = r.ReplyText
		default:
			return
		}
	}
}

func (o *outlet) outcome(h handed, returned map[string]string, culprit *bool) error {
	text, unroutable := returned[h.id]
	delete(returned, h.id)
	switch {
	case h.confirm.Acked() && unroutable:
		return o.count("unroutable", fmt.Errorf("publishing to %q: %w (%s)", h.to, broker.ErrUnroutable, text))
	case h.confirm.Acked():
		return o.count("confirmed", nil)
	case !o.ch.IsClosed():
		return o.count("refused", fmt.Errorf("publishing to %q: %w", h.to, broker.ErrRefused))
	}
	<-o.gone
	if err := o.blame(h); err != nil && !*culprit {
		*culprit = true
		return o.count("invalid", err)
	}
	return o.count("lost", fmt.Errorf("publishing to %q: %w (%w)", h.to, broker.ErrLost, o.why()))
}

func (o *outlet) why() error {
	if o.reason != nil {
		return o.reason
	}
	return amqp.ErrClosed
}

func (o *outlet) count(outcome string, err error) error {
	o.metrics.published.WithLabelValues(outcome).Inc()
	return err
}

// tooLarge is what RabbitMQ says of a body over its max_message_size, when it
// closes the channel with 406.
var tooLarge = regexp.MustCompile(`message size (\d+) is larger than (?:configured )?max size (\d+)`)

// blame says whether RabbitMQ closed the channel because of h: the first
// unsettled one that fits the reason is the one.
func (o *outlet) blame(h handed) error {
	var e *amqp.Error
	if !errors.As(o.reason, &e) || !e.Server {
		return nil
	}
	switch m := tooLarge.FindStringSubmatch(e.Reason); {
	case m != nil && m[1] == strconv.Itoa(h.size):
		return fmt.Errorf("publishing %d bytes to %q: RabbitMQ takes at most %s (max_message_size in rabbitmq.conf): %w", h.size, h.to, m[2], broker.ErrInvalid)
	case m == nil && e.Code == amqp.AccessRefused:
		return fmt.Errorf("publishing to %q: %w: %w", h.to, broker.ErrRefused, explain(e))
	}
	return nil
}
