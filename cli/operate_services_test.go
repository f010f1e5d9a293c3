//go:build services

package cli

import (
	"context"
	"os"
	"testing"

	"switchboard/broker"
	"switchboard/operate/queues"
)

func TestOperatorOnRabbitMQ(t *testing.T) {
	url := os.Getenv("AMQP_URL")
	if url == "" {
		t.Fatal(`AMQP_URL is not set: eval "$(scripts/services env)" after scripts/services up`)
	}
	onBroker(t, func(ctx context.Context, _ string) (broker.Broker, error) { return queues.Connect(ctx, url) })
}
