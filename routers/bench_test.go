package routers_test

import (
	"log/slog"
	"testing"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
	"switchboard/routers/routertest"
	"switchboard/store/memory"
	"switchboard/worker"
)

// BenchmarkRoute is what each router's decision costs in the process: of an
// inbound message, and of an outbound one.
func BenchmarkRoute(b *testing.B) {
	for name, subject := range subjects() {
		b.Run(name+"/inbound", func(b *testing.B) {
			transport := subject.Names.Transports[0]
			benchmark(b, subject, dispatcher.Arrival{Flow: message.Inbound, Connector: transport, Message: subject.Inbound(transport)})
		})
		if subject.Outbound == nil {
			continue
		}
		b.Run(name+"/outbound", func(b *testing.B) {
			application := subject.Names.Exposed[0]
			benchmark(b, subject, dispatcher.Arrival{Flow: message.Outbound, Connector: application, Message: subject.Outbound(application)})
		})
	}
}

func benchmark(b *testing.B, s routertest.Subject, a dispatcher.Arrival) {
	doc, err := options.Parse("router.yaml", []byte(s.Config), nil)
	if err != nil {
		b.Fatal(err)
	}
	r := s.New()
	if err := doc.Into(r); err != nil {
		b.Fatal(err)
	}
	if v, validates := r.(interface{ Validate() error }); validates {
		if err := v.Validate(); err != nil {
			b.Fatal(err)
		}
	}
	if err := r.(dispatcher.Checker).Check(s.Names); err != nil {
		b.Fatal(err)
	}
	state := memory.New()
	defer func() { _ = state.Close() }()
	if err := worker.Provision(b.Context(), r, worker.Env{Name: "bench", State: state, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Route(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
}
