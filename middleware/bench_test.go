package middleware_test

import (
	"context"
	"log/slog"
	"testing"

	"switchboard/message"
	"switchboard/middleware"
	"switchboard/options"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// BenchmarkMiddleware passes a message through each middleware alone.
func BenchmarkMiddleware(b *testing.B) {
	provider := middleware.NewPrefixProvider()
	provider.ProviderPrefixes = options.Map[string]{{Key: "+2782", Value: "a"}, {Key: "+27", Value: "b"}}
	numbers, limit := middleware.NewMSISDN(), middleware.NewRateLimit()
	numbers.Country, limit.Limit = "ZA", 1_000_000_000
	for name, m := range map[string]worker.Middleware{
		"logging": middleware.NewLogging(), "msisdn": numbers, "opt_out": middleware.NewOptOut(),
		"prefix_provider": provider, "rate_limit": limit, "session_length": middleware.NewSessionLength(),
	} {
		b.Run(name, func(b *testing.B) {
			state := statememory.New()
			defer func() { _ = state.Close() }()
			if v, can := m.(interface{ Validate() error }); can {
				if err := v.Validate(); err != nil {
					b.Fatal(err)
				}
			}
			stack := worker.NewStack(worker.Layer{Name: name, Middleware: m})
			env := worker.Env{Name: "bench", Kind: worker.KindDispatcher, State: state, Logger: slog.New(slog.DiscardHandler)}
			if err := stack.Provision(b.Context(), env); err != nil {
				b.Fatal(err)
			}
			nothing := func(context.Context, *message.Envelope) error { return nil }
			e := envelope(message.Outbound, nil)
			b.ReportAllocs()
			for b.Loop() {
				if err := stack.Consume(b.Context(), e, nothing); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
