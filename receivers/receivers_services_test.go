//go:build services

package receivers_test

import (
	"context"
	"os"
	"testing"

	"switchboard/broker/rabbitmq"
)

func TestOnRabbitMQ(t *testing.T) {
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: os.Getenv("AMQP_URL"), Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	runAll(t, b)
}
