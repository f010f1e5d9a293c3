package smpp

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
	"switchboard/store"
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

// taking is a Publisher that has everything at once.
type taking struct{}

func (taking) Inbound(context.Context, *message.Message) error { return nil }
func (taking) Event(context.Context, *message.Event) error     { return nil }
func (taking) Status(context.Context, *message.Status) error   { return nil }

// BenchmarkReceiveReceipts takes receipts one after the other: what they cost beside
// the broker's confirm.
func BenchmarkReceiveReceipts(b *testing.B) { benchmarkReceiveReceipts(b, remember(b)) }

func benchmarkReceiveReceipts(b *testing.B, state store.State) {
	v := simulate(b, simulator.Settings{Keep: -1, Behaviour: simulator.Behaviour{Receipts: noReceipts()}})
	tr := connected(b, v.Addr(), state, nil)
	transporttest.Start(b, tr, taking{})
	ids := make([]string, b.N)
	var group errgroup.Group
	group.SetLimit(100)
	for i := range ids {
		group.Go(func() (err error) {
			ids[i], err = tr.Send(context.Background(), outgoing("hello"))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, id := range ids {
		err := v.DeliverPDU(b.Context(), "", &pdu.DeliverSM{Message: pdu.Message{
			Source: pdu.Address{Addr: "27831234567"}, Dest: pdu.Address{Addr: "9292"}, ESMClass: pdu.ESMReceipt,
			ShortMessage: fmt.Appendf(nil, "id:%s stat:DELIVRD err:000", id),
		}})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "receipts/s")
}
