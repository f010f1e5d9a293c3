package smppserver

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"testing"

	"switchboard/applications"
	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/store/memory"
)

// echo is a fleet that reports every message delivered at once.
type echo struct{ app *Application }

func (f echo) Send(ctx context.Context, m *message.Message) error {
	return f.app.ReceiveEvent(ctx, message.NewDeliveryReport(m, message.Delivered))
}

// BenchmarkSubmitAndReceipt is what the server itself takes for a submit, its
// answer, its receipt and the answer to that, with no broker behind it.
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
	state := memory.New()
	defer func() { _ = state.Close() }()
	if err := app.Provision(b.Context(), applications.Env{Name: "bench", State: state, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx, echo{app}) }()
	defer func() { cancel(); <-ended }()
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
