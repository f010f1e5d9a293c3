package persistence

import (
	"context"
	"errors"
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
	_, _, err := ResendTo(ctx, record, p, id, Resending{})
	return err
}

// Resending is how a message is sent again.
type Resending struct {
	Transport string // that sends it; its own when empty
	// Again marks it as what may be a second copy of this attempt.
	Again bool
}

// ResendTo is Resend, and returns the key that it published to and which attempt that is.
func ResendTo(ctx context.Context, record store.Finder, p broker.Publisher, id string, how Resending) (key string, attempt int, err error) {
	trace, err := record.Trace(ctx, id)
	if err != nil {
		return "", 0, err
	}
	for _, r := range trace.Records {
		if r.ID != id || r.Direction != store.Outbound {
			continue
		}
		m, err := next(&r)
		if err != nil {
			return "", 0, fmt.Errorf("message %s: %w", id, err)
		}
		if how.Transport != "" {
			r.Backend, m.TransportName = how.Transport, how.Transport
		}
		if how.Again {
			m.RoutingMetadata.Set(message.AgainKey, true)
		}
		key = message.Key(r.Backend, message.Outbound)
		return key, r.Attempts + 1, p.Publish(ctx, broker.Publication{Key: key, Body: m.Encode()})
	}
	return "", 0, fmt.Errorf("outbound message %s: %w", id, store.ErrNotFound)
}

// Resendable is an error that says why a message is not sent again; nil where it can be.
func Resendable(r *store.Record) error {
	switch {
	case r.Direction != store.Outbound:
		return errors.New("it came from a person: its dead letter can be retried")
	case r.Broadcast != 0:
		return errors.New("its broadcast tries it again by itself")
	case r.Status != store.StatusError:
		return fmt.Errorf("it is %s (%s); only failed messages are sent again", r.Status, r.Progress)
	case r.Progress == store.NotHandedOver.String():
		return errors.New("no dispatcher handed it over: send it anew, or retry the dead letter")
	case r.Attempts >= maxAttempts:
		return fmt.Errorf("it was tried %d times", r.Attempts)
	}
	return nil
}

// next is the next attempt of a message.
func next(r *store.Record) (*message.Message, error) {
	if err := Resendable(r); err != nil {
		return nil, err
	}
	m, err := message.Decode([]byte(r.Body))
	if err != nil {
		return nil, err
	}
	store.SetAttempt(m, r.Attempts+1)
	return m, nil
}
