//go:build services

package rabbitmq_test

import (
	"strings"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/broker/brokertest"
	"switchboard/broker/rabbitmq"
)

func open(t testing.TB, s rabbitmq.Settings) *rabbitmq.Broker {
	t.Helper()
	s.Name = t.Name()
	b, err := rabbitmq.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPromises(t *testing.T) {
	brokertest.Run(t, brokertest.Bundle{
		New: func(t testing.TB) broker.Broker { return open(t, rabbitmq.Settings{URL: amqpURL(t)}) },
		Faulty: func(t testing.TB) (broker.Broker, brokertest.Faults) {
			p := newProxy(t)
			b := open(t, rabbitmq.Settings{URL: p.url, Heartbeat: 2 * time.Second})
			return b, brokertest.Faults{Cut: p.Cut, Refuse: p.Refuse, BlackHole: p.BlackHole, Latency: p.Latency, Detection: 10 * time.Second}
		},
	})
}

// TestLongName: a process is named after its workers, which may be hundreds, and
// RabbitMQ takes no frame above 4 KiB before the login.
func TestLongName(t *testing.T) {
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: amqpURL(t), Name: "switchboard " + strings.Repeat("worker ", 1000)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(testContext(t))
	must(t, b.Declare(testContext(t), newQueue(t)))
}
