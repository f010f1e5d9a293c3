//go:build services

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"switchboard/broker"
	"switchboard/persistence"
)

// What AMQP does not tell, RabbitMQ's management does: what foreign workers have in flight,
// and that a policy loses messages.
func TestManagement(t *testing.T) {
	t.Parallel()
	s := startServers(t, "rabbitmq")
	management := s.manage()
	s.run("rabbitmqctl", "set_policy", "careful", `^persistence\.`, `{"delivery-limit":3}`, "--apply-to", "queues")
	env := []string{"AMQP_URL=" + s.url("AMQP_URL"), "DATABASE_URL=sqlite:" + t.TempDir() + "/record.db", "RABBITMQ_MANAGEMENT_URL=" + management}
	t.Run("what is in flight", func(t *testing.T) {
		inFlightByManagement(t, connect(t, s.url("AMQP_URL")), management, &operator{t, env})
	})
	t.Run("policies that lose messages", func(t *testing.T) {
		queue := persistence.RecordQueue("keep")
		keep := start(t, "keep", fmt.Sprintf(recordYAML, "keep")+"queue_type: quorum\n", env...)
		eventually(t, "the process says that a policy loses messages", func() bool {
			_, text := keep.get("/metrics")
			return strings.Contains(text, `switchboard_lossy_queue{queue="`+queue+`"} 1`)
		})
		const why = "delivery-limit 3: what returned to it so often is dropped (policy careful)"
		if _, text := keep.get("/status"); !strings.Contains(text, "WARNING: RabbitMQ drops messages of "+queue+" unseen: "+why+"; take the queue out") {
			t.Errorf("/status: %s", text)
		}
		if log := keep.logged(); !strings.Contains(log, why) {
			t.Errorf("the log does not say it:\n%s", log)
		}
	})
}

// inFlightByManagement: somebody who serves no /status holds messages.
func inFlightByManagement(t *testing.T, b broker.Broker, management string, o *operator) {
	const queue = "foreign.inbound"
	held := make(chan *broker.Delivery, 3)
	go func() {
		_ = b.Consume(t.Context(), broker.Queue{Name: queue, Keys: []string{queue}}, 3, func(d *broker.Delivery) { held <- d })
	}()
	eventually(t, "the queue is there", func() bool {
		_, err := b.Inspect(t.Context(), queue)
		return err == nil
	})
	o.must("wait", "--timeout", "60s", queue) // its numbers are there
	for range 3 {
		if err := b.Publish(t.Context(), broker.Publication{Key: queue, Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	deliveries := []*broker.Delivery{<-held, <-held, <-held}
	var ended *exec.ExitError
	if _, err := o.run("wait", "--timeout", "15s", queue); !errors.As(err, &ended) || ended.ExitCode() != 1 || !strings.Contains(err.Error(), queue+" (3)") {
		t.Errorf("wait right after messages were received: %v", err)
	}
	if out := o.must("status", queue); !strings.Contains(strings.Join(strings.Fields(out), " "), queue+" 0 3 0 1 0 ok -") {
		t.Errorf("status:\n%s", out)
	}
	address, err := url.Parse(management)
	if err != nil {
		t.Fatal(err)
	}
	settled := make(chan struct{})
	settle := sync.OnceFunc(func() {
		defer close(settled)
		for _, d := range deliveries {
			d.Ack()
		}
	})
	through := httputil.NewSingleHostReverseProxy(address)
	through.ModifyResponse = func(*http.Response) error { // `wait` has asked, and waits
		settle()
		return nil
	}
	server := httptest.NewServer(through)
	defer server.Close()
	o.must("wait", "--timeout", "60s", "--management-url", server.URL, queue)
	select {
	case <-settled:
	default:
		t.Error("wait ended without asking")
	}
}
