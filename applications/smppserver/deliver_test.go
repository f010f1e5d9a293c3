package smppserver

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
)

func TestReceipts(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransceiver)
	failed := func(raw, code string) func(*message.Message) *message.Event {
		return func(m *message.Message) *message.Event {
			e := report(m, message.Failed)
			e.TransportMetadata.Set("smpp_delivery_status", raw)
			if code != "" {
				e.TransportMetadata.Set("smpp_error_code", code)
			}
			return e
		}
	}
	delivered := func(m *message.Message) *message.Event { return report(m, message.Delivered) }
	nack := func(m *message.Message) *message.Event { return message.NewNack(m, "no such route") }
	for _, s := range []struct {
		name  string
		asked pdu.RegisteredDelivery
		event func(*message.Message) *message.Event
		state pdu.MessageState // 0 for no receipt
		word  string
	}{
		{"delivered", 1, delivered, pdu.StateDelivered, "stat:DELIVRD err:000"},
		{"undelivered", 1, failed("UNDELIV", "11"), pdu.StateUndeliverable, "stat:UNDELIV err:011"},
		{"expired", 1, failed("EXPIRED", ""), pdu.StateExpired, "stat:EXPIRED err:000"},
		{"failed in its own words", 1, failed("BOUNCED", "no number"), pdu.StateUndeliverable, "stat:UNDELIV err:000"},
		{"failed, though its word says accepted", 1, failed("ACCEPTD", ""), pdu.StateUndeliverable, "stat:UNDELIV"},
		{"failed, though its word says delivered", 1, failed("DELIVRD", ""), pdu.StateUndeliverable, "stat:UNDELIV"},
		{"refused", 1, nack, pdu.StateRejected, "stat:REJECTD"},
		{"failures only: delivered", 2, delivered, 0, ""},
		{"failures only: refused", 2, nack, pdu.StateRejected, "stat:REJECTD"},
		{"successes only: delivered", 3, delivered, pdu.StateDelivered, "stat:DELIVRD"},
		{"successes only: refused", 3, nack, 0, ""},
		{"none", 0, delivered, 0, ""},
	} {
		t.Run(s.name, func(t *testing.T) {
			id := c.submit(simple("how are you all doing today?", func(m *pdu.Message) { m.RegisteredDelivery = s.asked }))
			m := b.sent()
			b.event(message.NewAck(m, "at the SMSC"))
			b.event(s.event(m))
			if s.state == 0 {
				b.eventually("the final state is known", func() bool {
					p := c.ask(&pdu.QuerySM{MessageID: id})
					return p.Body.(*pdu.QuerySMResp).FinalDate != ""
				})
				b.eventually("no receipt that nobody asked for is kept", func() bool { return b.queued() == 0 })
				return
			}
			got := c.delivered()
			if got.ESMClass != pdu.ESMReceipt || got.Source.Addr != "27831234567" || got.Source.TON != pdu.TONInternational || got.Dest.Addr != "9292" {
				t.Errorf("got %+v", got)
			}
			said := string(got.ShortMessage)
			if !strings.Contains(said, "id:"+id+" ") || !strings.Contains(said, s.word) || !strings.HasSuffix(said, "text:how are you all doin") {
				t.Errorf("it says %q", said)
			}
			// Our own reader agrees, with and without the parameters.
			for _, tlvs := range []pdu.TLVs{got.TLVs, nil} {
				r, err := receipt.Parser{}.Parse(tlvs, said)
				final := receipt.DefaultStatusMap().OfState(s.state)
				if err != nil || r.ID != id || r.Status != final || r.Done.IsZero() {
					t.Errorf("it is read as %+v, %v", r, err)
				}
			}
		})
	}
}

func TestIntermediateNotification(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransceiver)
	c.submit(simple("hi", func(m *pdu.Message) { m.RegisteredDelivery = 0x11 }))
	m := b.sent()
	b.event(message.NewAck(m, "1"))
	if r := c.delivered(); r.ESMClass != pdu.ESMIntermediate || !strings.Contains(string(r.ShortMessage), "stat:ENROUTE") {
		t.Errorf("after the ack: %x %q", r.ESMClass, r.ShortMessage)
	}
	b.event(report(m, message.Delivered))
	if r := c.delivered(); r.ESMClass != pdu.ESMReceipt {
		t.Errorf("after the report: %x %q", r.ESMClass, r.ShortMessage)
	}
}

func TestAnAckMayBeFinal(t *testing.T) {
	b := begin(t, func(a *Application) { a.Customers[0].Value.ReceiptOnAck = true })
	c := b.bound(pdu.CmdBindTransceiver)
	c.submit(simple("hi"))
	b.event(message.NewAck(b.sent(), "1"))
	if r := c.delivered(); !strings.Contains(string(r.ShortMessage), "stat:DELIVRD") {
		t.Errorf("got %q", r.ShortMessage)
	}
}

// The same event twice, and another final state, are one receipt.
func TestOneReceipt(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransceiver)
	c.submit(simple("hi"))
	m := b.sent()
	e := report(m, message.Delivered)
	b.event(e)
	b.event(e)
	b.event(report(m, message.Failed))
	c.delivered()
	c.submit(simple("the next"))
	next := b.sent()
	b.event(report(next, message.Delivered))
	if r := c.delivered(); !strings.Contains(string(r.ShortMessage), next.ID) {
		t.Errorf("a second receipt came: %q", r.ShortMessage)
	}
}

// Whoever is away gets all of it later, in order, from whichever process there
// is then.
func TestKeptWhileAway(t *testing.T) {
	b := begin(t, func(a *Application) { a.Customers[0].Value.DeliverWindow = 1 })
	c := b.bound(pdu.CmdBindTransmitter) // takes nothing
	id := c.submit(simple("hi"))
	b.event(report(b.sent(), message.Delivered))
	b.eventually("the receipt is kept", func() bool { return b.queued() == 1 })
	const n = 250 // more than are at hand in memory
	for i := range n {
		b.says(fmt.Sprint("message ", i))
	}
	b.eventually("all is kept", func() bool { return b.queued() == n+1 })
	_ = c.conn.Close()
	b.stop()
	b.run()
	c = b.bound(pdu.CmdBindReceiver)
	if r := c.delivered(); !strings.Contains(string(r.ShortMessage), "id:"+id) {
		t.Errorf("first came %q", r.ShortMessage)
	}
	for i := range n {
		if got := text(t, c.delivered()); got != fmt.Sprint("message ", i) {
			t.Fatalf("as number %d came %q", i, got)
		}
	}
	b.eventually("nothing is kept any more", func() bool { return b.queued() == 0 })
	_ = c.conn.Close()
	b.stop()
	b.run()
	b.says("after all that")
	if got := text(t, b.bound(pdu.CmdBindReceiver).delivered()); got != "after all that" {
		t.Errorf("after another restart came %q", got)
	}
}

// What a customer has not answered when its bind ends is moved to its queue in one
// person's order, and so is what comes then.
func TestOrderWhenABindEnds(t *testing.T) {
	const n = 8
	b := begin(t, func(a *Application) { a.Customers[0].Value.DeliverWindow = n })
	for round := range 5 {
		c := b.bound(pdu.CmdBindReceiver)
		for i := range n {
			b.says(fmt.Sprint(round, ".", i))
		}
		for range n {
			c.deliverSM() // and no answer
		}
		_ = c.conn.Close()
		b.eventually("the bind is over", func() bool { return !b.running().customers["acme"].receives() })
		b.says(fmt.Sprint(round, ".", n))
		b.eventually("all is in the queue", func() bool { return b.queued() == n+1 })
		c = b.bound(pdu.CmdBindReceiver)
		for i := range n + 1 {
			if got := text(t, c.delivered()); got != fmt.Sprint(round, ".", i) {
				t.Fatalf("as number %d came %q", i, got)
			}
		}
		b.eventually("nothing is kept any more", func() bool { return b.queued() == 0 })
		_ = c.conn.Close()
	}
}

func TestFullMailboxHoldsTheFleetBack(t *testing.T) {
	b := begin(t, func(a *Application) { a.KeepMax = 3 })
	for range 4 {
		b.says("hi")
	}
	b.eventually("the fourth waits in the fleet", func() bool { return strings.Contains(b.log.String(), "keep_max") })
	if b.queued() != 3 {
		t.Errorf("%d are kept", b.queued())
	}
}

func TestKeptForNoLongerThanSaid(t *testing.T) {
	b := begin(t, func(a *Application) { a.KeepFor = options.Duration(time.Millisecond) })
	b.says("old news")
	b.eventually("it is let go", func() bool {
		return b.metric("switchboard_smpp_server_delivers_total", map[string]string{"outcome": "expired"}) == 1 && b.queued() == 0
	})
}

func TestMessagesFromPeople(t *testing.T) {
	b := begin(t, func(a *Application) {
		other := acme()
		other.Addresses = options.Names{"9*"}
		a.Customers = append(a.Customers, options.Pair[Customer]{Key: "other", Value: other})
	})
	c := b.bound(pdu.CmdBindReceiver)
	b.says("for somebody else", func(m *message.Message) { m.To = "9999" })
	b.says("hello @")
	m := c.delivered()
	if text(t, m) != "hello @" || m.DataCoding != 0 || m.Source.Addr != "27831234567" || m.Source.TON != pdu.TONInternational || m.Dest.Addr != "9292" {
		t.Errorf("got %+v", m)
	}
	b.says("naïve ☃", func(m *message.Message) { m.To, m.From = "+27830001111", "Friend" })
	m = c.delivered()
	if text(t, m) != "naïve ☃" || m.DataCoding != 8 || m.Source.TON != pdu.TONAlphanumeric || m.Dest.Addr != "27830001111" {
		t.Errorf("got %+v", m)
	}
	b.says("", func(m *message.Message) {
		had := message.NewObject(map[string]any{"payload": "AAH/", "data_coding": 4, "esm_class": 0})
		m.TransportMetadata.Set(smpp.DeliverKey, had)
	})
	if m = c.delivered(); string(m.ShortMessage) != "\x00\x01\xff" || m.DataCoding != 4 {
		t.Errorf("got %+v", m)
	}
	b.says("1", func(m *message.Message) {
		m.TransportType, m.SessionEvent = "ussd", message.SessionNew
		m.TransportMetadata.Set(smpp.DeliverKey, message.NewObject(map[string]any{"ussd_service_op": "01", "its_session_info": "0300"}))
	})
	m = c.delivered()
	op, _ := m.TLVs.Uint(pdu.TagUSSDServiceOp)
	if step, ok := m.TLVs.ITSSession(); !ok || op != 1 || step.Number != 3 {
		t.Errorf("got %+v", m)
	}
	b.says("", func(m *message.Message) { m.TransportType, m.SessionEvent = "ussd", message.SessionClose })
	if m = c.delivered(); len(m.ShortMessage) != 0 {
		t.Errorf("got %+v", m)
	}
}

func TestLongMessagesFromPeople(t *testing.T) {
	long := strings.Repeat("a long story ", 40) + "€"
	for name, version := range map[string]uint8{"udh": pdu.Version34, "sar": pdu.Version34, "payload": pdu.Version34, "": pdu.Version33} {
		t.Run("long_messages: "+name, func(t *testing.T) {
			b := begin(t, func(a *Application) { a.Customers[0].Value.LongMessages = name })
			c := b.dial()
			bind := login(pdu.CmdBindReceiver)
			bind.InterfaceVersion = version
			c.ask(bind)
			b.says(long)
			var parts []gsm.Part
			for total := 1; len(parts) < total; {
				m := c.delivered()
				if version < pdu.Version34 && len(m.TLVs) > 0 {
					t.Errorf("SMPP 3.3 got parameters: %v", m.TLVs)
				}
				p := smpp.PartOf(m)
				parts = append(parts, p.Part)
				total = int(p.Total)
			}
			got, err := gsm.Encoding{Coding: gsm.GSM7}.DecodeParts(parts)
			if err != nil || got != long || (len(parts) == 1) != (name == "payload") {
				t.Errorf("got %q in %d parts, %v", got, len(parts), err)
			}
		})
	}
}

// The parts of as many messages as the references have room for are not taken for
// each other's.
func TestReferencesDiffer(t *testing.T) {
	c, err := newCustomer("acme", acme())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint16]bool{}
	for range 256 {
		m := message.New()
		m.From, m.To, m.Content = "+27831234567", "9292", strings.Repeat("long ", 100)
		list, err := c.deliverSMs(m)
		if err != nil {
			t.Fatal(err)
		}
		p := smpp.PartOf(&list[0].body.Message)
		if !p.Multipart() || seen[p.Reference] {
			t.Fatalf("message %d of %d deliver_sm has the reference %d again", len(seen), len(list), p.Reference)
		}
		seen[p.Reference] = true
	}
}

func TestNobodysMessageIsSetAside(t *testing.T) {
	b := begin(t)
	m := b.says("hello?", func(m *message.Message) { m.To = "404" })
	dead := make(chan *broker.Delivery, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.broker.Consume(ctx, broker.Queue{Name: connector + ".inbound.dead"}, 1, func(d *broker.Delivery) { d.Ack(); dead <- d })
	}()
	defer func() { cancel(); <-done }()
	select {
	case d := <-dead:
		if !strings.Contains(string(d.Body), m.ID) || !strings.Contains(d.Headers["switchboard-error"], `"404"`) {
			t.Errorf("dead-lettered with %v", d.Headers)
		}
	case <-time.After(patience):
		t.Fatal("it was not dead-lettered")
	}
}

// What a customer does not take now comes again; what it refuses for good does
// not, and nothing else waits for it.
func TestRefusedDeliveries(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransceiver)
	b.says("one")
	p, _ := c.deliverSM()
	c.write(p.Respond(pdu.StatusRxTAppn))
	b.says("two")
	p, m := c.deliverSM()
	if text(t, m) != "two" {
		t.Errorf("what was put off holds the others up: %q came", text(t, m))
	}
	c.write(p.Respond(pdu.StatusRxPAppn))
	if m := c.delivered(); text(t, m) != "one" {
		t.Errorf("then came %q", text(t, m))
	}
	b.eventually("nothing is kept", func() bool { return b.queued() == 0 })
	if n := b.metric("switchboard_smpp_server_delivers_total", map[string]string{"outcome": "refused", "kind": "message"}); n != 1 {
		t.Errorf("%v were counted as refused", n)
	}
}

func TestUnansweredDeliveryComesAgain(t *testing.T) {
	b := begin(t, func(a *Application) { a.ResponseTimeout = options.Duration(50 * time.Millisecond) })
	c := b.bound(pdu.CmdBindTransceiver)
	b.says("hi")
	c.deliverSM()
	if m := c.delivered(); text(t, m) != "hi" {
		t.Errorf("then came %q", text(t, m))
	}
}

// A bind that dies with something in its window leaves it to another.
func TestAnotherBindTakesOver(t *testing.T) {
	b := begin(t)
	dying := b.bound(pdu.CmdBindTransceiver)
	b.says("hi")
	dying.deliverSM()
	healthy := b.bound(pdu.CmdBindReceiver)
	_ = dying.conn.Close()
	if m := healthy.delivered(); text(t, m) != "hi" {
		t.Errorf("got %q", text(t, m))
	}
}

func TestDeliverWindow(t *testing.T) {
	b := begin(t, func(a *Application) { a.Customers[0].Value.DeliverWindow = 2 })
	c := b.bound(pdu.CmdBindTransceiver)
	for range 3 {
		b.says("hi")
	}
	first, _ := c.deliverSM()
	c.deliverSM()
	b.eventually("the third waits", func() bool { return b.queued() == 3 })
	if p := c.ask(new(pdu.EnquireLink)); p.Command() != pdu.CmdEnquireLinkResp {
		t.Fatalf("got %s", p)
	}
	c.write(first.Respond(pdu.StatusOK))
	c.deliverSM()
}
