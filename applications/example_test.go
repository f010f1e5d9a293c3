package applications_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"switchboard/applications"
	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	"switchboard/worker"
)

// Shout is an application: it answers in capitals.
type Shout struct {
	// Marks is how many exclamation marks follow; default 1.
	Marks int `yaml:"marks"`
}

func (s *Shout) Receive(_ context.Context, m *message.Message) ([]*message.Message, error) {
	return []*message.Message{m.Reply(strings.ToUpper(m.Content) + strings.Repeat("!", s.Marks))}, nil
}

// An application returns replies; its frame publishes them. Tests of an
// application are written with package applicationtest.
func Example_application() {
	ctx, stop := context.WithCancel(context.Background())
	b := memory.New(memory.Settings{})
	replies := make(chan string)
	queue := broker.Queue{Name: "replies", Keys: []string{message.Key("shout", message.Outbound)}}
	_ = b.Declare(ctx, queue)
	go func() {
		_ = b.Consume(ctx, queue, 1, func(d *broker.Delivery) {
			m, _ := message.Decode(d.Body)
			replies <- m.Content
			d.Ack()
		})
	}()
	opts := applications.DefaultOptions()
	opts.TransportName = "shout"
	env := worker.Dependencies{Name: "shout", Kind: worker.KindApplication, Broker: b, Logger: slog.New(slog.DiscardHandler)}
	ended := make(chan error, 1)
	go func() { ended <- applications.New(env, opts, &Shout{Marks: 2}).Run(ctx) }()

	inbound := message.Key("shout", message.Inbound)
	_ = b.Declare(ctx, broker.Queue{Name: inbound, Keys: []string{inbound}})
	m := message.New()
	m.From, m.Content = "+27831234567", "hello"
	_ = b.Publish(ctx, broker.Publication{Key: inbound, Body: m.Encode()})
	fmt.Println(<-replies)
	stop()
	fmt.Println("stopped:", <-ended)
	// Output:
	// HELLO!!
	// stopped: <nil>
}
