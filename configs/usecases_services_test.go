//go:build services

package configs_test

import (
	"log/slog"
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/fleet"
	"switchboard/message"
)

func TestUseCasesOnRabbitMQ(t *testing.T) {
	address := os.Getenv("AMQP_URL")
	if address == "" {
		t.Fatal("AMQP_URL is not set; `make test` sets it")
	}
	for _, c := range useCases {
		t.Run(c.name, func(t *testing.T) {
			b, err := fleet.OpenBroker(address, t.Name(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			r := start(t, c.name, message.NewID()[:8]+"-", c.ports, b)
			r.converse(c.said)
		})
	}
}
