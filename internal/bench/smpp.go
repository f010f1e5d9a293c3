package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"switchboard/broker/rabbitmq"
)

// smppCase is one way to send.
type smppCase struct {
	window    int
	roundTrip time.Duration
	database  bool // the transport's state is in PostgreSQL
}

// smppSeconds is about how long a measurement lasts that the round trip bounds.
const smppSeconds = 4

// n is how many messages are sent: fewer where the round trip says how many can
// be.
func (c smppCase) n(most int) int {
	if c.roundTrip == 0 {
		return most
	}
	return min(most, int(float64(c.window)/c.roundTrip.Seconds())*smppSeconds)
}

// smppSection sends messages to a simulated SMSC, and takes its receipts.
func smppSection(ctx context.Context, s settings) (string, error) {
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: s.amqpURL, Name: "bench"})
	if err != nil {
		return "", err
	}
	defer func() { _ = b.Close(context.Background()) }()
	var out strings.Builder
	out.WriteString("Messages wait in `<transport>.outbound`; the clock runs until `<transport>.event` holds all acks.\n" +
		"The SMSC is `switchboard simulate smsc` in a process of its own. The bare loop submits the same PDU\n" +
		"over one connection with the same window; it has no broker and remembers nothing. The dispatcher,\n" +
		"which is in the same rounds, has the same broker and no SMSC. Both ends, RabbitMQ and PostgreSQL\n" +
		"share the machine.\n\n")
	if err := smppSending(ctx, b, s, &out); err != nil {
		return "", err
	}
	if err := smppReceipts(ctx, b, s, &out); err != nil {
		return "", err
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

func smppSending(ctx context.Context, b *rabbitmq.Broker, s settings, out *strings.Builder) error {
	out.WriteString("| window, round trip | bare loop, PDUs/s | transport, messages/s | of the bare loop | of the dispatcher | CPU a message | peak memory |\n" +
		"|---|---:|---:|---:|---:|---:|---:|\n")
	for _, roundTrip := range []time.Duration{0, 20 * time.Millisecond} {
		for _, window := range []int{1, 10, 100} {
			for _, database := range []bool{false, true} {
				c := smppCase{window, roundTrip, database}
				if err := smppRow(ctx, b, s, c, out); err != nil {
					return fmt.Errorf("window %d, round trip %s: %w", window, roundTrip, err)
				}
			}
		}
	}
	return nil
}

func smppRow(ctx context.Context, b *rabbitmq.Broker, s settings, c smppCase, out *strings.Builder) error {
	sim, err := startSMSC(ctx, s, c.roundTrip, "none")
	if err != nil {
		return err
	}
	defer func() { _ = sim.stop() }()
	var bare, dispatched, ours []measure
	n := c.n(s.n)
	name := fmt.Sprintf("%d, %s, state in memory", c.window, c.roundTrip)
	if c.database {
		name = fmt.Sprintf("%d, %s, state in PostgreSQL", c.window, c.roundTrip)
	}
	for range s.rounds {
		if c.roundTrip == 0 {
			m, err := measureDispatcher(ctx, b, s, 1, n)
			if err != nil {
				return err
			}
			dispatched = append(dispatched, m)
		}
		m, err := measureSMPPBare(ctx, sim.address, "submit", c.window, n)
		if err != nil {
			return err
		}
		bare = append(bare, m)
		m, err = s.measured("SMPP/"+name, func(s settings) (measure, error) {
			if err := preloadSMS(ctx, b, "bench_smpp", n); err != nil {
				return measure{}, err
			}
			yaml := smppYAML(sim, "smpp", "bench_smpp", c.window)
			if !c.database {
				return runWorker(ctx, b, s, yaml, "memory:", "bench_smpp.event", n)
			}
			l, err := newLedger(ctx, s, "bench_smpp")
			if err != nil {
				return measure{}, err
			}
			defer l.drop()
			return runWorker(ctx, b, s, yaml, l.url, "bench_smpp.event", n)
		})
		if err != nil {
			return err
		}
		ours = append(ours, m)
	}
	smppLine(out, name, bare, dispatched, ours)
	return nil
}

func smppLine(out *strings.Builder, name string, bare, dispatched, ours []measure) {
	yardstick, own, beside := median(bare, rate), median(ours, rate), "–"
	if len(dispatched) > 0 {
		beside = fmt.Sprintf("%.2f", own/median(dispatched, rate))
	}
	fmt.Fprintf(out, "| %s | %.0f | %.0f | %.2f | %s | %.3f ms | %.0f MB |\n", name, yardstick, own, own/yardstick, beside,
		median(ours, cpuMillis), median(ours, megabytes))
}

// smppReceipts has a transmitter submit while nobody is bound to take the
// receipts, so that all are outstanding, and then a receiver in another process
// take them.
func smppReceipts(ctx context.Context, b *rabbitmq.Broker, s settings, out *strings.Builder) error {
	fmt.Fprint(out, "\nReceipts: a transmitter submits, with a window of 100, while no receiver is bound; what it knows of\n"+
		"the outstanding messages is in PostgreSQL, for a receiver in another process. The clock of the\n"+
		"receiver runs from the first delivery report to the last. Its bare loop only answers.\n\n"+
		"| outstanding receipts | bare loop, PDUs/s | receiver, receipts/s | of the bare loop | CPU a receipt | peak memory | of the transmitter |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for _, n := range []int{s.n, s.outstanding} {
		if n == 0 {
			continue
		}
		sim, err := startSMSC(ctx, s, 0, "both")
		if err != nil {
			return err
		}
		err = smppReceiptRow(ctx, b, s, sim, n, out)
		_ = sim.stop()
		if err != nil {
			return fmt.Errorf("%d receipts: %w", n, err)
		}
	}
	return nil
}

func smppReceiptRow(ctx context.Context, b *rabbitmq.Broker, s settings, sim *smscProcess, n int, out *strings.Builder) error {
	submitted := min(n, s.n)
	if _, err := measureSMPPBare(ctx, sim.address, "submit", 100, submitted); err != nil {
		return err
	}
	bare, err := measureSMPPBare(ctx, sim.address, "receive", 100, submitted)
	if err != nil {
		return err
	}
	var sent measure
	taken, err := s.measured(fmt.Sprintf("SMPP/%d receipts", n), func(s settings) (taken measure, err error) {
		sent, taken, err = measureReceipts(ctx, b, s, sim, n)
		return taken, err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "| %d | %.0f | %.0f | %.2f | %.3f ms | %.0f MB | %.0f MB |\n", n, bare.rate, taken.rate, taken.rate/bare.rate,
		cpuMillis(taken), megabytes(taken), megabytes(sent))
	return nil
}

func measureReceipts(ctx context.Context, b *rabbitmq.Broker, s settings, sim *smscProcess, n int) (sent, taken measure, err error) {
	l, err := newLedger(ctx, s, "bench_smpp")
	if err != nil {
		return sent, taken, err
	}
	defer l.drop()
	if err := preloadSMS(ctx, b, "bench_tx", n); err != nil {
		return sent, taken, err
	}
	sent, err = runWorker(ctx, b, s, smppYAML(sim, "smpp_transmitter", "bench_tx", 100), l.url, "bench_tx.event", n)
	if err != nil {
		return sent, taken, err
	}
	taken, err = runWorker(ctx, b, s, smppYAML(sim, "smpp_receiver", "bench_rx", 100), l.url, "bench_rx.event", n)
	if err != nil {
		c, _ := sim.counters(ctx)
		err = fmt.Errorf("%w; the SMSC sent %d receipts, of which %d were taken", err, c.Receipts, c.ReceiptsTaken)
	}
	return sent, taken, err
}
