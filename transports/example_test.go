package transports_test

import (
	"context"
	"fmt"
	"log/slog"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	"switchboard/transports"
	"switchboard/worker"
)

// Printer is a transport whose outside is the standard output.
type Printer struct {
	// Prefix comes before each message.
	Prefix string `yaml:"prefix"`
}

func (p *Printer) Run(ctx context.Context, out transports.Publisher) error {
	if err := out.Status(ctx, message.NewStatus("printer", message.OK, "ready", "the printer has paper")); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (p *Printer) Send(_ context.Context, m *message.Message) (providerID string, err error) {
	fmt.Printf("%s%s: %s\n", p.Prefix, m.To, m.Content)
	return "page 1", nil
}

// A transport speaks with the outside; its frame consumes what is to be sent and
// publishes an ack. Package transporttest holds a transport to what is promised
// here.
func Example_transport() {
	ctx, stop := context.WithCancel(context.Background())
	b := memory.New(memory.Settings{})
	acks := make(chan string)
	queue := broker.Queue{Name: "acks", Keys: []string{message.Key("paper", message.EventFlow)}}
	_ = b.Declare(ctx, queue)
	go func() {
		_ = b.Consume(ctx, queue, 1, func(d *broker.Delivery) {
			e, _ := message.DecodeEvent(d.Body)
			acks <- string(e.Type) + " " + e.SentMessageID
			d.Ack()
		})
	}()
	opts := transports.DefaultOptions()
	opts.TransportName = "paper"
	env := worker.Dependencies{Name: "paper", Kind: worker.KindTransport, Broker: b, Logger: slog.New(slog.DiscardHandler)}
	ended := make(chan error, 1)
	go func() { ended <- transports.New(env, opts, &Printer{Prefix: "to "}).Run(ctx) }()

	outbound := message.Key("paper", message.Outbound)
	_ = b.Declare(ctx, broker.Queue{Name: outbound, Keys: []string{outbound}})
	m := message.New()
	m.To, m.Content = "+27831234567", "hello"
	_ = b.Publish(ctx, broker.Publication{Key: outbound, Body: m.Encode()})
	fmt.Println(<-acks)
	stop()
	fmt.Println("stopped:", <-ended)
	// Output:
	// to +27831234567: hello
	// ack page 1
	// stopped: <nil>
}
