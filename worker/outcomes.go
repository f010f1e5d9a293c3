package worker

import (
	"context"

	"switchboard/broker"
	"switchboard/message"
)

// Outcomes is a middleware for those who try an application: it publishes to a queue how
// handling each inbound message ended, behind what the application sent for it.
type Outcomes struct {
	Broker broker.Broker
	Queue  string
}

// outcomeHeader tells an outcome, whose body is the failure, from a message.
const outcomeHeader = "outcome"

// Wrap implements Middleware.
func (o Outcomes) Wrap(flow message.Flow, next Handler) Handler {
	if flow != message.Inbound {
		return next
	}
	return func(ctx context.Context, e *message.Envelope) error {
		err := Protect(func() error { return next(ctx, e) })
		p := broker.Publication{Queue: o.Queue, Headers: broker.Headers{outcomeHeader: "true"}}
		if _, discarded := message.DiscardReason(err); err != nil && !discarded {
			p.Body = []byte(err.Error())
		}
		if lost := o.Broker.Publish(ctx, p); lost != nil {
			return lost
		}
		return err
	}
}

// Outcome says whether a body is an outcome; failure is empty where the message was handled.
func Outcome(d *broker.Delivery) (failure string, is bool) {
	return string(d.Body), d.Headers[outcomeHeader] != ""
}
