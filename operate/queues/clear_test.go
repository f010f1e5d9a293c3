package queues_test

import (
	"context"
	"testing"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	"switchboard/operate/queues"
)

// The record learns of each message that is cleared, on the connector that its recorder
// listens to.
func TestClearTellsTheRecord(t *testing.T) {
	b := memory.New(memory.Settings{})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	for _, c := range []struct{ queue, transport, receipts, outcome string }{
		{"sms.outbound", "sms", "sms.receipt", message.ReceiptDeleted},
		{"app.outbound", "sms", "app.receipt", message.ReceiptRefused},
		{"sms.inbound", "sms", "sms.receipt", message.ReceiptErrored},
		{"app.inbound", "sms", "sms.receipt", message.ReceiptErrored},
		{"sms.event", "sms", "", ""},
		{"unrecorded.outbound", "unrecorded", "", ""},
	} {
		keys := []string{"sms.receipt", "app.receipt"}
		for _, q := range []broker.Queue{{Name: c.queue}, {Name: "record", Keys: keys}} {
			if err := b.Declare(t.Context(), q); err != nil {
				t.Fatal(err)
			}
		}
		m := message.New()
		m.TransportName, m.To = c.transport, "+27831234567"
		for _, body := range [][]byte{m.Encode(), []byte("no message")} {
			if err := b.Publish(t.Context(), broker.Publication{Queue: c.queue, Body: body}); err != nil {
				t.Fatal(err)
			}
		}
		cleared, err := queues.Clear(t.Context(), b, []string{c.queue, "nosuch.inbound"})
		if err != nil || len(cleared) != 1 || cleared[0].Messages != 2 {
			t.Errorf("%s: cleared %v, %v", c.queue, cleared, err)
		}
		var got []broker.Delivery
		err = b.Browse(t.Context(), "record", 10, func(d *broker.Delivery) (broker.Verdict, error) {
			got = append(got, *d)
			return broker.Remove, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if c.receipts == "" {
			if len(got) != 0 {
				t.Errorf("%s: %d receipts", c.queue, len(got))
			}
			continue
		}
		if len(got) != 1 || got[0].Key != c.receipts {
			t.Errorf("%s: receipts %+v, want one for %s", c.queue, got, c.receipts)
			continue
		}
		r, err := message.DecodeReceipt(got[0].Body)
		if err != nil || r.MessageID != m.ID || r.Outcome != c.outcome || r.Reason == "" {
			t.Errorf("%s: %+v, %v; want %s", c.queue, r, err, c.outcome)
		}
	}
}
