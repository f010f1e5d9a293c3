//go:build services

package http_test

import (
	"context"
	"log/slog"
	"os"
	"testing"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store/postgres"
	"switchboard/transports"
	"switchboard/worker"
)

func need(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set; make test sets it", name)
	}
	return value
}

// A message from outside, its reply, the ack and the receipt, over RabbitMQ and
// PostgreSQL.
func TestOnServices(t *testing.T) {
	b := unprovisioned("generic_json", map[string]string{"send_url": "PROVIDER/send"}, map[string]options.Secret{"token": "s3cret-token"})
	t.Cleanup(b.provider.close)
	t.Cleanup(func() { _ = b.state.Close(); b.client.CloseIdleConnections() })
	logger := slog.New(slog.DiscardHandler)
	db, err := postgres.Open(t.Context(), postgres.Settings{URL: need(t, "DATABASE_URL"), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	rabbit, err := rabbitmq.Open(rabbitmq.Settings{URL: need(t, "AMQP_URL"), Name: t.Name(), Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	name := "http-" + message.NewID()
	t.Cleanup(func() {
		for _, flow := range []message.Flow{message.Inbound, message.Outbound, message.EventFlow} {
			if err := rabbit.Delete(context.Background(), message.Key(name, flow)); err != nil {
				t.Error(err)
			}
		}
		_ = rabbit.Close(context.Background())
	})
	b.TransportName = name
	if err := b.Validate(); err != nil {
		t.Fatal(err)
	}
	settings := transports.DefaultOptions()
	settings.TransportName = name
	frame := transports.New(worker.Dependencies{Name: name, Broker: rabbit, State: db, Record: db, Logger: logger}, settings, b.Transport)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- frame.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the worker ended with %v", err)
		}
	})

	for range 2 {
		if status, _ := b.call(t, "POST", "/messages", jsonType, `{"id":"m1","from":"+27831234567","to":"1001","text":"hello"}`, "Authorization", bearer); status != 200 {
			t.Fatalf("answered %d", status)
		}
	}
	in, err := message.Decode(nextBody(t, rabbit, message.Key(name, message.Inbound)))
	if err != nil || in.Content != "hello" {
		t.Fatalf("received %v, %v", in, err)
	}
	reply := in.Reply("hello yourself")
	key := message.Key(name, message.Outbound)
	if err := rabbit.Publish(t.Context(), broker.Publication{Key: key, Body: reply.Encode()}); err != nil {
		t.Fatal(err)
	}
	if sent := b.provider.next(t).json(t); sent["text"] != "hello yourself" || sent["in_reply_to"] != "m1" {
		t.Errorf("sent %v", sent)
	}
	ack := b.event(t, rabbit, name)
	if ack.Type != message.Ack || ack.SentMessageID != "p-1" || ack.MessageID != reply.ID {
		t.Errorf("got %s", ack.Encode())
	}
	b.call(t, "POST", "/receipts", jsonType, `{"id":"p-1","status":"delivered"}`, "Authorization", bearer)
	if report := b.event(t, rabbit, name); report.DeliveryStatus != message.Delivered || report.MessageID != reply.ID {
		t.Errorf("got %s", report.Encode())
	}
	b.call(t, "POST", "/messages", jsonType, `{"id":"m2","from":"+27831234567","to":"1001","text":"the last"}`, "Authorization", bearer)
	if in, err := message.Decode(nextBody(t, rabbit, message.Key(name, message.Inbound))); err != nil || in.Content != "the last" {
		t.Errorf("a repetition is a second message: %v, %v", in, err)
	}
}

func (b *bundle) event(t *testing.T, from broker.Broker, name string) *message.Event {
	t.Helper()
	e, err := message.DecodeEvent(nextBody(t, from, message.Key(name, message.EventFlow)))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func nextBody(t *testing.T, from broker.Broker, queue string) (body []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testutil.Patience)
	defer cancel()
	err := from.Consume(ctx, broker.Queue{Name: queue, Keys: []string{queue}}, 1, func(d *broker.Delivery) {
		if body == nil {
			body = d.Body
			d.Ack()
			cancel()
			return
		}
		d.Requeue()
	})
	if body == nil {
		t.Fatalf("nothing came to %s: %v", queue, err)
	}
	return body
}
