//go:build services

package rabbitmq_test

import (
	"context"
	"slices"
	"testing"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/internal/testutil"
)

// TestStateKnowsWhatIsNotConsumed: being connected is not enough to be ready.
func TestStateKnowsWhatIsNotConsumed(t *testing.T) {
	p := newProxy(t)
	q := newQueue(t)
	b := openClosed(t, rabbitmq.Settings{URL: p.url})
	ctx, stop := context.WithCancel(testContext(t))
	defer stop()
	ended := make(chan error, 1)
	begun := make(chan struct{}, 1)
	go func() {
		ended <- b.Consume(ctx, q, 1, func(d *broker.Delivery) {
			d.Ack()
			begun <- struct{}{}
		})
	}()
	must(t, b.Publish(ctx, broker.Publication{Queue: q.Name}))
	<-begun
	if idle := b.State().Idle; len(idle) > 0 {
		t.Errorf("what is consumed is said to be idle: %v", idle)
	}
	p.Refuse(true)
	testutil.Eventually(t, "the state names the queue", func() bool { return slices.Equal(b.State().Idle, []string{q.Name}) })
	p.Refuse(false)
	testutil.Eventually(t, "it is consumed again", func() bool { return len(b.State().Idle) == 0 })
	p.Refuse(true)
	testutil.Eventually(t, "the state names the queue again", func() bool { return len(b.State().Idle) > 0 })
	stop()
	must(t, <-ended)
	if idle := b.State().Idle; len(idle) > 0 {
		t.Errorf("a consumer that has ended is said to be idle: %v", idle)
	}
}
