package simulator_test

import (
	"testing"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
)

// BenchmarkSubmit writes submits as fast as they are taken: each is answered,
// counted and kept.
func BenchmarkSubmit(b *testing.B) {
	b.Run("at once", func(b *testing.B) { flood(b, simulator.Answers{}) })
	b.Run("after 20 ms", func(b *testing.B) { flood(b, simulator.Answers{Delay: simulator.Fixed(20 * time.Millisecond)}) })
}

func flood(b *testing.B, answers simulator.Answers) {
	v, err := simulator.Start(simulator.Settings{Behaviour: simulator.Behaviour{Answers: &answers}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	conn := connect(b, v)
	body := submit("hello, this is a message of usual length for a short message")
	body.RegisteredDelivery = 0
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		var batch []byte
		for i := range b.N {
			batch, _ = (&pdu.PDU{Sequence: uint32(i + 1), Body: body}).AppendTo(batch)
			if len(batch) > 8<<10 || i == b.N-1 {
				_, _ = conn.Write(batch)
				batch = batch[:0]
			}
		}
	}()
	r := pdu.NewReader(conn, 0)
	for range b.N {
		if _, err := r.Read(); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "submits/s")
}

// BenchmarkReceipts has every message reported: a receiver answers each receipt.
func BenchmarkReceipts(b *testing.B) {
	v, err := simulator.Start(simulator.Settings{Behaviour: simulator.Behaviour{Delivery: &simulator.Delivery{Window: 100}}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	conn := connect(b, v)
	body := submit("hello")
	const window = 100
	room := make(chan struct{}, window)
	b.ResetTimer()
	lines := make(chan []byte, 2*window)
	defer close(lines)
	go func() {
		for l := range lines {
			_, _ = conn.Write(l)
		}
	}()
	go func() {
		for i := range b.N {
			room <- struct{}{}
			line, _ := (&pdu.PDU{Sequence: uint32(i + 1), Body: body}).AppendTo(nil)
			lines <- line
		}
	}()
	r := pdu.NewReader(conn, 0)
	for reports := 0; reports < b.N; {
		p, err := r.Read()
		if err != nil {
			b.Fatal(err)
		}
		if p.Command() == pdu.CmdSubmitSMResp {
			<-room
			continue
		}
		line, _ := p.Respond(pdu.StatusOK).AppendTo(nil)
		lines <- line
		reports++
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "submits/s")
}
