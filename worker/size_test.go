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
