package persistence

import (
	"context"
	"fmt"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/store"
)

// maxAttempts bounds how often a message is handed over by hand.
const maxAttempts = 10

// Resend hands a failed outbound message over to its transport again, as its next attempt:
// the transport sends it although it knows its id, and the record has both attempts. It fails
// for a message that has not failed, or that a broadcast tries again.
func Resend(ctx context.Context, record store.Finder, p broker.Publisher, id string) error {
	trace, err := record.Trace(ctx, id)
	if err != nil {
		return err
	}
	for _, r := range trace.Records {
		if r.ID != id || r.Direction != store.Outbound {
			continue
		}
		m, err := next(&r)
		if err != nil {
			return fmt.Errorf("message %s: %w", id, err)
		}
		return p.Publish(ctx, broker.Publication{Key: message.Key(r.Backend, message.Outbound), Body: m.Encode()})
	}
	return fmt.Errorf("outbound message %s: %w", id, store.ErrNotFound)
}

// next is the next attempt of a message.
func next(r *store.Record) (*message.Message, error) {
	switch {
	case r.Broadcast != 0:
		return nil, fmt.Errorf("broadcast %d tries it again by itself", r.Broadcast)
	case r.Status != store.StatusError:
		return nil, fmt.Errorf("it is %s (%s); only failed messages are sent again", r.Status, r.Progress)
	case r.Progress == store.NotHandedOver.String():
		return nil, fmt.Errorf("no dispatcher handed it over (%s): send it anew, or retry the dead letter", r.Reason)
	case r.Attempts >= maxAttempts:
		return nil, fmt.Errorf("it was tried %d times", r.Attempts)
	}
	m, err := message.Decode([]byte(r.Body))
	if err != nil {
		return nil, err
	}
	store.SetAttempt(m, r.Attempts+1)
	return m, nil
}
