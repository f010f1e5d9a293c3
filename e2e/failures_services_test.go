//go:build services

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
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

// An operator sends again what the record has as failed. Killed in the middle and run again,
// the command loses none, keeps the order, and sends none twice.
func TestFailedMessagesAreSentAgain(t *testing.T) {
	t.Parallel()
	const congested, wrong = 60, 5
	s, o := startRecord(t)
	b := connect(t, s.url("AMQP_URL"))
	for _, name := range []string{"bulk", "other"} {
		if err := b.Declare(t.Context(), broker.Queue{Name: name + ".outbound", Keys: []string{name + ".outbound"}}); err != nil {
			t.Fatal(err)
		}
	}
	const keepYAML = "worker_class: persistence\ntransport_names: [bulk, other]\n"
	keep := start(t, "keep", keepYAML, o.env...)
	var ids []string
	began := time.Now().UTC()
	for i := range congested + wrong {
		m := message.New()
		m.From, m.To, m.TransportName, m.TransportType, m.Content = "1234", fmt.Sprintf("+2783%07d", i), "bulk", "sms", fmt.Sprintf("text %d", i)
		m.Timestamp = began.Add(time.Duration(i) * time.Millisecond)
		reason := "ESME_RMSGQFUL: congested"
		if i >= congested {
			reason = "ESME_RINVDSTADR: no such number"
		} else {
			ids = append(ids, m.ID)
		}
		for key, body := range map[string][]byte{"bulk.outbound": m.Encode(), "bulk.event": message.NewNack(m, reason).Encode()} {
			if err := b.Publish(t.Context(), broker.Publication{Key: key, Body: body}); err != nil && !errors.Is(err, broker.ErrUnroutable) {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "all have failed", func() bool { counts, _ := o.audit(); return counts["O E"] == congested+wrong })
	if _, err := b.Purge(t.Context(), "bulk.outbound"); err != nil {
		t.Fatal(err)
	}

	keep.stop() // the record does not learn of what is sent again

	chosen := []string{"failures", "retry", "--record", "--queue", "bulk.outbound", "--reason", "RMSGQFUL", "--since", "1h"}
	if out := o.must(append(chosen, "--dry-run")...); !strings.Contains(out, "60 failed messages would be sent again") {
		t.Errorf("the dry run:\n%s", out)
	}
	killed := exec.Command(program, append(chosen, "--rate", "1")...)
	killed.Env = append(os.Environ(), o.env...)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	waiting := func(queue string) int {
		info, err := b.Inspect(t.Context(), queue)
		if err != nil {
			t.Fatal(err)
		}
		return info.Messages
	}
	eventually(t, "some are sent", func() bool { return waiting("bulk.outbound") >= 3 })
	_ = killed.Process.Kill()
	_ = killed.Wait()
	if n := waiting("bulk.outbound"); n >= congested {
		t.Errorf("all %d were sent before the kill", n)
	}
	out := o.must(append(chosen, "--why", "the SMSC is well again")...)
	if !strings.Contains(out, ids[congested-1]+"  → bulk.outbound, attempt 2") {
		t.Errorf("it does not name what it sent:\n%s", out)
	}
	var got []string
	marked := 0
	err := b.Browse(t.Context(), "bulk.outbound", 2*congested, func(d *broker.Delivery) (broker.Verdict, error) {
		m, err := message.Decode(d.Body)
		switch {
		case err != nil:
		case message.Again(&m.RoutingMetadata) && slices.Contains(got, m.ID): // its transport sends it once
			marked++
		default:
			got = append(got, m.ID)
		}
		return broker.Keep, err
	})
	if err != nil || marked > 1 || !slices.Equal(got, ids) {
		t.Errorf("%v: sent again %d messages and %d copies, want %d in their order\n%v\n%v", err, len(got), marked, len(ids), got, ids)
	}
	if out := o.must("failures", "history"); !strings.Contains(out, "the SMSC is well again") {
		t.Errorf("history:\n%s", out)
	}

	start(t, "keep", keepYAML, o.env...)
	elsewhere := []string{"failures", "retry", "--record", "--transport", "bulk", "--error", "no such number", "--to", "other"}
	if out := o.must(elsewhere...); !strings.Contains(out, "5 messages sent again") || waiting("other.outbound") != wrong {
		t.Errorf("to another transport: %d there\n%s", waiting("other.outbound"), out)
	}
	eventually(t, "they are at the other transport", func() bool { counts, _ := o.audit(); return counts["O P"] == congested+wrong })
	if out := o.must(elsewhere...); !strings.Contains(out, "0 messages sent again") {
		t.Errorf("twice to another transport:\n%s", out)
	}
}
