package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/message"
)

const (
	serverName   = "bench_server"
	serverWindow = 10 // the server's default, both ways
)

// smppServerSection has a customer submit to a server for SMPP clients, and take the receipts.
func smppServerSection(ctx context.Context, s settings) (string, error) {
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: s.amqpURL, Name: "bench"})
	if err != nil {
		return "", err
	}
	defer func() { _ = b.Close(context.Background()) }()
	var out strings.Builder
	fmt.Fprintf(&out, "The server for SMPP clients, with its defaults: a customer submits over one bind with a window of\n"+
		"%d, to different people; then all is reported delivered, and the customer takes the receipts. The\n"+
		"bare loop does both with a simulated SMSC.\n\n"+
		"| state | bare loop, submits/s | server, submits/s | bare loop, receipts/s | server, receipts/s | receipts of submits | CPU a submit and its receipt | peak memory |\n"+
		"|---|---:|---:|---:|---:|---:|---:|---:|\n", serverWindow)
	for _, database := range []bool{false, true} {
		if err := smppServerRow(ctx, b, s, database, &out); err != nil {
			return "", err
		}
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

func smppServerRow(ctx context.Context, b *rabbitmq.Broker, s settings, database bool, out *strings.Builder) error {
	name := "memory"
	if database {
		name = "PostgreSQL"
	}
	var bareSubmits, bareReceipts, submits, receipts []measure
	for range s.rounds {
		submitted, received, err := serverYardstick(ctx, s)
		if err != nil {
			return err
		}
		bareSubmits, bareReceipts = append(bareSubmits, submitted), append(bareReceipts, received)
		_, err = s.measured("SMPP/server, "+name, func(s settings) (measure, error) {
			submitted, received, err = measureServer(ctx, b, s, database)
			return received, err
		})
		if err != nil {
			return err
		}
		submits, receipts = append(submits, submitted), append(receipts, received)
	}
	fmt.Fprintf(out, "| %s | %.0f | %.0f | %.0f | %.0f | %.2f | %.3f ms | %.0f MB |\n", name, median(bareSubmits, rate), median(submits, rate),
		median(bareReceipts, rate), median(receipts, rate), median(receipts, rate)/median(submits, rate),
		median(receipts, cpuMillis), median(receipts, megabytes))
	return nil
}

func serverYardstick(ctx context.Context, s settings) (submitted, received measure, err error) {
	sim, err := startSMSC(ctx, s, 0, "both")
	if err != nil {
		return submitted, received, err
	}
	defer func() { _ = sim.stop() }()
	if submitted, err = measureSMPPBare(ctx, sim.address, "submit", serverWindow, s.n); err == nil {
		received, err = measureSMPPBare(ctx, sim.address, "receive", serverWindow, s.n)
	}
	return submitted, received, err
}

// measureServer measures submits, and receipts with what the process took in all.
func measureServer(ctx context.Context, b *rabbitmq.Broker, s settings, database bool) (submitted, received measure, err error) {
	url := "memory:"
	if database {
		l, err := newLedger(ctx, s, "bench_server")
		if err != nil {
			return submitted, received, err
		}
		defer l.drop()
		url = l.url
	}
	for _, queue := range []string{".outbound", ".event", ".customer.bench"} {
		if err := declareEmpty(ctx, b, serverName+queue); err != nil {
			return submitted, received, err
		}
	}
	c, address, err := startServer(ctx, s, url)
	if err != nil {
		return submitted, received, err
	}
	if submitted, received.rate, err = serveCustomer(ctx, b, address, s.n); err != nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		return submitted, received, fmt.Errorf("%w\n%s", err, c.out.String())
	}
	used, err := c.stop()
	received.cpu, received.rss = used.cpu/time.Duration(s.n), used.peakRSS
	return submitted, received, err
}

func startServer(ctx context.Context, s settings, database string) (c *child, address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	address = l.Addr().String()
	_ = l.Close()
	_, port, _ := net.SplitHostPort(address)
	file := filepath.Join(s.dir, "server.yaml")
	yaml := fmt.Sprintf("application_class: smpp_server\ntransport_name: %s\ninterface: 127.0.0.1\nsmpp_port: %s\ncustomers: {bench: {password: secret}}\n",
		serverName, port)
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		return nil, "", err
	}
	c, err = startChild(ctx, database, s.binary, "run", "--http", "127.0.0.1:0", "--log-level", "warn", file)
	if err != nil {
		return nil, "", err
	}
	for began := time.Now(); ; time.Sleep(pollEvery) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return c, address, conn.Close()
		}
		if time.Since(began) > serverPatience {
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
			return nil, "", fmt.Errorf("starting the server: %w\n%s", err, c.out.String())
		}
	}
}

const (
	serverPatience = 20 * time.Second
	bindTime       = 300 * time.Millisecond
)

// serveCustomer submits n messages, reports all of them delivered, and takes the receipts.
func serveCustomer(ctx context.Context, b *rabbitmq.Broker, address string, n int) (submitted measure, receipts float64, err error) {
	if submitted, err = measureSMPPBare(ctx, address, "submit", serverWindow, n); err != nil {
		return submitted, 0, err
	}
	reports, err := reportsOf(ctx, b, n)
	if err != nil {
		return submitted, 0, err
	}
	type outcome struct {
		measure
		error
	}
	received := make(chan outcome, 1)
	go func() {
		m, err := measureSMPPBare(ctx, address, "receive", serverWindow, n)
		received <- outcome{m, err}
	}()
	time.Sleep(bindTime) // so that it is bound; the clock runs from its first receipt
	if err := fill(ctx, b, n, func(i int) []broker.Publication { return reports[i : i+1] }); err != nil {
		return submitted, 0, err
	}
	r := <-received
	return submitted, r.rate, r.error
}

// reportsOf takes what was submitted, and returns the delivery reports.
func reportsOf(ctx context.Context, b *rabbitmq.Broker, n int) (reports []broker.Publication, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := broker.Queue{Name: serverName + ".outbound", Keys: []string{serverName + ".outbound"}}
	consumed := b.Consume(ctx, queue, 1000, func(d *broker.Delivery) {
		m, broken := message.Decode(d.Body)
		if broken != nil {
			err = broken
			cancel()
			return
		}
		d.Ack()
		report := message.NewDeliveryReport(m, message.Delivered)
		reports = append(reports, broker.Publication{Key: serverName + ".event", Body: report.Encode()})
		if len(reports) == n {
			cancel()
		}
	})
	if err == nil {
		err = consumed
	}
	return reports, err
}
