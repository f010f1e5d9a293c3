package main

import (
	"context"
	"fmt"
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

// routersSection sends messages through every router on RabbitMQ.
func routersSection(ctx context.Context, s settings) (string, error) {
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: s.amqpURL, Name: "bench"})
	if err != nil {
		return "", err
	}
	defer func() { _ = b.Close(context.Background()) }()
	cases := routedCases()
	bare := make([]measure, 0, s.rounds*len(cases))
	ours := make([][]measure, len(cases))
	for range s.rounds {
		for i, c := range cases {
			m, err := measureBare(ctx, b, s.n)
			if err != nil {
				return "", err
			}
			bare = append(bare, m)
			m, err = s.measured("Router/"+c.name, func(s settings) (measure, error) { return measureRouted(ctx, b, s, c) })
			if err != nil {
				return "", fmt.Errorf("%s: %w", c.name, err)
			}
			ours[i] = append(ours[i], m)
		}
	}
	var out strings.Builder
	out.WriteString("Through RabbitMQ, as above; `rules` has 100 rules of which the last one fits. One transport, one\n" +
		"application.\n\n")
	out.WriteString("| what | messages/s | of the bare loop | CPU a message | peak memory |\n|---|---:|---:|---:|---:|\n")
	yardstick := median(bare, rate)
	out.WriteString(row("bare loop", bare, yardstick))
	for i, c := range cases {
		out.WriteString(row("`"+c.name+"`", ours[i], yardstick))
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

func measureRouted(ctx context.Context, b *rabbitmq.Broker, s settings, c routed) (measure, error) {
	if err := preload(ctx, b, c.from, "bench_t0", s.n); err != nil {
		return measure{}, err
	}
	database := "memory:"
	if c.database {
		l, err := newLedger(ctx, s, "bench_routers")
		if err != nil {
			return measure{}, err
		}
		defer l.drop()
		database = l.url
	}
	return runWorker(ctx, b, s, c.yaml, database, c.to, s.n)
}
