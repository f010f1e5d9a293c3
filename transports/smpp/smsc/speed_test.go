package smsc_test

import (
	"io"
	"testing"

	"switchboard/transports/smpp/pdu"
	"switchboard/transports/smpp/smsc"
)

// BenchmarkSubmit writes submits as fast as they are taken: each is answered,
// counted and kept.
func BenchmarkSubmit(b *testing.B) {
	v, err := smsc.Start(smsc.Settings{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	c := connect(b, v)
	body := submit("hello, this is a message of usual length for a short message")
	body.RegisteredDelivery = 0
	go func() {
		var batch []byte
		for i := range b.N {
			batch, _ = (&pdu.PDU{Sequence: uint32(i + 1), Body: body}).AppendTo(batch)
			if len(batch) > 8<<10 || i == b.N-1 {
				_, _ = c.Write(batch)
				batch = batch[:0]
			}
		}
	}()
	b.ResetTimer()
	r := pdu.NewReader(c, 0)
	for range b.N {
		if _, err := r.Read(); err != nil && err != io.EOF {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "submits/s")
}
