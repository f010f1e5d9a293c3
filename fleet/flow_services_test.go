//go:build services

package fleet_test

import (
	"log/slog"
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/fleet"
	"switchboard/message"
)

func TestTenThousandMessagesThroughFiveEditsOnRabbitMQ(t *testing.T) {
	url := os.Getenv("AMQP_URL")
	if url == "" {
		t.Fatal("AMQP_URL is not set; `make test` sets it")
	}
	b, err := fleet.OpenBroker(url, t.Name(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	f := newFlow(t, message.NewID()+"-", b)
	defer f.stop()
	f.run()
}
