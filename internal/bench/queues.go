package main

import (
	"context"
	"errors"
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
	return fill(ctx, b, n, func(int) []broker.Publication {
		return []broker.Publication{{Key: queue, Body: sample(transport)}}
	})
}

// fill publishes what publications returns for 0 … n-1, and waits until all of it
// is confirmed.
func fill(ctx context.Context, b *rabbitmq.Broker, n int, publications func(i int) []broker.Publication) error {
	const atOnce = 10_000
	for from := 0; from < n; from += atOnce {
		var batch []broker.Publication
		for i := from; i < min(from+atOnce, n); i++ {
			batch = append(batch, publications(i)...)
		}
		confirms := make(chan error, len(batch))
		for _, p := range batch {
			b.PublishAsync(ctx, p, func(err error) { confirms <- err })
		}
		var failed error
		for range batch {
			failed = errors.Join(failed, <-confirms)
		}
		if failed != nil {
			return fmt.Errorf("filling %s: %w", batch[0].Key, failed)
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

// timeBetween waits until a queue holds n bodies. It says how long that took from when
// it held more than from, and how many came meanwhile.
func timeBetween(ctx context.Context, b *rabbitmq.Broker, queue string, from, n int) (time.Duration, int, error) {
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
		if began.IsZero() && info.Messages > from {
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
