package memory_test

import (
	"context"
	"testing"

	"switchboard/broker"
	"switchboard/broker/brokertest"
	"switchboard/broker/memory"
)

func TestPromises(t *testing.T) {
	base := memory.New(memory.Settings{})
	t.Cleanup(func() { base.Close(context.Background()) })
	brokertest.Run(t, brokertest.Bundle{
		New: func(testing.TB) broker.Broker { return base.Connect() },
		Faulty: func(testing.TB) (broker.Broker, brokertest.Faults) {
			b := base.Connect()
			return b, brokertest.Faults{Cut: b.Cut}
		},
	})
}
