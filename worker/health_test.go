package worker_test

import (
	"context"
	"testing"
	"testing/synctest"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/store"
	"switchboard/worker"
)

// A worker that follows a transport no more still gets its status events, and must not
// overwrite what the others know of it.
func TestATransportThatIsNotFollowedIsLeftToOthers(t *testing.T) {
	inBubble(t, func(b *bench) {
		ctx := b.t.Context()
		must := func(err error) {
			b.t.Helper()
			if err != nil {
				b.t.Fatal(err)
			}
		}
		must(worker.NewHealthTracker(b.core).Follow(ctx, []string{"sms"})) // before it was taken out of the file
		const known = `{"smsc":{"health":"down","at":"2026-01-31T12:00:00Z"}}`
		must(b.core.State.Set(ctx, store.Entry{Key: "health/sms", Value: known}))
		tracker := worker.NewHealthTracker(b.core)
		must(tracker.Follow(ctx, []string{"ussd"}))
		stop := tracker.Track(context.Background())
		defer stop()
		status := message.NewStatus("smsc", message.OK, "bound", "")
		must(b.broker.Publish(ctx, broker.Publication{Key: "sms.status.status", Body: status.Encode()}))
		synctest.Wait()
		if found, err := b.core.State.Get(ctx, "health/sms"); err != nil || found["health/sms"] != known {
			b.t.Errorf("the others know %v, %v", found, err)
		}
	})
}
