package smppserver

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"testing"

	"switchboard/applications"
	"switchboard/broker"
	brokermemory "switchboard/broker/memory"
	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/store/memory"
	"switchboard/worker"
)

// BenchmarkSubmitAndReceipt is what the server in its frame takes for a submit, its
// answer, its receipt and the answer to that, with a broker and a store in memory.
func BenchmarkSubmitAndReceipt(b *testing.B) {
	for _, window := range []int{1, 10, 100} {
		b.Run(fmt.Sprint("window=", window), func(b *testing.B) { benchmark(b, window) })
	}
}

func benchmark(b *testing.B, window int) {
	app, port := New(), 0
	app.SMPPPort, app.Interface = &port, "127.0.0.1"
	c := acme()
	c.Window, c.DeliverWindow = window, window
	app.Customers = options.Map[Customer]{{Key: "acme", Value: c}}
	state, bodies := memory.New(), brokermemory.New(brokermemory.Settings{})
	defer func() { _ = bodies.Close(context.Background()); _ = state.Close() }()
	conf := applications.DefaultOptions()
	conf.TransportName = connector
	env := worker.Dependencies{
		Name: "bench", Kind: worker.KindApplication, Broker: bodies, State: state, Logger: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(context.Background())
	reported, ended := make(chan struct{}), make(chan error, 1)
	go func() { defer close(reported); reportAll(ctx, b, bodies) }()
	go func() { ended <- applications.New(env, conf, app).Run(ctx) }()
	defer func() { cancel(); <-ended; <-reported }()
	addrs, err := app.Addrs(within(b))
	if err != nil {
		b.Fatal(err)
	}
	conn, err := net.Dial("tcp", addrs[0].String())
	if err != nil {
		b.Fatal(err)
	}
	client := newESME(b, conn)
	if p := client.ask(login(pdu.CmdBindTransceiver)); p.Status != pdu.StatusOK {
		b.Fatal(p)
	}
	b.ResetTimer()
	client.exchange(b.N, window)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
	b.StopTimer()
	_ = conn.Close()
}

// reportAll is a fleet that reports every message delivered at once.
func reportAll(ctx context.Context, b *testing.B, bodies broker.Broker) {
	key := message.Key(connector, message.Outbound)
	_ = bodies.Consume(ctx, broker.Queue{Name: key, Keys: []string{key}}, 100, func(d *broker.Delivery) {
		m, err := message.Decode(d.Body)
		if err != nil {
			b.Error(err)
			return
		}
		report := message.NewDeliveryReport(m, message.Delivered).Encode()
		bodies.PublishAsync(ctx, broker.Publication{Key: message.Key(connector, message.EventFlow), Body: report}, func(error) { d.Ack() })
	})
}

// exchange submits n messages and takes their receipts.
func (c *esme) exchange(n, window int) {
	submitted, answered, receipted := 0, 0, 0
	for answered < n || receipted < n {
		for submitted < n && submitted-answered < window {
			c.send(simple("hello", func(m *pdu.Message) { m.Dest.Addr = strconv.Itoa(27830000000 + submitted) }))
			submitted++
		}
		switch p := c.next(); p.Command() {
		case pdu.CmdSubmitSMResp:
			if p.Status != pdu.StatusOK {
				c.t.Fatal(p)
			}
			answered++
		case pdu.CmdDeliverSM:
			receipted++
			c.write(p.Respond(pdu.StatusOK))
		default:
			c.write(p.Respond(pdu.StatusOK))
		}
	}
}
