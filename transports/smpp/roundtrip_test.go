package smpp

import (
	"strings"
	"testing"

	"switchboard/message"
	"switchboard/smpp/simulator"
)

func TestSubmitAckReceipt(t *testing.T) {
	b := start(t, simulator.Settings{})
	m := outgoing("hello")
	if id := b.send(m); id != "1" {
		t.Errorf("Send = %q, want the SMSC's id", id)
	}
	e := b.line.NextEvent(t)
	if e.Type != message.DeliveryReport || e.DeliveryStatus != message.Delivered || e.MessageID != m.ID {
		t.Errorf("event = %s", e.Encode())
	}
	if e.RoutingMetadata.Text("switchboard_exposed") != "app" {
		t.Errorf("the event has lost the message's routing metadata: %s", e.Encode())
	}
	if raw := e.TransportMetadata.Text("smpp_delivery_status"); !strings.HasPrefix(raw, "DELIV") {
		t.Errorf("smpp_delivery_status = %q", raw)
	}
}

func TestMessageFromAPerson(t *testing.T) {
	b := start(t, simulator.Settings{})
	if err := b.smsc.WaitBound(within(t), 1); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"hello", "naïve ☃ سلام 🎲", strings.Repeat("long ", 200) + "end"} {
		told := make(chan error, 1)
		ctx := within(t)
		go func() { told <- b.smsc.Deliver(ctx, simulator.Incoming{From: "27831234567", To: "9292", Text: text}) }()
		if m := b.line.Next(t); m.Content != text || m.From != "+27831234567" || m.To != "9292" || m.TransportType != "sms" {
			t.Errorf("received %s", m.Encode())
		}
		if err := <-told; err != nil {
			t.Errorf("the SMSC was told %v", err)
		}
	}
}

func TestLongMessageIsDeliveredWhenAllPartsAre(t *testing.T) {
	b := start(t, simulator.Settings{})
	m := outgoing(strings.Repeat("0123456789", 31))
	b.send(m)
	if n := len(b.smsc.Submitted()); n != 3 {
		t.Fatalf("%d segments, want 3", n)
	}
	e := b.line.NextEvent(t)
	if e.DeliveryStatus != message.Delivered || e.MessageID != m.ID {
		t.Errorf("event = %s", e.Encode())
	}
	b.stop()
}
