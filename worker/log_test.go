package worker_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/worker"
)

// A message that is dropped is logged. The events of a broadcast, which no
// application waits for, would fill the log.
func TestLogTellsOfMessagesDroppedNotOfEvents(t *testing.T) {
	inBubble(t, func(b *bench) {
		var log bytes.Buffer
		b.core.Logger = slog.New(slog.NewTextHandler(&log, nil))
		handle := answer(message.Discard("nobody waits for it"))
		stop := b.serve(handle, nil)
		b.publish(1, nil)
		b.settled("a message", 0, 0)
		stop()
		if n := strings.Count(log.String(), "nobody waits"); n != 1 {
			t.Errorf("%d lines about a message:\n%s", n, log.String())
		}
		log.Reset()
		stop = b.serveSource(worker.Subscription{Connector: "sms", Flow: message.EventFlow, Handle: handle})
		ack := message.NewAck(message.New(), "")
		if err := b.broker.Publish(t.Context(), broker.Publication{Key: "sms.event", Body: ack.Encode()}); err != nil {
			t.Fatal(err)
		}
		if n := len(b.queue("sms.event")); n != 0 {
			t.Errorf("%d events wait", n)
		}
		stop()
		if log.Len() > 0 {
			t.Errorf("about an event: %s", log.String())
		}
	})
}
