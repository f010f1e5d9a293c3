//go:build services

package rabbitmq_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
)

func TestMismatchSaysWhatToDo(t *testing.T) {
	ch := rawChannel(t)
	name := "rabbitmqtest." + rand.Text()
	_, err := ch.QueueDeclare(name, true, false, false, false, amqp.Table{"x-max-length": 5})
	must(t, err)
	defer ch.QueueDelete(name, false, false, false)
	b := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
	err = b.Declare(testContext(t), broker.Queue{Name: name})
	if !errors.Is(err, broker.ErrQueueMismatch) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "x-max-length") {
		t.Fatalf("got %v", err)
	}
}

// TestClassicQueuesAreVumis: no arguments, durable, for everybody, to stay.
func TestClassicQueuesAreVumis(t *testing.T) {
	q := newQueue(t)
	ch := rawChannel(t)
	if _, err := ch.QueueDeclare(q.Name, true, false, false, false, nil); err != nil {
		t.Fatalf("Vumi's declaration is refused: %v", err)
	}
	if err := ch.ExchangeDeclare("vumi", "direct", true, false, false, false, nil); err != nil {
		t.Fatalf("Vumi's exchange is refused: %v", err)
	}
}

// TestForeignBodies are what other programs may send.
func TestForeignBodies(t *testing.T) {
	q := newQueue(t)
	ch := rawChannel(t)
	ctx := testContext(t)
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	must(t, ch.PublishWithContext(ctx, "", q.Name, false, false, amqp.Publishing{
		ContentType: "application/x-anything", ContentEncoding: "gzip", Priority: 9, CorrelationId: "c", ReplyTo: "r",
		MessageId: "0", Timestamp: when, Type: "t", AppId: "a", Body: []byte("theirs"),
		Headers: amqp.Table{
			"text": "t", "bytes": []byte("b"), "int": int32(-7), "long": int64(7), "float": 1.5, "bool": true, "void": nil,
			"time": when, "decimal": amqp.Decimal{Scale: 2, Value: 314}, "table": amqp.Table{"k": "v"}, "list": []any{"a", int32(1)},
			"CC": []any{}, "x-death": []any{amqp.Table{"count": int64(1)}},
		},
	}))
	b := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
	consumeCtx, stop := context.WithCancel(ctx)
	var got *broker.Delivery
	must(t, b.Consume(consumeCtx, q, 1, func(d *broker.Delivery) {
		got = d
		// What came in must be fit to go out.
		if err := b.Publish(ctx, broker.Publication{Queue: q.Name, Body: d.Body, Headers: d.Headers}); err != nil {
			t.Error(err)
		}
		stop()
		d.Ack()
	}))
	want := broker.Headers{
		"text": "t", "bytes": "b", "int": "-7", "long": "7", "float": "1.5", "bool": "true", "void": "",
		"time": "2026-01-02T03:04:05Z", "table": `{"k":"v"}`, "list": `["a",1]`,
	}
	for name, value := range want {
		if got.Headers[name] != value {
			t.Errorf("header %s is %q, want %q", name, got.Headers[name], value)
		}
	}
	for name := range got.Headers {
		if _, known := want[name]; !known && name != "decimal" {
			t.Errorf("header %s was delivered", name)
		}
	}
}

// TestReservedHeaders would send the body elsewhere or close the channel.
func TestReservedHeaders(t *testing.T) {
	q, other := newQueue(t), newQueue(t)
	b := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
	ctx := testContext(t)
	must(t, b.Publish(ctx, broker.Publication{Queue: q.Name, Headers: broker.Headers{"CC": other.Name, "BCC": other.Name, "x-death": "?"}}))
	info, err := b.Inspect(ctx, other.Name)
	must(t, err)
	if info.Messages != 0 || b.State().Reconnects != 0 {
		t.Fatalf("%+v, %+v", info, b.State())
	}
}
