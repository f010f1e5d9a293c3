//go:build services

package rabbitmq_test

import (
	"context"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/internal/testutil"
)

// TestCloseInAlarm: RabbitMQ is short of memory, confirms nothing and reads nothing;
// handlers and publishers hold what they have. Close ends with its context.
func TestCloseInAlarm(t *testing.T) {
	server := newServer(t)
	b := open(t, rabbitmq.Settings{URL: server.url})
	ctx := testContext(t)
	q := broker.Queue{Name: "q"}
	must(t, b.Declare(ctx, q))
	for range 20 {
		must(t, b.Publish(ctx, broker.Publication{Queue: q.Name, Body: make([]byte, 10_000)}))
	}
	consumed := make(chan error, 1)
	held := make(chan struct{}, 20)
	go func() {
		consumed <- b.Consume(context.Background(), q, 20, func(*broker.Delivery) { held <- struct{}{} })
	}()
	for range 20 {
		<-held
	}
	server.services("rabbitmqctl", "set_vm_memory_high_watermark", "0.000001")
	for range 300 {
		go b.Publish(context.Background(), broker.Publication{Queue: q.Name, Body: make([]byte, 100_000)})
	}
	testutil.Eventually(t, "RabbitMQ is in alarm", func() bool { return b.State().Blocked != "" })
	closing, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	err := b.Close(closing)
	took := time.Since(began)
	t.Logf("closed after %v: %v", took, err)
	if err == nil || took > 5*time.Second {
		t.Errorf("closing took %v and said %v", took, err)
	}
	if err := <-consumed; err == nil {
		t.Error("Consume ended as if everything were settled")
	}
}
