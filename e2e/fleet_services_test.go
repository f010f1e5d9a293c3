//go:build services

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/message"
)

const joinYAML = `
router_class: simple
transport_names: [telnet_a, telnet_b, phone, load]
exposed_names: [echo]
route_mappings: {telnet_a: echo, telnet_b: echo, phone: echo, load: echo}
worker_name: %s
`

func (p *peer) take(d *broker.Delivery) {
	m, err := message.Decode(d.Body)
	if err != nil {
		p.t.Errorf("a reply is no message: %v", err)
	} else {
		p.mu.Lock()
		if p.replies[m.InReplyTo]++; p.replies[m.InReplyTo] > 1 {
			p.again++
		}
		p.mu.Unlock()
	}
	d.Ack()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

func (p *peer) counts() (answered, again int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.replies), p.again
}

// send publishes n messages from different people; each is safe with the
// broker when it returns.
func (p *peer) send(n int) (ids []string) {
	p.t.Helper()
	var lost []broker.Publication
	fates := make(chan error, n)
	publications := make([]broker.Publication, n)
	for i := range publications {
		m := message.New()
		m.From, m.To, m.Content = fmt.Sprintf("+2783%07d", i), "12345", fmt.Sprintf("hello %d", i)
		m.TransportName, m.TransportType = p.name, "sms"
		ids = append(ids, m.ID)
		publications[i] = broker.Publication{Key: p.name + ".inbound", Body: m.Encode()}
		p.broker.PublishAsync(p.t.Context(), publications[i], func(err error) { fates <- err })
	}
	// The fates come in the order of the publications.
	for _, publication := range publications {
		if err := <-fates; err != nil {
			lost = append(lost, publication)
		}
	}
	for _, publication := range lost {
		if err := p.broker.Publish(p.t.Context(), publication); err != nil {
			p.t.Fatal(err)
		}
	}
	return ids
}

func (p *peer) awaitAnswers(ids []string) {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		answered, _ := p.counts()
		if answered >= len(ids) {
			break
		}
		select {
		case <-p.changed:
		case <-deadline:
			p.t.Fatalf("%d of %d messages were answered", answered, len(ids))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if p.replies[id] == 0 {
			p.t.Errorf("message %s was never answered", id)
		}
	}
}

// startSeven runs seven processes: two telnet transports, two phones, the
// dispatcher twice and an application.
func startSeven(t *testing.T, amqpURL string) (dispatchers [2]*process) {
	t.Helper()
	env := []string{"AMQP_URL=" + amqpURL, "DATABASE_URL=memory:"}
	for _, name := range []string{"telnet_a", "telnet_b"} {
		start(t, name, "transport_class: telnet\ntransport_name: "+name+"\ntelnet_port: 0\n", env...)
	}
	start(t, "phone", fmt.Sprintf("transport_class: httptester\ntransport_name: phone\nweb_port: %d\n", freePort(t)), env...)
	start(t, "phone_b", fmt.Sprintf("transport_class: httptester\ntransport_name: phone_b\nweb_port: %d\n", freePort(t)), env...)
	start(t, "echo", "application_class: echo\ntransport_name: echo\n", env...)
	for i := range dispatchers {
		dispatchers[i] = start(t, fmt.Sprintf("join_%d", i), fmt.Sprintf(joinYAML, fmt.Sprintf("join_%d", i)), env...)
	}
	return dispatchers
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

const (
	many = 20_000
	// inHand is the most one killed dispatcher can have in hand: its prefetch
	// of 125 (500 shared by four queues) on each queue the messages pass.
	inHand = 2 * 125
)

// One of two dispatchers dies in the middle of twenty thousand messages: none
// is lost, and no more come twice than it had in hand.
func TestDispatcherKilled(t *testing.T) {
	t.Parallel()
	s := startServers(t, "rabbitmq")
	amqpURL := s.url("AMQP_URL")
	b := connect(t, amqpURL)
	load := newPeer(t, b, "load")
	dispatchers := startSeven(t, amqpURL)

	killed := make(chan struct{})
	go func() {
		defer close(killed)
		for answered := 0; answered < many/4; answered, _ = load.counts() {
			<-load.changed
		}
		dispatchers[0].kill()
	}()
	ids := load.send(many)
	load.awaitAnswers(ids)
	<-killed
	// What the dead dispatcher held comes again, so wait for the queues to be
	// empty before counting.
	for _, queue := range []string{"load.inbound", "echo.inbound", "echo.outbound", "load.outbound"} {
		eventually(t, queue+" is empty", func() bool {
			info, err := b.Inspect(t.Context(), queue)
			return err == nil && info.Messages == 0
		})
	}
	if _, again := load.counts(); again > inHand {
		t.Errorf("%d replies came twice, more than the %d a dispatcher has in hand", again, inHand)
	} else {
		t.Logf("%d messages answered, %d replies twice", many, again)
	}
}

// RabbitMQ goes away and comes back during traffic: every worker comes back by
// itself, and nothing is lost.
func TestBrokerRestarted(t *testing.T) {
	t.Parallel()
	s := startServers(t, "rabbitmq")
	amqpURL := s.url("AMQP_URL")
	b := connect(t, amqpURL)
	load := newPeer(t, b, "load")
	dispatchers := startSeven(t, amqpURL)

	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		for answered := 0; answered < many/10; answered, _ = load.counts() {
			<-load.changed
		}
		s.run("restart-rabbitmq")
	}()
	ids := load.send(many)
	<-restarted
	ids = append(ids, load.send(100)...)
	load.awaitAnswers(ids)
	for _, d := range dispatchers {
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
	file := filepath.Join(t.TempDir(), "join.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, joinYAML, "early"), 0o600); err != nil {
		t.Fatal(err)
	}
	early := launch(t, "early", []string{"AMQP_URL=" + amqpURL, "DATABASE_URL=memory:"}, "run", file)
	answer, err := http.Get(early.http + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	why, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(why), "the broker is not connected") {
		t.Errorf("/readyz answered %s: %s", answer.Status, why)
	}
	early.await("/healthz")
	s.run("start-rabbitmq")
	early.await("/readyz")
}
