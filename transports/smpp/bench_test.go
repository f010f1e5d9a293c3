package smpp

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"switchboard/smpp/simulator"
	"switchboard/store/memory"
	"switchboard/transports/transporttest"
)

// BenchmarkSend submits short messages through one bind, with their receipts'
// way back kept in memory.
func BenchmarkSend(b *testing.B) {
	for _, rtt := range []time.Duration{0, 20 * time.Millisecond} {
		for _, window := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("window=%d/rtt=%s", window, rtt), func(b *testing.B) { benchmarkSend(b, window, rtt) })
		}
	}
}

func benchmarkSend(b *testing.B, window int, rtt time.Duration) {
	v := simulate(b, simulator.Settings{Keep: -1, Behaviour: simulator.Behaviour{
		Receipts: &simulator.Receipts{Form: "none"}, Answers: &simulator.Answers{Delay: simulator.Fixed(rtt)},
	}})
	state := memory.New()
	defer func() { _ = state.Close() }()
	tr := connected(b, v.Addr(), state, nil, func(t *Transport) { t.Window = window })
	transporttest.Start(b, tr, transporttest.NewPublisher())
	if err := v.WaitBound(b.Context(), 1); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var group sync.WaitGroup
	work := make(chan int)
	for range tr.InFlight() {
		group.Go(func() {
			for range work {
				if _, err := tr.Send(context.Background(), outgoing("hello, this is a message of usual length for a short message")); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range b.N {
		work <- i
	}
	close(work)
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}
