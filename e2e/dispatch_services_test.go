//go:build services

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"switchboard/broker/rabbitmq"
)

const joinYAML = `
router_class: simple
transport_names: [telnet_a, telnet_b, phone, load]
exposed_names: [echo]
route_mappings: {telnet_a: echo, telnet_b: echo, phone: echo, load: echo}
worker_name: %s
`

// seven are seven processes on a RabbitMQ of their own, two telnet transports, two
// phones, the dispatcher twice and an application, with people who write to them.
type seven struct {
	servers     *servers
	broker      *rabbitmq.Broker
	people      *people
	dispatchers [2]*process
}

func startSeven(t *testing.T) *seven {
	t.Helper()
	f := &seven{servers: startServers(t, "rabbitmq")}
	env := []string{"AMQP_URL=" + f.servers.url("AMQP_URL"), "DATABASE_URL=memory:"}
	f.broker = connect(t, f.servers.url("AMQP_URL"))
	f.people = newPeople(t, f.broker, "load", false)
	for _, name := range []string{"telnet_a", "telnet_b"} {
		start(t, name, "transport_class: telnet\ntransport_name: "+name+"\ntelnet_port: 0\n", env...)
	}
	start(t, "phone", fmt.Sprintf("transport_class: httptester\ntransport_name: phone\nweb_port: %d\n", freePort(t)), env...)
	start(t, "phone_b", fmt.Sprintf("transport_class: httptester\ntransport_name: phone_b\nweb_port: %d\n", freePort(t)), env...)
	start(t, "echo", "application_class: echo\ntransport_name: echo\n", env...)
	for i := range f.dispatchers {
		f.dispatchers[i] = start(t, fmt.Sprintf("join_%d", i), fmt.Sprintf(joinYAML, fmt.Sprintf("join_%d", i)), env...)
	}
	return f
}

const (
	many = 20_000
	// inFlight is the most one killed dispatcher can have in flight: its prefetch
	// of 125 (500 shared by four queues) on each queue the messages pass.
	inFlight = 2 * 125
)

// One of two dispatchers dies in the middle of twenty thousand messages: none
// is lost, and no more come twice than it had in flight.
func TestDispatcherKilled(t *testing.T) {
	t.Parallel()
	f := startSeven(t)
	load := f.people

	killed := make(chan struct{})
	go func() {
		defer close(killed)
		for answered := 0; answered < many/4; answered, _ = load.counts() {
			<-load.came
		}
		f.dispatchers[0].kill()
	}()
	ids := load.send(many)
	load.awaitAnswers(ids)
	<-killed
	// What the dead dispatcher held comes again, so wait for the queues to be
	// empty before counting.
	for _, queue := range []string{"load.inbound", "echo.inbound", "echo.outbound", "load.outbound"} {
		eventually(t, queue+" is empty", func() bool {
			info, err := f.broker.Inspect(t.Context(), queue)
			return err == nil && info.Messages == 0
		})
	}
	if _, again := load.counts(); again > inFlight {
		t.Errorf("%d replies came twice, more than the %d a dispatcher has in flight", again, inFlight)
	} else {
		t.Logf("%d messages answered, %d replies twice", many, again)
	}
}

// RabbitMQ goes away and comes back during traffic: every worker comes back by
// itself, and nothing is lost.
func TestBrokerRestarted(t *testing.T) {
	t.Parallel()
	f := startSeven(t)
	load := f.people

	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		for answered := 0; answered < many/10; answered, _ = load.counts() {
			<-load.came
		}
		f.servers.run("restart-rabbitmq")
	}()
	ids := load.send(many)
	<-restarted
	ids = append(ids, load.send(100)...)
	load.awaitAnswers(ids)
	for _, d := range f.dispatchers {
		d.await("/readyz")
	}
	_, again := load.counts()
	t.Logf("%d messages answered, %d replies twice", len(ids), again)
}

// Workers that start before RabbitMQ say that they are not ready, and are when
// it has come.
func TestStartBeforeBroker(t *testing.T) {
	t.Parallel()
	s := startServers(t, "rabbitmq")
	amqpURL := s.url("AMQP_URL")
	s.run("stop-rabbitmq")
	early := launchYAML(t, "early", fmt.Sprintf(joinYAML, "early"), "AMQP_URL="+amqpURL, "DATABASE_URL=memory:")
	if code, why := early.get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(why, "the broker is not connected") {
		t.Errorf("/readyz answered %d: %s", code, why)
	}
	early.await("/healthz")
	s.run("start-rabbitmq")
	early.await("/readyz")
}
