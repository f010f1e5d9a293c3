package middleware_test

import (
	"strings"
	"testing"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/middleware"
	"switchboard/worker"
)

// What a dispatcher drops on purpose has a receipt, for the record.
func TestDiscardedMessagesHaveAReceipt(t *testing.T) {
	for reason, m := range map[string]worker.Middleware{
		"it repeats message":       mustLoad(t, middleware.NewDedupe(), ""),
		"has more than 1 messages": mustLoad(t, middleware.NewRateLimit(), "{limit: 1, flows: inbound, over_limit: discard}"),
	} {
		t.Run(reason, func(t *testing.T) {
			around(t, m, func(f *fleet) {
				queue := broker.Queue{Name: "receipts", Keys: []string{message.ReceiptKey("sms")}}
				if err := f.broker.Declare(f.t.Context(), queue); err != nil {
					f.t.Fatal(err)
				}
				again := envelope(message.Inbound, nil)
				f.send(envelope(message.Inbound, nil))
				f.send(again)
				var receipts []message.Receipt
				err := f.broker.Browse(f.t.Context(), queue.Name, 10, func(d *broker.Delivery) (broker.Verdict, error) {
					r, err := message.DecodeReceipt(d.Body)
					receipts = append(receipts, r)
					return broker.Keep, err
				})
				if err != nil || len(receipts) != 1 || receipts[0].MessageID != again.ID() || receipts[0].Outcome != message.ReceiptProcessed ||
					!strings.Contains(receipts[0].Reason, reason) {
					f.t.Errorf("receipts: %+v, %v", receipts, err)
				}
				if info, err := f.broker.Inspect(f.t.Context(), "sms.inbound"); err != nil || info.Messages != 0 {
					f.t.Errorf("it stays: %+v, %v", info, err)
				}
			})
		})
	}
}
