package simulator_test

import (
	"strings"
	"testing"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
	"switchboard/smpp/simulator"
)

func reporting(r simulator.Receipts) simulator.Settings {
	return simulator.Settings{Behaviour: simulator.Behaviour{Receipts: &r}}
}

func reported(t *testing.T, m *pdu.Message) receipt.Receipt {
	t.Helper()
	got, err := receipt.Parser{}.Parse(m.TLVs, string(m.Payload()))
	if err != nil {
		t.Fatalf("receipt %q: %v", m.ShortMessage, err)
	}
	return got
}

// Every form and style is read by the reader the transport uses.
func TestReceiptForms(t *testing.T) {
	for _, form := range []string{"both", "tlv", "text"} {
		for _, style := range []string{"standard", "lower", "seconds", "minimal", "padded"} {
			v := start(t, reporting(simulator.Receipts{Form: form, Style: style, Outcomes: []simulator.Outcome{{State: "UNDELIV", Error: "011", Rate: 1}}}))
			c := bound(t, v, pdu.CmdBindTransceiver, "esme")
			id := c.ask(submit("hello")).Body.(*pdu.SubmitSMResp).MessageID
			m := c.delivered()
			got := reported(t, m)
			if receipt.Verbatim.Normal(got.ID) != id || got.Status != receipt.Failed {
				t.Errorf("%s, %s: %+v", form, style, got)
			}
			if _, tlv := m.TLVs.Get(pdu.TagReceiptedMessageID); tlv != (form != "text") || len(m.ShortMessage) > 0 != (form != "tlv") {
				t.Errorf("%s: %q with parameters %v", form, m.ShortMessage, m.TLVs)
			}
		}
	}
}

func TestReceiptTextOfOnesOwn(t *testing.T) {
	v := start(t, reporting(simulator.Receipts{Form: "text", Text: "{id}|{stat}|{text}"}))
	c := bound(t, v, pdu.CmdBindTransceiver, "esme")
	c.ask(submit("a text of more than twenty characters"))
	if got := string(c.delivered().ShortMessage); got != "1|DELIVRD|a text of more than " {
		t.Errorf("got %q", got)
	}
}

func TestReceiptsThatWereNotAskedFor(t *testing.T) {
	plain := submit("x")
	plain.RegisteredDelivery = pdu.ReceiptNone
	failure := submit("x")
	failure.RegisteredDelivery = pdu.ReceiptFailure
	for name, c := range map[string]struct {
		receipts simulator.Receipts
		body     *pdu.SubmitSM
		want     int
	}{
		"none":                 {simulator.Receipts{}, plain, 0},
		"always":               {simulator.Receipts{Always: true}, plain, 1},
		"failures, and is":     {simulator.Receipts{Outcomes: []simulator.Outcome{{State: "REJECTD", Rate: 1}}}, failure, 1},
		"failures, and is not": {simulator.Receipts{}, failure, 0},
		"lost":                 {simulator.Receipts{Lost: 1}, submit("x"), 0},
		"duplicated":           {simulator.Receipts{Duplicated: 1}, submit("x"), 2},
		"intermediate":         {simulator.Receipts{Intermediate: 1}, submit("x"), 2},
		"unmatched":            {simulator.Receipts{Unmatched: 1}, submit("x"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			client := bound(t, start(t, reporting(c.receipts)), pdu.CmdBindTransceiver, "esme")
			client.ask(c.body)
			client.send(new(pdu.EnquireLink))
			got := 0
			for p := client.next(); p.Command() != pdu.CmdEnquireLinkResp; p = client.next() {
				got++
				client.write(p.Respond(pdu.StatusOK))
			}
			if got != c.want {
				t.Errorf("%d receipts, want %d", got, c.want)
			}
		})
	}
}

func TestIntermediateComesFirst(t *testing.T) {
	c := bound(t, start(t, reporting(simulator.Receipts{Intermediate: 1})), pdu.CmdBindTransceiver, "esme")
	c.ask(submit("x"))
	first, second := c.delivered(), c.delivered()
	if first.ESMClass != pdu.ESMIntermediate || reported(t, first).Status != receipt.Pending || reported(t, second).Status != receipt.Delivered {
		t.Errorf("got %v and %v", first, second)
	}
}

func TestReceiptBeforeTheAnswer(t *testing.T) {
	v := start(t, reporting(simulator.Receipts{Early: 1}))
	tx, rx := bound(t, v, pdu.CmdBindTransmitter, "esme"), bound(t, v, pdu.CmdBindReceiver, "esme")
	tx.send(submit("x"))
	id := reported(t, rx.delivered()).ID
	if answered := v.Counters(); answered.ReceiptsTaken > 1 {
		t.Fatal(answered)
	}
	if got := tx.next().Body.(*pdu.SubmitSMResp).MessageID; got != id {
		t.Errorf("answered %s, reported %s", got, id)
	}
}

func TestReceiptsComeInAnyOrder(t *testing.T) {
	v := start(t, reporting(simulator.Receipts{Delay: simulator.Between(0, 100*time.Millisecond)}))
	tx, rx := bound(t, v, pdu.CmdBindTransmitter, "esme"), bound(t, v, pdu.CmdBindReceiver, "esme")
	for range 20 {
		tx.ask(submit("x"))
	}
	var order []string
	seen := map[string]bool{}
	for range 20 {
		id := reported(t, rx.delivered()).ID
		order, seen[id] = append(order, id), true
	}
	if len(seen) != 20 || strings.Join(order, " ") == "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20" {
		t.Errorf("got %v", order)
	}
}

func TestIDs(t *testing.T) {
	for name, c := range map[string]struct {
		ids               simulator.IDs
		answer, inReceipt string
	}{
		"decimal": {simulator.IDs{Start: 255}, "255", "255"},
		"padded":  {simulator.IDs{Start: 255, Width: 10}, "0000000255", "0000000255"},
		"hex, decimal in receipts": {
			simulator.IDs{Format: "hex", Start: 255, InReceipts: "decimal", ReceiptWidth: 6}, "ff", "000255",
		},
		"upper":  {simulator.IDs{Format: "upper_hex", Start: 255, Width: 8, InReceipts: "hex"}, "000000FF", "ff"},
		"prefix": {simulator.IDs{Prefix: "msg-"}, "msg-1", "msg-1"},
	} {
		t.Run(name, func(t *testing.T) {
			client := bound(t, start(t, simulator.Settings{Behaviour: simulator.Behaviour{IDs: &c.ids}}), pdu.CmdBindTransceiver, "esme")
			answer := client.ask(submit("x")).Body.(*pdu.SubmitSMResp).MessageID
			if inReceipt := reported(t, client.delivered()).ID; answer != c.answer || inReceipt != c.inReceipt {
				t.Errorf("answered %s, reported %s; want %s, %s", answer, inReceipt, c.answer, c.inReceipt)
			}
		})
	}
	one := bound(t, start(t, simulator.Settings{Behaviour: simulator.Behaviour{IDs: &simulator.IDs{Format: "uuid"}}}), pdu.CmdBindTransmitter, "esme")
	if a, b := one.ask(submit("x")).Body.(*pdu.SubmitSMResp).MessageID, one.ask(submit("x")).Body.(*pdu.SubmitSMResp).MessageID; len(a) != 36 || a == b {
		t.Errorf("uuids %s and %s", a, b)
	}
}

func TestReceiptsWaitForAReceiver(t *testing.T) {
	v := start(t, simulator.Settings{})
	tx := bound(t, v, pdu.CmdBindTransmitter, "esme")
	tx.ask(submit("x"))
	if got := v.Counters().Waiting; got != 1 {
		t.Fatalf("%d wait, want 1", got)
	}
	other := bound(t, v, pdu.CmdBindReceiver, "other")
	first := bound(t, v, pdu.CmdBindReceiver, "esme")
	if p := first.next(); p.Command() != pdu.CmdDeliverSM { // and is not answered
		t.Fatalf("got %s", p)
	}
	_ = first.conn.Close()
	if got := reported(t, bound(t, v, pdu.CmdBindReceiver, "esme").delivered()); got.ID != "1" {
		t.Errorf("got %+v", got)
	}
	if p, err := other.read(20 * time.Millisecond); err == nil {
		t.Errorf("another account got %s", p)
	}
}

func TestRefusedReceiptIsTriedAgain(t *testing.T) {
	v := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Delivery: &simulator.Delivery{Retries: 1, Pause: 1}}})
	c := bound(t, v, pdu.CmdBindTransceiver, "esme")
	c.ask(submit("x"))
	for range 2 {
		p := c.next()
		c.write(p.Respond(pdu.StatusRxTAppn))
	}
	if err := v.Wait(within(t), "giving up", func(c simulator.Counters) bool { return c.Undeliverable == 1 && c.Retried == 1 }); err != nil {
		t.Error(err)
	}
}

func TestQueryCancelReplace(t *testing.T) {
	v := start(t, reporting(simulator.Receipts{Delay: simulator.Fixed(time.Hour)}))
	c := bound(t, v, pdu.CmdBindTransceiver, "esme")
	id := c.ask(submit("x")).Body.(*pdu.SubmitSMResp).MessageID
	source := submit("x").Source
	query := &pdu.QuerySM{MessageID: id, Source: source}
	if got := c.ask(query).Body.(*pdu.QuerySMResp); got.State != pdu.StateEnroute || got.MessageID != id || got.FinalDate != "" {
		t.Errorf("query: %+v", got)
	}
	if got := c.ask(&pdu.ReplaceSM{MessageID: id, Source: source, ShortMessage: []byte("y")}).Status; got != pdu.StatusOK {
		t.Errorf("replace: %s", got)
	}
	if got := c.ask(&pdu.CancelSM{MessageID: id}).Status; got != pdu.StatusOK {
		t.Errorf("cancel: %s", got)
	}
	if got := c.ask(&pdu.CancelSM{MessageID: id}).Status; got != pdu.StatusCancelFail {
		t.Errorf("cancel again: %s", got)
	}
	if got := c.ask(query).Body.(*pdu.QuerySMResp); got.State != pdu.StateDeleted || got.FinalDate == "" {
		t.Errorf("query after cancel: %+v", got)
	}
	if got := c.ask(&pdu.QuerySM{MessageID: "nothing"}).Status; got != pdu.StatusInvMsgID {
		t.Errorf("query of nothing: %s", got)
	}
}

func TestSubmitMultiAndDataSM(t *testing.T) {
	v := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: &simulator.Receipts{ViaDataSM: true}}})
	c := bound(t, v, pdu.CmdBindTransceiver, "esme")
	m := submit("to two").Message
	c.ask(&pdu.SubmitMulti{Message: m, Dests: []pdu.Destination{{Address: simulator.Number("31611111111")}, {Address: simulator.Number("31622222222")}}})
	for _, from := range []string{"31611111111", "31622222222"} {
		p := c.next()
		body, ok := p.Body.(*pdu.DataSM)
		if !ok || body.Source.Addr != from {
			t.Errorf("got %s %+v", p, p.Body)
		}
		c.write(p.Respond(pdu.StatusOK))
	}
	data := &pdu.DataSM{Source: m.Source, Dest: simulator.Number("31612345678"), TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("by data sm")}}}
	if got := c.ask(data); got.Body.(*pdu.DataSMResp).MessageID != "2" {
		t.Errorf("got %s", got)
	}
	if list := v.Submitted(); len(list) != 2 || list[1].Text() != "by data sm" {
		t.Errorf("recorded %+v", list)
	}
}

// SMPP 3.3 has no optional parameters.
func TestNoParametersForVersion33(t *testing.T) {
	v := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Links: &simulator.Links{UnknownTLVs: true}}})
	c := dial(t, v)
	c.ask(&pdu.Bind{ID: pdu.CmdBindTransceiver, SystemID: "esme", InterfaceVersion: pdu.Version33})
	if got := c.ask(submit("x")).Body.(*pdu.SubmitSMResp).TLVs; len(got) != 0 {
		t.Errorf("answer with %v", got)
	}
	if m := c.delivered(); len(m.TLVs) != 0 || reported(t, m).ID != "1" {
		t.Errorf("receipt %q with %v", m.ShortMessage, m.TLVs)
	}
}
