package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"switchboard/broker/rabbitmq"
)

// routed is a dispatcher's YAML through which messages are sent one way.
type routed struct {
	name     string
	yaml     string
	from, to string // queues
	database bool   // its state is in PostgreSQL
}

const joins = "transport_names: [bench_t0]\nexposed_names: [bench_app]\n"

// routedCases are the routers, each with what moves sample messages one way.
func routedCases() []routed {
	inbound := func(name, options string) routed {
		return routed{name: name, yaml: "router_class: " + name + "\n" + joins + options, from: "bench_t0.inbound", to: "bench_app.inbound"}
	}
	outbound := func(label, name, options string, database bool) routed {
		return routed{
			name: label, yaml: "router_class: " + name + "\n" + joins + options,
			from: "bench_app.outbound", to: "bench_t0.outbound", database: database,
		}
	}
	const simple = "route_mappings: {bench_t0: bench_app}\n"
	transport2 := routed{
		name: "transport_to_transport", from: "bench_t0.inbound", to: "bench_t1.outbound",
		yaml: "router_class: transport_to_transport\ntransport_names: [bench_t0, bench_t1]\nexposed_names: [bench_app]\n" +
			"route_mappings: {bench_t0: bench_t1, bench_t1: bench_t0}\n",
	}
	return []routed{
		inbound("simple", simple),
		inbound("rules", hundredRules()),
		inbound("to_addr", "toaddr_mappings: {bench_app: '12345'}\n"),
		inbound("from_addr_multiplex", "fromaddr_mappings: {'12345': bench_t0}\n"),
		inbound("user_grouping", "dispatcher_name: bench\ngroup_mappings: {one: bench_app}\n"),
		inbound("content_keyword", "dispatcher_name: bench\nkeyword_mappings: {bench_app: the}\ntransport_mappings: {'12345': bench_t0}\n"),
		inbound("redirect", "redirect_inbound: {bench_t0: bench_app}\nredirect_outbound: {bench_app: bench_t0}\n"),
		inbound("load_balancing", ""),
		inbound("routing_table", "routing_table:\n  bench_t0: {default: [bench_app, default]}\n  bench_app: {default: [bench_t0, default]}\n"),
		transport2,
		outbound("simple, outbound, no memory", "simple", simple+"remember_outbound: false\n", false),
		outbound("simple, outbound, memory in PostgreSQL", "simple", simple, true),
	}
}

// hundredRules is a file of rules of which only the last fits.
func hundredRules() string {
	var text strings.Builder
	text.WriteString("rules:\n")
	for i := range 99 {
		fmt.Fprintf(&text, "  - {name: r%d, when: 'word == \"word%d\" && from startsWith \"+27\"', to: bench_app}\n", i, i)
	}
	text.WriteString("  - {name: rest, when: 'flow == \"inbound\"', to: bench_app}\n")
	text.WriteString("default: {to: bench_t0}\n")
	return text.String()
}

// routersSection sends messages through every router on RabbitMQ, and runs the
// routers' own benchmarks in the process.
func routersSection(ctx context.Context, s settings) (string, error) {
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: s.amqpURL, Name: "bench"})
	if err != nil {
		return "", err
	}
	defer func() { _ = b.Close(context.Background()) }()
	l, err := newLedger(ctx, s, "bench_routers")
	if err != nil {
		return "", err
	}
	defer l.drop()
	s.databaseURL = l.url
	cases := routedCases()
	bare := make([]measure, 0, s.rounds*len(cases))
	ours := make([][]measure, len(cases))
	for range s.rounds {
		for i, c := range cases {
			m, err := measureBare(ctx, b, s, s.n)
			if err != nil {
				return "", err
			}
			bare = append(bare, m)
			if m, err = measureRouted(ctx, b, s, c); err != nil {
				return "", fmt.Errorf("%s: %w", c.name, err)
			}
			ours[i] = append(ours[i], m)
		}
	}
	var out strings.Builder
	out.WriteString("Through RabbitMQ, as above; `rules` has 100 rules of which the last one fits. One transport, one application.\n\n")
	out.WriteString("| what | messages/s | of the bare loop | CPU a message | peak memory |\n|---|---:|---:|---:|---:|\n")
	yardstick := median(bare, func(m measure) float64 { return m.rate })
	out.WriteString(row("bare loop", bare, yardstick))
	for i, c := range cases {
		out.WriteString(row("`"+c.name+"`", ours[i], yardstick))
	}
	inProcess, err := goBench(ctx, s, "./routers/...")
	if err != nil {
		return "", err
	}
	out.WriteString("\nOne decision in the process (`go test -bench . ./routers/...`, by benchstat):\n\n```\n" + inProcess + "\n```")
	return out.String(), nil
}

func measureRouted(ctx context.Context, b *rabbitmq.Broker, s settings, c routed) (measure, error) {
	if err := preload(ctx, b, c.from, "bench_t0", s.n); err != nil {
		return measure{}, err
	}
	database := "memory:"
	if c.database {
		database = s.databaseURL
	}
	return runDispatcher(ctx, b, s, c.yaml, database, c.to, s.n)
}

// benchCount is how many runs benchstat wants for an interval of confidence.
const benchCount = 6

// goBench runs a package's benchmarks and has benchstat sum them up.
func goBench(ctx context.Context, s settings, packages string) (string, error) {
	bench := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", ".", "-benchmem",
		"-benchtime", "50ms", "-count", fmt.Sprint(benchCount), packages)
	results, err := bench.Output()
	if err != nil {
		return "", fmt.Errorf("running the benchmarks of %s: %w\n%s", packages, err, results)
	}
	file := filepath.Join(filepath.Dir(s.binary), "results")
	if err := os.WriteFile(file, results, 0o600); err != nil {
		return "", err
	}
	stat := exec.CommandContext(ctx, "go", "tool", "benchstat", "now="+file)
	table, err := stat.Output()
	if err != nil {
		return "", fmt.Errorf("running benchstat: %w", err)
	}
	return string(bytes.TrimSpace(table)), nil
}
