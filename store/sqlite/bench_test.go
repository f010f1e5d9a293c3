package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/store"
)

// BenchmarkRecord measures envelopes a second in a file: messages to people
// and their acks.
func BenchmarkRecord(b *testing.B) {
	db := migrated(b, filepath.Join(b.TempDir(), "bench.db"))
	const size = 1000
	start, n := time.Now(), 0
	for b.Loop() {
		batch := make([]store.Envelope, 0, size)
		for i := range size / 2 {
			m := message.New()
			m.To, m.Content = fmt.Sprint("+27", i), "Your balance is R 12.34."
			batch = append(batch, store.Envelope{Direction: store.Outbound, Backend: "sms", Message: m},
				store.Envelope{Backend: "sms", Event: message.NewAck(m, m.ID)})
		}
		if rejected, err := db.Record(b.Context(), batch); err != nil || len(rejected) > 0 {
			b.Fatal(rejected, err)
		}
		n += size
	}
	b.ReportMetric(float64(n)/time.Since(start).Seconds(), "envelopes/s")
}
