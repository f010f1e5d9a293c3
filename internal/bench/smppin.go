package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
)

// The kinds of deliver_sm that are measured.
const (
	smppSingle   = "messages"
	smppLong     = "3-part messages"
	smppReceived = "receipts"
)

const longParts = 3

// smppInCase is one way to be delivered to.
type smppInCase struct {
	what     string
	window   int
	database bool // the transport's state is in PostgreSQL
}

func (c smppInCase) name() string {
	state := ", state in memory"
	if c.database {
		state = ", state in PostgreSQL"
	}
	if c.what == smppSingle {
		state = "" // nothing is remembered
	}
	return fmt.Sprintf("%s, window %d%s", c.what, c.window, state)
}

// smppInSection measures what an SMSC delivers at small and large windows, and
// messages that go out while their receipts come.
func smppInSection(ctx context.Context, s settings) (string, error) {
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: s.amqpURL, Name: "bench"})
	if err != nil {
		return "", err
	}
	defer func() { _ = b.Close(context.Background()) }()
	var out strings.Builder
	out.WriteString("A transceiver takes what the simulated SMSC delivers with a window of so many unanswered\n" +
		"deliver_sm. The clock runs from the first envelope in the transport's queue to the last. Receipts\n" +
		"come once all messages are submitted; their CPU includes the submits. The bare confirms publish to\n" +
		"RabbitMQ, persistent, with as many confirms outstanding, and do nothing else. Everything shares the\n" +
		"machine.\n\n" +
		"| what | bare confirms/s | PDUs/s | of the bare confirms | of single messages | CPU a PDU | memory |\n" +
		"|---|---:|---:|---:|---:|---:|---:|\n")
	single := map[int]float64{}
	for _, window := range []int{1, 10, 100} {
		for _, c := range []smppInCase{
			{smppSingle, window, false}, {smppLong, window, false}, {smppLong, window, true}, {smppReceived, window, false}, {smppReceived, window, true},
		} {
			if err := smppInRow(ctx, b, s, c, single, &out); err != nil {
				return "", fmt.Errorf("%s: %w", c.name(), err)
			}
		}
	}
	if err := smppBothWays(ctx, b, s, &out); err != nil {
		return "", err
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

func smppInRow(ctx context.Context, b *rabbitmq.Broker, s settings, c smppInCase, single map[int]float64, out *strings.Builder) error {
	var bare, ours []measure
	n := s.n / longParts * longParts
	for range s.rounds {
		m, err := measureConfirms(ctx, b, c.window, min(n, 1000*c.window))
		if err != nil {
			return err
		}
		bare = append(bare, m)
		m, err = s.measured("SMPP/"+c.name(), func(s settings) (measure, error) { return measureIn(ctx, b, s, c, n) })
		if err != nil {
			return err
		}
		ours = append(ours, m)
	}
	yardstick, own := median(bare, rate), median(ours, rate)
	if c.what == smppSingle {
		single[c.window] = own
	}
	fmt.Fprintf(out, "| %s | %.0f | %.0f | %.2f | %.2f | %.3f ms | %.0f MB |\n", c.name(), yardstick, own, own/yardstick, own/single[c.window],
		median(ours, cpuMillis), median(ours, megabytes))
	return nil
}

// generating makes an SMSC deliver n messages as fast as it can.
func generating(window, n int, long string) string {
	return fmt.Sprintf("  delivery: {window: %d}\n  generate: {rate: 1000000, count: %d, long: %s, length: 400, methods: [udh8], texts: [%q]}\n",
		window, n, long, benchText)
}

// measureConfirms publishes with at most window confirms outstanding.
func measureConfirms(ctx context.Context, b *rabbitmq.Broker, window, n int) (measure, error) {
	const queue = "bench_confirms"
	if err := declareEmpty(ctx, b, queue); err != nil {
		return measure{}, err
	}
	body := sample("bench_smpp")
	var publishers errgroup.Group
	began := time.Now()
	for range window {
		publishers.Go(func() error {
			for range n / window {
				if err := b.Publish(ctx, broker.Publication{Key: queue, Body: body}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := publishers.Wait()
	return measure{rate: float64(n) / time.Since(began).Seconds()}, errors.Join(err, declareEmpty(ctx, b, queue))
}

func measureIn(ctx context.Context, b *rabbitmq.Broker, s settings, c smppInCase, n int) (measure, error) {
	behaviour, envelopes, queue, from := generating(c.window, n, "0%"), n, "bench_smpp.inbound", 0
	switch c.what {
	case smppLong:
		envelopes = n / longParts
		behaviour = generating(c.window, envelopes, "100%")
	case smppReceived:
		const slowest = 1500 // submits a second
		behaviour = fmt.Sprintf("  delivery: {window: %d}\n  receipts: {delay: %ds}\n", c.window, n/slowest+1)
		envelopes, queue, from = 2*n, "bench_smpp.event", n
		if err := preloadSMS(ctx, b, "bench_smpp", n); err != nil {
			return measure{}, err
		}
	}
	m, err := runTransceiver(ctx, b, s, behaviour, c.database, queue, from, envelopes)
	m.rate *= float64(n) / float64(envelopes-from)
	m.cpu = m.cpu * time.Duration(envelopes) / time.Duration(n)
	return m, err
}

func runTransceiver(ctx context.Context, b *rabbitmq.Broker, s settings, behaviour string, database bool, queue string, from, n int) (measure, error) {
	sim, err := startSMSCWith(ctx, s, behaviour)
	if err != nil {
		return measure{}, err
	}
	defer func() { _ = sim.stop() }()
	yaml := smppYAML(sim, "smpp", "bench_smpp", 100)
	if !database {
		return runWorkerFrom(ctx, b, s, yaml, "memory:", queue, from, n)
	}
	l, err := newLedger(ctx, s, "bench_smpp")
	if err != nil {
		return measure{}, err
	}
	defer l.drop()
	return runWorkerFrom(ctx, b, s, yaml, l.url, queue, from, n)
}

// smppBothWays submits while the receipts of what was submitted come.
func smppBothWays(ctx context.Context, b *rabbitmq.Broker, s settings, out *strings.Builder) error {
	out.WriteString("\nMessages whose receipts come at once, with windows of 100. Each moves an ack and a delivery report;\n" +
		"the dispatcher, in the same rounds, one envelope a message.\n\n| state | messages/s | of state in memory | envelopes/s, of the dispatcher | CPU a message | peak memory |\n" +
		"|---|---:|---:|---:|---:|---:|\n")
	var dispatched []measure
	ours := map[bool][]measure{}
	for range s.rounds {
		m, err := measureDispatcher(ctx, b, s, 1, s.n)
		if err != nil {
			return err
		}
		dispatched = append(dispatched, m)
		for _, database := range []bool{false, true} {
			m, err := s.measured(fmt.Sprintf("SMPP/with receipts, database %t", database), func(s settings) (measure, error) {
				if err := preloadSMS(ctx, b, "bench_smpp", s.n); err != nil {
					return measure{}, err
				}
				m, err := runTransceiver(ctx, b, s, "  delivery: {window: 100}\n  receipts: {form: both}\n", database, "bench_smpp.event", 0, 2*s.n)
				m.rate, m.cpu = m.rate/2, m.cpu*2
				return m, err
			})
			if err != nil {
				return err
			}
			ours[database] = append(ours[database], m)
		}
	}
	for _, database := range []bool{false, true} {
		state := map[bool]string{false: "memory", true: "PostgreSQL"}[database]
		own := median(ours[database], rate)
		fmt.Fprintf(out, "| %s | %.0f | %.2f | %.2f | %.3f ms | %.0f MB |\n", state, own, own/median(ours[false], rate),
			2*own/median(dispatched, rate), median(ours[database], cpuMillis), median(ours[database], megabytes))
	}
	return nil
}
