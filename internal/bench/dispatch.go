package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"switchboard/broker/rabbitmq"
)

// dispatchSection moves preloaded messages through the simple dispatcher, with
// one, ten and fifty transports and a queue ten times as long, and through the
// bare loop.
func dispatchSection(ctx context.Context, s settings) (string, error) {
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: s.amqpURL, Name: "bench"})
	if err != nil {
		return "", err
	}
	defer func() { _ = b.Close(context.Background()) }()
	cases := []struct {
		name       string
		transports int
		n          int
	}{
		{"1 transport", 1, s.n},
		{"10 transports", 10, s.n},
		{"50 transports", 50, s.n},
		{"1 transport, a queue 5 times as long", 1, 5 * s.n},
	}
	bare := make([]measure, 0, s.rounds*len(cases))
	ours := make([][]measure, len(cases))
	for range s.rounds {
		for i, c := range cases {
			m, err := measureBare(ctx, b, s.n)
			if err != nil {
				return "", err
			}
			bare = append(bare, m)
			m, err = s.measured("Dispatch/"+c.name, func(s settings) (measure, error) {
				return measureDispatcher(ctx, b, s, c.transports, c.n)
			})
			if err != nil {
				return "", err
			}
			ours[i] = append(ours[i], m)
		}
	}
	var out strings.Builder
	out.WriteString("Persistent messages of about 700 bytes wait in `<transport>.inbound`; the clock runs until the\n" +
		"exposed queue holds all. The bare loop is amqp091-go alone: prefetch 200, persistent publishes with\n" +
		"confirms, an ack after each confirm; it decodes nothing.\n\n")
	out.WriteString("| what | messages/s | of the bare loop | CPU a message | peak memory |\n|---|---:|---:|---:|---:|\n")
	yardstick := median(bare, rate)
	out.WriteString(row("bare loop", bare, yardstick))
	for i, c := range cases {
		out.WriteString(row("dispatcher `simple`, "+c.name, ours[i], yardstick))
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

func row(name string, all []measure, yardstick float64) string {
	return fmt.Sprintf("| %s | %.0f | %.2f | %.3f ms | %.0f MB |\n", name,
		median(all, rate), median(all, rate)/yardstick, median(all, cpuMillis), median(all, megabytes))
}

func measureBare(ctx context.Context, b *rabbitmq.Broker, n int) (measure, error) {
	if err := preload(ctx, b, "bench_bare.inbound", "bench_bare", n); err != nil {
		return measure{}, err
	}
	if err := declareEmpty(ctx, b, "bench_bare_app.inbound"); err != nil {
		return measure{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return measure{}, err
	}
	return moveAll(ctx, b, n, "bench_bare_app.inbound", "memory:", self, bareMode, "bench_bare.inbound", "bench_bare_app.inbound")
}

func measureDispatcher(ctx context.Context, b *rabbitmq.Broker, s settings, transports, n int) (measure, error) {
	var names, routes []string
	for i := range transports {
		name := fmt.Sprintf("bench_t%d", i)
		names = append(names, name)
		routes = append(routes, "  "+name+": bench_app")
		if err := preload(ctx, b, name+".inbound", name, n/transports); err != nil {
			return measure{}, err
		}
	}
	text := fmt.Sprintf("router_class: simple\ntransport_names: [%s]\nexposed_names: [bench_app]\nroute_mappings:\n%s\n",
		strings.Join(names, ", "), strings.Join(routes, "\n"))
	return runWorker(ctx, b, s, text, "memory:", "bench_app.inbound", n/transports*transports)
}

// runWorker measures a worker of this YAML until a queue holds n bodies.
func runWorker(ctx context.Context, b *rabbitmq.Broker, s settings, yaml, database, queue string, n int) (measure, error) {
	return runWorkerFrom(ctx, b, s, yaml, database, queue, 0, n)
}

// runWorkerFrom is runWorker with the clock beginning when the queue holds more than from.
func runWorkerFrom(ctx context.Context, b *rabbitmq.Broker, s settings, yaml, database, queue string, from, n int) (measure, error) {
	file := filepath.Join(s.dir, "worker.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		return measure{}, err
	}
	if err := declareEmpty(ctx, b, queue); err != nil {
		return measure{}, err
	}
	return moveSome(ctx, b, from, n, queue, database, s.binary, "run", "--http", "127.0.0.1:0", "--log-level", "warn", file)
}

// moveAll starts a process and measures it until a queue holds n bodies.
func moveAll(ctx context.Context, b *rabbitmq.Broker, n int, queue, database, program string, args ...string) (measure, error) {
	return moveSome(ctx, b, 0, n, queue, database, program, args...)
}

// moveSome measures the rate from the moment when the queue holds more than from.
func moveSome(ctx context.Context, b *rabbitmq.Broker, from, n int, queue, database, program string, args ...string) (measure, error) {
	c, err := startChild(ctx, database, program, args...)
	if err != nil {
		return measure{}, err
	}
	took, moved, err := timeBetween(ctx, b, queue, from, n)
	used, stopErr := c.stop()
	if err != nil {
		return measure{}, fmt.Errorf("%w\n%s", err, c.out.String())
	}
	if stopErr != nil {
		return measure{}, stopErr
	}
	return measure{
		rate: float64(moved) / took.Seconds(),
		cpu:  used.cpu / time.Duration(n),
		rss:  used.peakRSS,
	}, nil
}
