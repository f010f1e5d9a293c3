//go:build services

package cli

import (
	"context"
	"os"
	"testing"

	"switchboard/broker"
)

func TestOperatorOnRabbitMQ(t *testing.T) {
	url := os.Getenv("AMQP_URL")
	if url == "" {
		t.Fatal(`AMQP_URL is not set: eval "$(scripts/services env)" after scripts/services up`)
	}
	operate(t, func(ctx context.Context, _ string) (broker.Broker, error) { return dialBroker(ctx, url) })
}
