package transports_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/message"
	"switchboard/transports"
	"switchboard/transports/transporttest"
)

// flaky is a publisher that fails so many times, and counts the messages it had.
type flaky struct {
	*transporttest.Publisher
	mu    sync.Mutex
	fails int
}

func (f *flaky) Status(ctx context.Context, s *message.Status) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails > 0 {
		f.fails--
		return errors.New("the broker is away")
	}
	return f.Publisher.Status(ctx, s)
}

// What is said twice is published once, and what could not be published is tried
// again, unless there is something newer to say.
func TestStatuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &flaky{Publisher: transporttest.NewPublisher(), fails: 2}
		s := transports.NewStatuses(out, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.Run(ctx)
		}()
		s.Tell("a", message.OK, "up", "It is up.")
		s.Tell("a", message.OK, "up", "It is up.")
		s.Tell("b", message.OK, "up", "It is up.")
		time.Sleep(10 * time.Second)
		s.Tell("a", message.Down, "gone", "It is gone.", "because")
		synctest.Wait()
		s.Tell("a", message.OK, "up", "It is up.")
		stop() // what is left is published all the same
		<-ended
		for i, want := range []string{"a ok", "b ok", "a down", "a ok"} {
			if got := out.NextStatus(t); got.Component+" "+string(got.Health) != want {
				t.Errorf("status %d is %s, want %s", i, got.Encode(), want)
			}
		}
	})
}

// A broker that is away holds nobody up, and the newest word is kept.
func TestStatusesAreBounded(t *testing.T) {
	out := transporttest.NewPublisher()
	s := transports.NewStatuses(out, slog.New(slog.DiscardHandler))
	for range 1000 {
		s.Tell("a", message.OK, "up", "It is up.")
		s.Tell("a", message.Down, "gone", "It is gone.")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Run(ctx)
	var last *message.Status
	for range 100 {
		last = out.NextStatus(t)
	}
	if last.Health != message.Down {
		t.Errorf("the last one is %s", last.Encode())
	}
}
