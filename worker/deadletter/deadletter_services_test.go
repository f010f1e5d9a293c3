//go:build services

package deadletter_test

import (
	"os"
	"testing"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
)

func TestOnRabbitMQ(t *testing.T) {
	url := os.Getenv("AMQP_URL")
	if url == "" {
		t.Fatal(`AMQP_URL is not set: eval "$(scripts/services env)" after scripts/services up`)
	}
	run(t, func(t *testing.T) broker.Broker {
		b, err := rabbitmq.Open(rabbitmq.Settings{URL: url, Name: t.Name()})
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
}
