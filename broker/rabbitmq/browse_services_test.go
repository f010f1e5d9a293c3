//go:build services

package rabbitmq_test

import (
	"context"
	"crypto/rand"
	"testing"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
)

// TestBrowseRightAfterAnother browses what another connection has just returned.
func TestBrowseRightAfterAnother(t *testing.T) {
	for _, kind := range []broker.QueueType{broker.Classic, broker.Quorum} {
		t.Run(string(kind), func(t *testing.T) {
			const all = 1000
			ctx := testContext(t)
			b := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
			q := broker.Queue{Name: "rabbitmqtest." + rand.Text(), Type: kind}
			t.Cleanup(func() {
				must(t, openClosed(t, rabbitmq.Settings{URL: amqpURL(t)}).Delete(context.Background(), q.Name))
			})
			must(t, b.Declare(ctx, q))
			done := make(chan error, all)
			for range all {
				b.PublishAsync(ctx, broker.Publication{Queue: q.Name, Body: make([]byte, 500)}, func(err error) { done <- err })
			}
			for range all {
				must(t, <-done)
			}
			for range 2 {
				other := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
				seen := 0
				info, err := other.Inspect(ctx, q.Name)
				must(t, err)
				must(t, other.Browse(ctx, q.Name, all, func(*broker.Delivery) (broker.Verdict, error) {
					seen++
					return broker.Keep, nil
				}))
				must(t, other.Close(ctx))
				if seen != all || info.Messages != all {
					t.Errorf("saw %d of %d (inspect: %d)", seen, all, info.Messages)
				}
			}
		})
	}
}
