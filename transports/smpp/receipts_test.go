package smpp

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
	"switchboard/smpp/simulator"
	"switchboard/store"
	"switchboard/transports/smpp/binds"
	"switchboard/transports/smpp/submissions"
	"switchboard/transports/transporttest"
)

// Every way in which SMSCs spell ids and receipts finds its message.
func TestReceiptsFindTheirMessage(t *testing.T) {
	for name, c := range map[string]struct {
		behaviour simulator.Behaviour
		options   func(*Transport)
	}{
		"by parameters":            {simulator.Behaviour{Receipts: &simulator.Receipts{Form: "tlv"}}, nil},
		"by text":                  {simulator.Behaviour{Receipts: &simulator.Receipts{Form: "text"}}, nil},
		"in lower case":            {simulator.Behaviour{Receipts: &simulator.Receipts{Form: "text", Style: "lower"}}, nil},
		"with seconds":             {simulator.Behaviour{Receipts: &simulator.Receipts{Form: "text", Style: "seconds"}}, nil},
		"minimal":                  {simulator.Behaviour{Receipts: &simulator.Receipts{Form: "text", Style: "minimal"}}, nil},
		"in data_sm":               {simulator.Behaviour{Receipts: &simulator.Receipts{ViaDataSM: true}}, nil},
		"before the answer":        {simulator.Behaviour{Receipts: &simulator.Receipts{Early: 1}, Answers: &simulator.Answers{Delay: simulator.Fixed(100 * time.Millisecond)}}, nil},
		"hex, then decimal":        {simulator.Behaviour{IDs: &simulator.IDs{Format: "hex", InReceipts: "decimal", Start: 0xBEEF}}, nil},
		"decimal, then hex":        {simulator.Behaviour{IDs: &simulator.IDs{InReceipts: "hex", Start: 48879}}, nil},
		"upper, then lower":        {simulator.Behaviour{IDs: &simulator.IDs{Format: "upper_uuid", InReceipts: "uuid"}}, nil},
		"with leading zeros":       {simulator.Behaviour{IDs: &simulator.IDs{InReceipts: "decimal", ReceiptWidth: 10}}, nil},
		"declared hex and decimal": {simulator.Behaviour{IDs: &simulator.IDs{Format: "upper_hex", InReceipts: "decimal", Start: 0x100}}, func(o *Transport) { o.SubmitIDFormat, o.ReceiptIDFormat = receipt.Hexadecimal, receipt.Decimal }},
		"without esm_class": {
			simulator.Behaviour{Receipts: &simulator.Receipts{Form: "text", ESMClass: new(uint8)}},
			func(o *Transport) { o.DeliveryReportUseESMClass = false },
		},
		"a regex of one's own": {
			simulator.Behaviour{Receipts: &simulator.Receipts{Form: "text", Text: "<{id}|{stat}>"}},
			func(o *Transport) { o.DeliveryReportRegex = `<(?P<id>[^|]+)\|(?P<stat>\w+)>` },
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, simulator.Settings{Behaviour: c.behaviour}, func(o *Transport) {
				if c.options != nil {
					c.options(o)
				}
			})
			for range 3 {
				m := outgoing("hello")
				b.send(m)
				if e := b.line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != message.Delivered {
					t.Errorf("event = %s", e.Encode())
				}
			}
		})
	}
}

func TestFailedReceiptSaysWhy(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: &simulator.Receipts{
		Form: "text", Outcomes: []simulator.Outcome{{State: "UNDELIV", Error: "034", Rate: 1}}, Intermediate: 1,
	}}})
	b.send(outgoing("hello"))
	if e := b.line.NextEvent(t); e.DeliveryStatus != message.Pending || e.TransportMetadata.Text("smpp_delivery_status") != "ENROUTE" {
		t.Errorf("the intermediate notification became %s", e.Encode())
	}
	e := b.line.NextEvent(t)
	extra := e.Extra()
	if e.DeliveryStatus != message.Failed || extra.Text("failure_code") != "034" ||
		e.TransportMetadata.Text("smpp_delivery_status") != "UNDELIV" {
		t.Errorf("event = %s", e.Encode())
	}
}

// A message of several parts is delivered once, when all parts are, and failed
// once, when one is, whatever the order and however often.
func TestPartsMakeOneReport(t *testing.T) {
	for name, c := range map[string]struct {
		outcomes []string // of the parts
		want     message.DeliveryStatus
	}{
		"all delivered": {[]string{"DELIVRD", "DELIVRD", "DELIVRD"}, message.Delivered},
		"one failed":    {[]string{"DELIVRD", "UNDELIV", "DELIVRD"}, message.Failed},
		"all failed":    {[]string{"EXPIRED", "UNDELIV", "REJECTD"}, message.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: noReceipts()}})
			m := outgoing(strings.Repeat("0123456789", 31))
			b.send(m)
			for range 2 {
				for i := range c.outcomes {
					at := (i + 1) % len(c.outcomes)
					b.receipt(b.smsc.Submitted()[at], c.outcomes[at])
				}
			}
			if e := b.line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != c.want {
				t.Errorf("event = %s", e.Encode())
			}
			b.noOtherEvent()
		})
	}
}

// receipt has the SMSC report a state, and waits until it is taken.
func (b *bundle) receipt(r simulator.Received, state string) {
	b.Helper()
	if err := b.tryReceipt(r, state); err != nil {
		b.Fatal(err)
	}
}

// noOtherEvent sends a message of its own: what came before its report would be
// seen first.
func (b *bundle) noOtherEvent() {
	b.Helper()
	m := outgoing("the last")
	b.send(m)
	list := b.smsc.Submitted()
	b.receipt(list[len(list)-1], "DELIVRD")
	if e := b.line.NextEvent(b); e.MessageID != m.ID {
		b.Errorf("one event too many: %s", e.Encode())
	}
}

// States never go backwards, and what is said twice is reported once.
func TestReportsOnlyGoForward(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: noReceipts()}})
	b.send(outgoing("hello"))
	for _, state := range []string{"DELIVRD", "DELIVRD", "ENROUTE", "EXPIRED"} {
		b.receipt(b.smsc.Submitted()[0], state)
	}
	if e := b.line.NextEvent(t); e.DeliveryStatus != message.Delivered {
		t.Errorf("event = %s", e.Encode())
	}
	b.noOtherEvent()
	if n := b.metric("switchboard_smpp_receipts_total", "outcome", "repeated"); n != 3 {
		t.Errorf("%v receipts count as repeated, want 3", n)
	}
}

// A receipt finds its message also after a restart, and in another process.
func TestReceiptAfterRestart(t *testing.T) {
	v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: noReceipts()}})
	state := remember(t)
	first := connected(t, v.Addr(), state, nil, func(o *Transport) { o.BindMode = binds.ModeTransmitter })
	stop := transporttest.Start(t, first, transporttest.NewPublisher())
	m := outgoing("hello")
	if _, err := first.Send(within(t), m); err != nil {
		t.Fatal(err)
	}
	stop()
	line := transporttest.NewPublisher()
	second := connected(t, v.Addr(), state, nil, func(o *Transport) { o.BindMode = binds.ModeReceiver })
	transporttest.Start(t, second, line)
	b := &bundle{T: t, smsc: v}
	b.receipt(v.Submitted()[0], "DELIVRD")
	if e := line.NextEvent(t); e.MessageID != m.ID || e.RoutingMetadata.Text("switchboard_exposed") != "app" {
		t.Errorf("event = %s", e.Encode())
	}
	if _, err := second.Send(within(t), m); !message.IsPermanent(err) {
		t.Errorf("a receiver's Send = %v", err)
	}
}

// A receipt that nobody waits for is taken, counted, and kept.
func TestUnknownReceiptIsHeld(t *testing.T) {
	b := start(t, simulator.Settings{})
	if err := b.smsc.WaitBound(within(t), 1); err != nil {
		t.Fatal(err)
	}
	b.receipt(simulator.Received{MessageID: "4711", PDU: &pdu.PDU{Body: &pdu.SubmitSM{}}}, "DELIVRD")
	if n := b.metric("switchboard_smpp_receipts_total", "outcome", "held"); n != 1 {
		t.Errorf("%v receipts are held, want 1", n)
	}
	found, err := memoryOf(b.state).Get(t.Context(), "smpp/smpp_transport/held/4711")
	if err != nil || len(found) != 1 {
		t.Errorf("kept: %v, %v", found, err)
	}
}

// The receipt of a submit that was never answered finds it by its people.
func TestReceiptForUnansweredSubmit(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Answers: &simulator.Answers{Lost: 1}, Receipts: noReceipts()}},
		func(o *Transport) { o.SubmitTimeout = quick })
	m := outgoing("hello")
	if _, err := b.Send(within(t), m); err == nil {
		t.Fatal("Send succeeded without an answer")
	}
	b.receipt(b.smsc.Submitted()[0], "DELIVRD")
	e, err := b.running(within(t))
	if err != nil {
		t.Fatal(err)
	}
	e.submissions.Sweep(t.Context(), time.Now().Add(heldPatience))
	if e := b.line.NextEvent(t); e.MessageID != m.ID || e.TransportMetadata.Text("smpp_matched_by") != "address" {
		t.Errorf("event = %s", e.Encode())
	}
	if id, err := b.SendAgain(within(t), m); err != nil || id != b.smsc.Submitted()[0].MessageID {
		t.Errorf("SendAgain = %q, %v; want the id of the receipt", id, err)
	}
}

// heldPatience is how long a held receipt waits for its id alone.
const heldPatience = 10 * time.Second

// A receipt whose holder has died is found by the message it is about, part by
// part.
func TestReceiptsHeldByADeadProcess(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Answers: &simulator.Answers{Lost: 1}, Receipts: noReceipts()}},
		func(o *Transport) { o.SubmitTimeout = quick })
	m := outgoing(strings.Repeat("0123456789", 20))
	if _, err := b.Send(within(t), m); err == nil {
		t.Fatal("Send succeeded without an answer")
	}
	for _, r := range b.smsc.Submitted() {
		b.receipt(r, "DELIVRD")
		b.age("smpp/smpp_transport/held/" + r.MessageID)
	}
	b.stop()
	next := connected(t, b.smsc.Addr(), b.state, nil)
	transporttest.Start(t, next, b.line)
	if _, err := next.SendAgain(within(t), m); err != nil {
		t.Errorf("SendAgain says %v", err)
	}
	if event := b.line.NextEvent(t); event.MessageID != m.ID || event.DeliveryStatus != message.Delivered {
		t.Errorf("event = %s", event.Encode())
	}
}

// age makes a held receipt older than the heldPatience with it.
func (b *bundle) age(key string) {
	b.Helper()
	found, err := memoryOf(b.state).Get(b.Context(), key)
	var r submissions.Receipt
	if err != nil || json.Unmarshal([]byte(found[key]), &r) != nil {
		b.Fatalf("%s is %q: %v", key, found[key], err)
	}
	r.Held = r.Held.Add(-heldPatience)
	text, _ := json.Marshal(r)
	if err := memoryOf(b.state).Set(b.Context(), store.Entry{Key: key, Value: string(text), TTL: time.Hour}); err != nil {
		b.Fatal(err)
	}
}

// A receipt is read whatever its data_coding says of its octets.
func TestReceiptsThatContradictTheirCoding(t *testing.T) {
	const text = "id:a_b@1 sub:001 dlvrd:001 submit date:2611210700 done date:2611210701 stat:DELIVRD err:000 text:"
	encoded := func(c gsm.Coding) []byte {
		octets, err := gsm.Encoding{Coding: c}.Encode(text)
		if err != nil {
			t.Fatal(err)
		}
		return octets
	}
	header := []byte{5, 0, 3, 7, 1, 1}
	for name, m := range map[string]pdu.Message{
		"ASCII as UCS2":                  {DataCoding: 8, ShortMessage: []byte(text)},
		"ASCII as data":                  {DataCoding: 4, ShortMessage: []byte(text)},
		"ASCII as Cyrillic":              {DataCoding: 6, ShortMessage: []byte(text)},
		"ASCII as something reserved":    {DataCoding: 0xBF, ShortMessage: []byte(text)},
		"ASCII as the default alphabet":  {ShortMessage: []byte(text)},
		"ASCII that ends in NUL":         {DataCoding: 8, ShortMessage: []byte(text + "\x00")},
		"ASCII in message_payload":       {DataCoding: 8, TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte(text)}}},
		"ASCII that says it is a part":   {DataCoding: 8, ESMClass: pdu.ESMUDHI, ShortMessage: []byte(text)},
		"ASCII after a header":           {DataCoding: 8, ESMClass: pdu.ESMUDHI, ShortMessage: append(header, text...)},
		"GSM 03.38":                      {ShortMessage: encoded(gsm.GSM7)},
		"GSM 03.38 as Latin 1":           {DataCoding: 3, ShortMessage: encoded(gsm.GSM7)},
		"UCS2":                           {DataCoding: 8, ShortMessage: encoded(gsm.UCS2)},
		"UCS2 as the default alphabet":   {ShortMessage: encoded(gsm.UCS2)},
		"UCS2, the low octet first":      {DataCoding: 8, ShortMessage: encoded(gsm.UCS2LE)},
		"an override of another meaning": {DataCoding: 2, ShortMessage: []byte(text)},
	} {
		t.Run(name, func(t *testing.T) {
			tr := connected(t, "127.0.0.1:1", remember(t), nil, func(o *Transport) {
				o.DataCodingOverrides = map[string]string{"2": "ucs2"}
			})
			e, err := newRun(tr, transporttest.NewPublisher())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = e.state.Close() }()
			m.ESMClass |= pdu.ESMReceipt
			if r, is := e.receiver.readReceipt(&m); !is || r.ID != "a_b@1" || r.Raw != "DELIVRD" || r.Done.IsZero() {
				t.Errorf("it is read as %+v, %t", r, is)
			}
		})
	}
}

// What somebody has read was delivered, as Vumi has it; an intermediate
// notification is never the end.
func TestAcceptedState(t *testing.T) {
	tr := connected(t, "127.0.0.1:1", remember(t), nil)
	e, err := newRun(tr, transporttest.NewPublisher())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.state.Close() }()
	for class, want := range map[pdu.ESMClass]receipt.Status{pdu.ESMReceipt: receipt.Delivered, pdu.ESMIntermediate: receipt.Pending} {
		m := pdu.Message{ESMClass: class, TLVs: pdu.TLVs{
			{Tag: pdu.TagReceiptedMessageID, Value: []byte("1\x00")}, pdu.Byte(pdu.TagMessageState, uint8(pdu.StateAccepted)),
		}}
		if r, _ := e.receiver.readReceipt(&m); r.Status != want {
			t.Errorf("esm_class %#x: %s, want %s", uint8(class), r.Status, want)
		}
	}
	m := pdu.Message{ESMClass: pdu.ESMReceipt, ShortMessage: []byte("id:1 stat:0 err:000 text:")}
	if r, _ := e.receiver.readReceipt(&m); r.Status != receipt.Delivered {
		t.Errorf("stat:0 is %s", r.Status)
	}
}
