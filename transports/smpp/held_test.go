package smpp

import (
	"testing"

	"switchboard/message"
	"switchboard/smpp/simulator"
)

// The final receipt that came before its id is not displaced by an earlier one that
// came after it.
func TestHeldFinalReceiptStays(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Receipts: noReceipts(), Answers: &simulator.Answers{Delay: simulator.Fixed(5 * quick.Std())},
	}}).bound()
	m := outgoing("hello")
	ctx := within(t)
	sent := make(chan error, 1)
	go func() {
		_, err := b.Send(ctx, m)
		sent <- err
	}()
	b.until("it is submitted", func() bool { return len(b.smsc.Submitted()) == 1 })
	for _, state := range []string{"ENROUTE", "DELIVRD", "ENROUTE"} {
		b.receipt(b.smsc.Submitted()[0], state)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if e := b.line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != message.Delivered {
		t.Errorf("event = %s", e.Encode())
	}
	b.noOtherEvent()
}
