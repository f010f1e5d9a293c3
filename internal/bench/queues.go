package main

import (
	"context"
	"fmt"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/message"
)

// bodySize is about what a message weighs on the wire.
const bodySize = 700

// preload fills a queue with n persistent messages as a transport would.
func preload(ctx context.Context, b *rabbitmq.Broker, queue, transport string, n int) error {
	if err := declareEmpty(ctx, b, queue); err != nil {
		return err
	}
	errs := make(chan error, n)
	for range n {
		body := sample(transport)
		b.PublishAsync(ctx, broker.Publication{Key: queue, Body: body}, func(err error) { errs <- err })
	}
	for range n {
		if err := <-errs; err != nil {
			return fmt.Errorf("filling %s: %w", queue, err)
		}
	}
	return nil
}

func declareEmpty(ctx context.Context, b *rabbitmq.Broker, queue string) error {
	if err := b.Declare(ctx, broker.Queue{Name: queue, Keys: []string{queue}}); err != nil {
		return err
	}
	_, err := b.Purge(ctx, queue)
	return err
}

func sample(transport string) []byte {
	m := message.New()
	m.To, m.From = "12345", "+27831234567"
	m.ToType, m.FromType = "msisdn", "msisdn"
	m.TransportName, m.TransportType, m.Provider = transport, "sms", "mtn"
	m.TransportMetadata.Set("smsc_id", "abc")
	m.Content = "The quick brown fox jumps over the lazy dog, "
	for size := len(m.Encode()); size < bodySize; size++ {
		m.Content += "x"
	}
	return m.Encode()
}

const pollEvery = 5 * time.Millisecond

// timeUntil waits until a queue holds n bodies and says how long that took from
// the first one it saw there, and how many were there then.
func timeUntil(ctx context.Context, b *rabbitmq.Broker, queue string, n int) (time.Duration, int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var began time.Time
	atStart := 0
	for {
		info, err := b.Inspect(ctx, queue)
		if err != nil {
			return 0, 0, err
		}
		now := time.Now()
		if began.IsZero() && info.Messages > 0 {
			began, atStart = now, info.Messages
		}
		if info.Messages >= n {
			return now.Sub(began), n - atStart, nil
		}
		select {
		case <-ctx.Done():
			return 0, 0, fmt.Errorf("%s holds %d of %d bodies: %w", queue, info.Messages, n, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}
