package simulator_test

import (
	"testing"

	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
	"switchboard/smpp/simulator"
)

func TestSubmitIsAnsweredAndReported(t *testing.T) {
	v := start(t, simulator.Settings{})
	c := bound(t, v, pdu.CmdBindTransceiver, "esme")
	answer := c.ask(submit("hello"))
	id := answer.Body.(*pdu.SubmitSMResp).MessageID
	if answer.Status != pdu.StatusOK || id != "1" {
		t.Fatalf("got %s, id %q", answer, id)
	}
	m := c.delivered()
	got, err := receipt.Parser{}.Parse(m.TLVs, string(m.ShortMessage))
	if err != nil || got.ID != id || got.Status != receipt.Delivered || !m.ESMClass.IsReceipt() {
		t.Fatalf("receipt %+v of %q: %v", got, m.ShortMessage, err)
	}
	if err := v.WaitReceipts(within(t), 1); err != nil {
		t.Fatal(err)
	}
	list := v.Submitted()
	if len(list) != 1 || list[0].Text() != "hello" || list[0].MessageID != id || list[0].SystemID != "esme" {
		t.Errorf("recorded %+v", list)
	}
}

func TestMessageFromAPhone(t *testing.T) {
	v := start(t, simulator.Settings{})
	c := bound(t, v, pdu.CmdBindReceiver, "esme")
	answered := make(chan error, 1)
	ctx := within(t)
	go func() { answered <- v.Deliver(ctx, simulator.Incoming{From: "+31612345678", To: "1234", Text: "hi"}) }()
	if m := c.delivered(); string(m.ShortMessage) != "hi" || m.Source.Addr != "31612345678" {
		t.Errorf("got %+v", m)
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}

func TestAddressInUse(t *testing.T) {
	v := start(t, simulator.Settings{})
	for _, settings := range []simulator.Settings{{Listen: v.Addr()}, {HTTP: v.Addr()}} {
		if second, err := simulator.Start(settings); err == nil {
			_ = second.Close()
			t.Errorf("%+v: a second one listens on %s", settings, v.Addr())
		}
	}
}
