package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	amqp "github.com/rabbitmq/amqp091-go"
)

// bareMode is the argument that makes this program the yardstick: a bare loop
// of amqp091-go in a process of its own.
const bareMode = "bare-loop"

// barePrefetch is the yardstick's prefetch, and so how many publishes may wait
// for their confirm.
const barePrefetch = 200

// bareMain moves bodies from one queue to another, or between several pairs of queues:
// consume, publish persistent with confirms, acknowledge after the confirm. It looks into
// nothing.
func bareMain(args []string) error {
	if len(args) == 0 || len(args)%2 != 0 {
		return errors.New("usage: bare-loop FROM TO…, with AMQP_URL")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	conn, err := amqp.Dial(os.Getenv("AMQP_URL"))
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = conn.Close() }()
	ended := make(chan error, len(args))
	for ; len(args) > 0; args = args[2:] {
		go func(from, to string) { ended <- bareHop(ctx, conn, from, to) }(args[0], args[1])
	}
	return <-ended
}

func bareHop(ctx context.Context, conn *amqp.Connection, from, to string) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := errors.Join(ch.Confirm(false), ch.Qos(barePrefetch, 0, false)); err != nil {
		return err
	}
	deliveries, err := ch.Consume(from, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	return bareLoop(ctx, ch, deliveries, to)
}

type barePending struct {
	confirm  *amqp.DeferredConfirmation
	delivery amqp.Delivery
}

func bareLoop(ctx context.Context, ch *amqp.Channel, deliveries <-chan amqp.Delivery, to string) error {
	pending := make(chan barePending, barePrefetch)
	go func() {
		for p := range pending {
			if ok, err := p.confirm.WaitContext(ctx); ok && err == nil {
				_ = p.delivery.Ack(false)
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case d := <-deliveries:
			confirm, err := ch.PublishWithDeferredConfirm("vumi", to, false, false,
				amqp.Publishing{DeliveryMode: amqp.Persistent, Body: d.Body})
			if err != nil {
				return err
			}
			pending <- barePending{confirm, d}
		}
	}
}
