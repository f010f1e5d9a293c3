package http_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/options"
	"switchboard/transports"
	"switchboard/worker"
)

// A stop waits for requests that are under way, and for nothing else: what has its
// turn later stays on its queue.
func TestAStopLeavesWhatWaits(t *testing.T) {
	const messages = 5
	for name, c := range map[string]struct {
		preset string
		answer func(release <-chan struct{}) (int, map[string]string, string)
		sent   int
	}{
		"a slow provider": {"generic_json", func(release <-chan struct{}) (int, map[string]string, string) {
			<-release
			return 200, nil, `{"id":"1"}`
		}, 1},
		"one that throttles": {"generic_json", func(<-chan struct{}) (int, map[string]string, string) {
			return 429, map[string]string{"Retry-After": "3600"}, ""
		}, 0},
		"a phone that does not come": {"smssync", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings, secrets := map[string]string{"send_url": "PROVIDER"}, map[string]options.Secret{"token": "s3cret-token"}
			if c.answer == nil {
				settings, secrets = nil, map[string]options.Secret{"secret": "s3cret-token"}
			}
			b := unprovisioned(c.preset, settings, secrets)
			t.Cleanup(b.provider.close)
			b.MaxInFlight = 1
			release, begun := make(chan struct{}), make(chan struct{}, messages)
			b.provider.answersWith(func(asked) (int, map[string]string, string) {
				begun <- struct{}{}
				return c.answer(release)
			})
			if err := b.Validate(); err != nil {
				t.Fatal(err)
			}
			rabbit, ctx := memory.New(memory.Settings{}), within(t)
			queue := message.Key("channel", message.Outbound)
			must(t, rabbit.Declare(ctx, broker.Queue{Name: queue, Keys: []string{queue}}))
			for i := range messages {
				m := outbound("hello")
				m.To = fmt.Sprintf("+2783000000%d", i)
				must(t, rabbit.Publish(ctx, broker.Publication{Key: queue, Body: m.Encode()}))
			}
			frameOptions := transports.DefaultOptions()
			frameOptions.TransportName = "channel"
			monitor := worker.NewMonitor("channel", nil)
			frame := transports.New(worker.Dependencies{
				Name: "channel", Broker: rabbit, State: b.state, Logger: slog.New(slog.DiscardHandler), Monitor: monitor,
			}, frameOptions, b.Transport)
			run, stop := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() { ended <- frame.Run(run) }()
			if c.answer != nil {
				<-begun
			}
			testutil.Eventually(t, "all wait", func() bool { return monitor.Held()[queue] == messages })
			stop()
			if c.sent > 0 {
				testutil.Eventually(t, "the others are back", func() bool { return monitor.Held()[queue] == 1 })
			}
			close(release)
			if err := <-ended; err != nil {
				t.Errorf("the worker ended with %v", err)
			}
			info, err := rabbit.Inspect(ctx, queue)
			if err != nil || info.Messages != messages-c.sent {
				t.Errorf("%d messages are on the queue: %v", info.Messages, err)
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
