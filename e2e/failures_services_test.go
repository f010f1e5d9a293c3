//go:build services

package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/message"
)

// Beside a Vumi transport: what it could not send for now comes again, what it cannot send
// is a dead letter that an operator puts back, and the record has the reason.
func TestFailureWorker(t *testing.T) {
	t.Parallel()
	s := startServers(t, "rabbitmq")
	env := []string{"AMQP_URL=" + s.url("AMQP_URL"), "DATABASE_URL=sqlite:" + t.TempDir() + "/record.db"}
	b, o := connect(t, s.url("AMQP_URL")), &operator{t, env}
	start(t, "keep", "worker_class: persistence\ntransport_names: [vumi_sms]\n", env...)
	// As Vumi's own file has it.
	start(t, "failures", "worker_class: vumi.transports.failures.FailureWorker\ntransport_name: vumi_sms\n"+
		"failures_routing_key: vumi_sms.failures\nretry_routing_key: vumi_sms.outbound\nretry_delivery_period: 3\n", env...)
	got := make(chan *message.Message, 10)
	go func() {
		queue := broker.Queue{Name: "vumi_sms.outbound", Keys: []string{"vumi_sms.outbound"}}
		_ = b.Consume(t.Context(), queue, 10, func(d *broker.Delivery) {
			m, err := message.Decode(d.Body)
			if err != nil {
				t.Error(err)
			}
			got <- m
			d.Ack()
		})
	}()
	eventually(t, "the transport consumes", func() bool {
		info, err := b.Inspect(t.Context(), "vumi_sms.outbound")
		return err == nil && info.Consumers > 0
	})
	m := message.New()
	m.From, m.To, m.TransportName, m.TransportType, m.Content = "1234", "+27831234567", "vumi_sms", "sms", "hello"
	publish := func(key string, body []byte) {
		t.Helper()
		if err := b.Publish(t.Context(), broker.Publication{Key: key, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	receive := func() *message.Message {
		t.Helper()
		select {
		case m := <-got:
			return m
		case <-time.After(patience):
			t.Fatal("nothing came")
		}
		return nil
	}
	publish("vumi_sms.outbound", m.Encode())
	receive()
	began := time.Now()
	publish("vumi_sms.failures", message.NewFailure(m, message.FailureTemporary, "no credit").Encode())
	again := receive()
	if took := time.Since(began); again.ID != m.ID || took < 800*time.Millisecond {
		t.Errorf("%s came again after %v", again.ID, took)
	}
	publish("vumi_sms.failures", message.NewFailure(again, message.FailurePermanent, "no such number").Encode())
	eventually(t, "the record has the reason", func() bool {
		out, err := o.run("messages", "--json", "--state", "E")
		return err == nil && strings.Contains(out, "no such number")
	})
	var dead []struct {
		MessageID string `json:"message_id"`
		Attempts  int
	}
	out := o.must("failures", "list", "--json", "--transport", "vumi_sms", "vumi_sms.outbound")
	if err := json.Unmarshal([]byte(out), &dead); err != nil || len(dead) != 1 || dead[0].MessageID != m.ID || dead[0].Attempts != 2 {
		t.Errorf("%v\n%s", err, out)
	}
	o.must("failures", "retry", "--why", "the number is mended", "vumi_sms.outbound")
	if third := receive(); third.ID != m.ID {
		t.Errorf("%s was put back", third.ID)
	}
	if out := o.must("failures", "history"); !strings.Contains(out, "the number is mended") {
		t.Errorf("history:\n%s", out)
	}
}
