//go:build services

package fleet_test

import (
	"fmt"
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
	defer f.deleteQueues()
	f.run()
}

// deleteQueues leaves a broker that others use as it was.
func (f *flow) deleteQueues() {
	names := []string{"sms", "writer"}
	for n := range flowStages {
		names = append(names, fmt.Sprintf("app%d", n), fmt.Sprintf("spare%d", n))
	}
	for _, name := range names {
		for _, kind := range []message.Flow{message.Inbound, message.Outbound, message.EventFlow} {
			must(f.t, f.Broker.Delete(f.t.Context(), message.Key(f.prefix+name, kind)))
		}
	}
}
