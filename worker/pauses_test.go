package worker_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/message"
	"switchboard/worker"
)

// A queue that was paused before a worker started is not consumed until it is resumed, and
// keeps what is published.
func TestPauseOutlivesAStart(t *testing.T) {
	inBubble(t, func(b *bench) {
		must := func(err error) {
			b.t.Helper()
			if err != nil {
				b.t.Fatal(err)
			}
		}
		must(worker.SetPause(b.t.Context(), b.core.State, "sms.inbound", worker.Pause{Why: "maintenance"}))
		ctx, end := context.WithCancel(b.t.Context())
		defer end()
		b.core.Pauses = worker.FollowPauses(ctx, b.core.State, slog.New(slog.DiscardHandler))
		stop := b.serve(answer(nil), nil)
		if info, err := b.broker.Inspect(b.t.Context(), "sms.inbound"); err != nil || info.Consumers != 0 {
			b.t.Errorf("the queue has %d consumers: %v", info.Consumers, err)
		}
		b.publish(3, nil)
		b.settled("while it is paused", 3, 0)
		must(worker.Resume(b.t.Context(), b.core.State, "sms.inbound"))
		time.Sleep(3 * time.Second) // of the test's own clock
		b.settled("after it was resumed", 0, 0)
		must(worker.SetPause(b.t.Context(), b.core.State, "sms.inbound", worker.Pause{}))
		time.Sleep(3 * time.Second)
		b.publish(2, nil)
		b.settled("when it is paused again", 2, 0)
		stop()
	})
}

// What waits for a link that is down returns to a queue that is paused; what is in flight
// otherwise is finished.
func TestPauseGivesBackWhatWaitsForALink(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.core.Monitor = worker.NewMonitor("w", nil)
		b.core.Monitor.Report(worker.DependsOnLink, "smpp", message.OK, "")
		ctx, end := context.WithCancel(b.t.Context())
		defer end()
		b.core.Pauses = worker.FollowPauses(ctx, b.core.State, slog.New(slog.DiscardHandler))
		stop := b.serve(b.core.Lanes((*worker.Delivery).ID, func(ctx context.Context, _ *worker.Delivery) error {
			<-ctx.Done()
			return ctx.Err()
		}), nil)
		b.publish(3, nil)
		if err := worker.SetPause(b.t.Context(), b.core.State, "sms.inbound", worker.Pause{}); err != nil {
			b.t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // of the test's own clock
		synctest.Wait()
		if held := b.core.Monitor.Held(); held["sms.inbound"] != 3 {
			b.t.Errorf("holds %v while the link is up", held)
		}
		b.core.Monitor.Report(worker.DependsOnLink, "smpp", message.Down, "connection refused")
		time.Sleep(time.Second)
		b.settled("with a link that is down", 3, 0)
		if held := b.core.Monitor.Held(); len(held) != 0 {
			b.t.Errorf("holds %v", held)
		}
		if limits := b.core.Monitor.Limits(); len(limits) != 0 {
			b.t.Errorf("has the limits %v while nothing is consumed", limits)
		}
		b.core.Monitor.Report(worker.DependsOnLink, "smpp", message.OK, "")
		if err := worker.Resume(b.t.Context(), b.core.State, "sms.inbound"); err != nil {
			b.t.Fatal(err)
		}
		time.Sleep(3 * time.Second) // of the test's own clock
		if limits := b.core.Monitor.Limits(); limits["sms.inbound"] == 0 {
			b.t.Errorf("has the limits %v after it was resumed", limits)
		}
		b.core.Monitor.Report(worker.DependsOnLink, "smpp", message.Down, "connection refused") // it is not waited for
		stop()
	})
}
