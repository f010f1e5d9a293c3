package worker_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/worker"
)

// TestTheLimitHasBounds: a body that a broker may move away unseen cannot be allowed.
func TestTheLimitHasBounds(t *testing.T) {
	for size, fine := range map[int]bool{1 << 10: true, 1<<10 - 1: false, broker.MaxBody: true, broker.MaxBody + 1: false} {
		settings := worker.DefaultSettings()
		settings.MaxBodyBytes = size
		if err := settings.Validate(); (err == nil) != fine {
			t.Errorf("%d: %v", size, err)
		}
	}
}

// What is over max_body_bytes is a dead letter that says its size, and is not published.
func TestBodiesHaveALimit(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.core.Settings.MaxBodyBytes = 2000
		large := message.New()
		large.ID, large.Content = "large", strings.Repeat("x", 2000)
		published := make(chan error, 2)
		stop := b.serve(func(ctx context.Context, d *worker.Delivery) {
			reply := message.Envelope{Connector: "sms", Flow: message.Outbound, Message: large}
			published <- b.core.Publish(ctx, &reply)
			b.core.PublishAsync(ctx, &reply, func(err error) { published <- err })
			d.Settle(nil)
		}, nil)
		b.publish(1, nil)
		if err := b.broker.Publish(t.Context(), broker.Publication{Key: "sms.inbound", Body: large.Encode()}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.settled("one of two", 0, 1)
		for _, d := range b.queue("sms.inbound.dead") {
			if text := d.Headers[worker.HeaderError]; !strings.Contains(text, "bytes, and max_body_bytes is 2000") {
				t.Errorf("the error is %q", text)
			}
		}
		for range 2 {
			if err := <-published; !message.IsPermanent(err) || !strings.Contains(err.Error(), "max_body_bytes") {
				t.Errorf("publishing a large body: %v", err)
			}
		}
		stop()
	})
}
