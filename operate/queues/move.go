package queues

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/operate"
	"switchboard/worker"
)

// Move takes what waits to go out by one transport to another, in its order.
type Move struct {
	From, To string // transport_names
	// Filter: only messages from this application's connector, to addresses that begin
	// so, with this in their text. What is empty chooses all.
	Application, Address, Text string
	// Limit is how many at most, the first in the queue; 0 is all.
	Limit int
	// DryRun counts only.
	DryRun bool
}

// longestMove is how long the queue is held: RabbitMQ ends a channel that holds a body for half
// an hour (consumer_timeout).
const longestMove = 20 * time.Minute

// Run returns how many it moved, and how many it left. Nobody may consume the queue
// meanwhile: what a crash returns to it would be sent by both. Each message is safe on
// the other queue before it leaves its own, so a crash loses none; what was on both then
// is marked, as all that comes twice, when it is moved again, and its transport sends it
// once.
func (m Move) Run(ctx context.Context, b broker.Broker) (moved, left int, err error) {
	from, to := message.Key(m.From, message.Outbound), message.Key(m.To, message.Outbound)
	info, err := m.check(ctx, b, from, to)
	if err != nil || info.Messages == 0 {
		return 0, 0, err
	}
	deletions := NewDeletions(b, "moved to "+m.To+" by an operator")
	defer func() { err = errors.Join(err, deletions.Wait()) }()
	until := time.Now().Add(longestMove)
	err = b.Browse(ctx, from, info.Messages, func(d *broker.Delivery) (broker.Verdict, error) {
		e, err := message.DecodeEnvelope(message.Outbound, m.From, d.Body)
		switch {
		case err != nil || !m.chooses(e) || m.Limit > 0 && moved == m.Limit: // its transport judges what is no message
			left++
			return broker.Keep, nil
		case time.Now().After(until):
			return broker.Keep, fmt.Errorf("%d are moved, and the queue was held for %s; run this again for the rest", moved, longestMove)
		case m.DryRun:
			moved++
			return broker.Keep, nil
		}
		e.Connector, e.Message.TransportName = m.To, m.To
		if d.Redelivered || d.Headers[worker.HeaderAttempts] != "" {
			e.Routing().Set(message.AgainKey, true)
		}
		if err := b.Publish(ctx, broker.Publication{Key: to, Body: e.Encode()}); err != nil {
			return broker.Keep, fmt.Errorf("after %d: moving %s to %s: %w", moved, e.ID(), to, err)
		}
		deletions.Record(ctx, from, d.Body)
		moved++
		return broker.Remove, nil
	})
	if err == nil && moved == 0 && left > 0 {
		err = operate.Misused(fmt.Errorf("none of the %d messages in %s is chosen: application %q, to_addr %q…, text %q", left, from, m.Application, m.Address, m.Text))
	}
	return moved, left, err
}

func (m Move) check(ctx context.Context, b broker.Admin, from, to string) (broker.Info, error) {
	if from == to {
		return broker.Info{}, operate.Misused(errors.New("name two transports"))
	}
	for _, queue := range [...]string{to, from} {
		if err := CheckQueue(ctx, b, queue, nil); err != nil {
			return broker.Info{}, err
		}
	}
	info, _, err := inspect(ctx, b, from)
	if err == nil && info.Consumers > 0 && !m.DryRun {
		err = operate.Misused(fmt.Errorf("%s has %d consumers, and what is moved must have none: switchboard pause %[1]s, then try again in some seconds",
			from, info.Consumers))
	}
	return info, err
}

func (m Move) chooses(e *message.Envelope) bool {
	return strings.HasPrefix(e.Message.To, m.Address) && strings.Contains(e.Message.Content, m.Text) &&
		(m.Application == "" || message.Application(e.Routing()) == m.Application)
}
