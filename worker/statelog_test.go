package worker_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/message"
	"switchboard/store"
	"switchboard/worker"
)

// unreachable is a state store that cannot be reached.
type unreachable struct{ store.State }

func (unreachable) Get(context.Context, ...string) (map[string]string, error) {
	return nil, errors.New("connection refused")
}

// A state store that is away is logged now and then, and not for every message.
func TestAStateStoreThatIsAwayIsLoggedNowAndThen(t *testing.T) {
	inBubble(t, func(b *bench) {
		var log bytes.Buffer
		b.core.Logger = slog.New(slog.NewTextHandler(&log, nil))
		b.core.Monitor = worker.NewMonitor("w", nil)
		state := worker.MonitoredState(unreachable{}, b.core.Monitor)
		stop := b.serve(func(ctx context.Context, item *worker.Delivery) {
			_, err := state.Get(ctx, "key")
			item.Settle(message.RetryAfter(time.Hour, err))
		}, nil)
		b.publish(300, nil)
		synctest.Wait()
		time.Sleep(2 * time.Minute)
		b.publish(300, nil)
		synctest.Wait()
		stop()
		if n := strings.Count(log.String(), "without the state store"); n != 2 || !strings.Contains(log.String(), "others_before=299") {
			t.Errorf("%d lines:\n%s", n, log.String())
		}
	})
}
