package submissions

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/smpp/receipt"
	"switchboard/store"
	"switchboard/store/memory"
)

// BenchmarkReceipts records accepted parts, and finds them by their receipts.
func BenchmarkReceipts(b *testing.B) {
	state := memory.New()
	defer state.Close()
	s := New(Settings{
		State: store.NewBatcher(state, store.BatchSettings{}), Prefix: "smpp/test/", Logger: slog.New(slog.DiscardHandler),
		Publish:      func(context.Context, *message.Event) error { return nil },
		CountReceipt: func(string) {},
		SubmitFormat: receipt.Auto, ReceiptFormat: receipt.Auto, OutcomeTTL: time.Hour, IDTTL: time.Hour, FinalTTL: time.Hour, HeldTTL: time.Hour,
	})
	part := func(i int) Part {
		return Part{&Message{ID: fmt.Sprint("message ", i), To: person, From: sender, Parts: 1, Reference: uint16(i%maxReference + 1), Routing: []byte(`{"endpoint_name":"default"}`)}, 1}
	}
	b.Run("accepted", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			p, id := part(i), fmt.Sprint(i)
			s.Accepting(p, id)
			if err := s.Accepted(b.Context(), p, id); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("receipt", func(b *testing.B) {
		for i := range b.N {
			if err := s.Accepted(b.Context(), part(i), fmt.Sprint("r", i)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			p := part(i)
			err := s.Receipt(b.Context(), Receipt{ID: fmt.Sprint("r", i), Raw: "DELIVRD", Status: receipt.Delivered, Done: time.Now(), From: p.To, To: p.From, Reference: p.Reference()})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
