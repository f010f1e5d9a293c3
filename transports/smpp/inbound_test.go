package smpp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/smpp"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
	"switchboard/transports/transporttest"
)

// says has a person say something and waits until the SMSC is told that it is
// accepted.
func (b *bundle) says(m simulator.Incoming) {
	b.Helper()
	if m.From == "" {
		m.From, m.To = "27831234567", "9292"
	}
	if err := b.smsc.Deliver(within(b), m); err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) bound() *bundle {
	b.Helper()
	if err := b.smsc.WaitBound(within(b), 1); err != nil {
		b.Fatal(err)
	}
	return b
}

func TestLongMessagesComeTogether(t *testing.T) {
	long := strings.Repeat("naïve ☃ 🎲 ", 40) + "end"
	plain := strings.Repeat("a plain text {with} escapes ", 20) + "end"
	for name, m := range map[string]simulator.Incoming{
		"8 bits":            {Text: plain},
		"16 bits":           {Text: plain, Method: "udh16"},
		"sar":               {Text: plain, Method: "sar"},
		"payload":           {Text: plain, Method: "payload"},
		"ucs2":              {Text: long},
		"packed":            {Text: plain, Coding: "gsm7-packed"},
		"out of order":      {Text: long, Order: []int{2, 0, 3, 1, 5, 4, 6}},
		"shuffled":          {Text: long, Shuffle: true},
		"data_sm":           {Text: long, ViaData: true},
		"latin1":            {Text: strings.Repeat("fenêtre ouverte ", 20), Coding: "latin1"},
		"one part, plainly": {Text: "hello"},
	} {
		t.Run(name, func(t *testing.T) {
			overrides := func(o *Transport) {
				if name == "packed" {
					o.DataCodingOverrides = map[string]string{"0": "gsm0338-packed"}
				}
			}
			b := start(t, simulator.Settings{}, overrides).bound()
			b.says(m)
			if got := b.line.Next(t); got.Content != m.Text {
				t.Errorf("received %q\nwant %q", got.Content, m.Text)
			}
		})
	}
}

func TestBinaryIsKept(t *testing.T) {
	b := start(t, simulator.Settings{}).bound()
	data := []byte{0, 1, 2, 0xFF, 0xFE}
	b.says(simulator.Incoming{Data: data})
	m := b.line.Next(t)
	meta := m.TransportMetadata.Object(smpp.DeliverKey)
	kept, err := base64.StdEncoding.DecodeString(meta.Text("payload"))
	if err != nil || !bytes.Equal(kept, data) || m.Content != "" {
		t.Errorf("received %s", m.Encode())
	}
}

// Parts that different processes get, one of them after a restart of the other,
// make one message.
func TestPartsAcrossRestarts(t *testing.T) {
	v := simulate(t, simulator.Settings{})
	state := remember(t)
	text := strings.Repeat("0123456789", 40)
	one := func(order []int) *transporttest.Publisher {
		line := transporttest.NewPublisher()
		stop := transporttest.Start(t, connected(t, v.Addr(), state, nil), line)
		defer stop()
		b := &bundle{T: t, smsc: v}
		b.bound()
		b.sendParts(text, order)
		return line
	}
	one([]int{2})
	one([]int{0, 2}) // and one that came before
	if m := one([]int{1}).Next(t); m.Content != text {
		t.Errorf("received %q", m.Content)
	}
}

// sendParts delivers some of the segments of a text of three, under one
// reference.
func (b *bundle) sendParts(text string, order []int) {
	b.Helper()
	for _, i := range order {
		chunk := text[i*150 : min(len(text), (i+1)*150)]
		err := b.smsc.DeliverPDU(within(b), "", &pdu.DeliverSM{Message: pdu.Message{
			Source: simulator.Number("27831234567"), Dest: simulator.Number("9292"), ESMClass: pdu.ESMUDHI,
			ShortMessage: append([]byte{5, 0, 3, 77, 3, byte(i + 1)}, chunk...),
		}})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// A part that comes again after the whole is no new message.
func TestPartComesAgain(t *testing.T) {
	b := start(t, simulator.Settings{}).bound()
	text := strings.Repeat("0123456789", 40)
	b.sendParts(text, []int{0, 1, 2, 2, 1})
	b.says(simulator.Incoming{Text: "the last"})
	if m := b.line.Next(t); m.Content != text {
		t.Errorf("received %q", m.Content)
	}
	if m := b.line.Next(t); m.Content != "the last" {
		t.Errorf("received %q", m.Content)
	}
	e, err := b.running(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if due := e.receiver.parts.Due(time.Now().Add(48 * time.Hour)); len(due) != 0 {
		t.Errorf("waits for other parts of %+v", due)
	}
}

// Each part of a long message is decoded by its own coding.
func TestPartsInDifferentCodings(t *testing.T) {
	b := start(t, simulator.Settings{}).bound()
	for _, m := range []pdu.Message{
		{ShortMessage: []byte("\x05\x00\x03\x11\x02\x01latin ")},
		{DataCoding: pdu.DataCodingUCS2, ShortMessage: []byte("\x05\x00\x03\x11\x02\x02\x04\x3a\x04\x38\x04\x40")},
	} {
		m.Source, m.Dest, m.ESMClass = simulator.Number("27831234567"), simulator.Number("9292"), pdu.ESMUDHI
		if err := b.smsc.DeliverPDU(within(t), "", &pdu.DeliverSM{Message: m}); err != nil {
			t.Fatal(err)
		}
	}
	if m := b.line.Next(t); m.Content != "latin кир" {
		t.Errorf("received %s", m.Encode())
	}
}

// What never becomes whole is received as it is, also after a restart.
func TestIncompleteMessageIsReceived(t *testing.T) {
	v := simulate(t, simulator.Settings{})
	state := remember(t)
	short := func(o *Transport) { o.ReassemblyTTL = quick }
	stop := transporttest.Start(t, connected(t, v.Addr(), state, nil, short), transporttest.NewPublisher())
	b := &bundle{T: t, smsc: v}
	b.bound()
	text := strings.Repeat("0123456789", 40)
	b.sendParts(text, []int{0, 2})
	stop()
	line := transporttest.NewPublisher()
	transporttest.Start(t, connected(t, v.Addr(), state, nil, short), line)
	m := line.Next(t)
	meta := m.TransportMetadata.Object(smpp.DeliverKey)
	if m.Content != text[:150]+text[300:] || meta.Raw("missing_parts") != "[2]" || meta.Raw("parts") != "3" {
		t.Errorf("received %s", m.Encode())
	}
}

func TestBrokerAwayMessageComesAgain(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Delivery: &simulator.Delivery{Retries: -1}}}).bound()
	for want, refusal := range map[string]error{
		"ESME_RX_T_APPN": errors.New("the broker is away"), "ESME_RX_P_APPN": message.Permanent(errors.New("never")),
	} {
		b.line.Refuse(refusal)
		err := b.smsc.Deliver(within(t), simulator.Incoming{From: "27831234567", To: "9292", Text: "hello"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %v the SMSC was told %v, want %s", refusal, err, want)
		}
	}
}

func TestUSSDSession(t *testing.T) {
	b := start(t, simulator.Settings{}).bound()
	call, err := b.smsc.Dial(within(t), "", "27831234567", "*120*1#")
	if err != nil {
		t.Fatal(err)
	}
	m := b.line.Next(t)
	if m.SessionEvent != message.SessionNew || m.TransportType != "ussd" || m.Content != "*120*1#" {
		t.Errorf("received %s", m.Encode())
	}
	b.send(m.Reply("Your name?"))
	if p, err := call.Next(within(t)); err != nil || p.Text != "Your name?" || p.End {
		t.Fatalf("the phone shows %+v, %v", p, err)
	}
	if err := call.Reply(within(t), "Ann"); err != nil {
		t.Fatal(err)
	}
	m = b.line.Next(t)
	if m.SessionEvent != message.SessionResume || m.Content != "Ann" {
		t.Errorf("received %s", m.Encode())
	}
	b.send(m.Reply("Bye", message.EndSession))
	if p, err := call.Next(within(t)); err != nil || p.Text != "Bye" || !p.End {
		t.Errorf("the phone shows %+v, %v", p, err)
	}
}

func TestPersonHangsUp(t *testing.T) {
	b := start(t, simulator.Settings{}).bound()
	call, err := b.smsc.Dial(within(t), "", "27831234567", "*120#")
	if err != nil {
		t.Fatal(err)
	}
	b.line.Next(t)
	if err := call.HangUp(within(t)); err != nil {
		t.Fatal(err)
	}
	if m := b.line.Next(t); m.SessionEvent != message.SessionClose {
		t.Errorf("received %s", m.Encode())
	}
}

// As with Vumi an empty message is refused, unless it is allowed; what is empty
// in a session, or is data, is taken.
func TestEmptyMessages(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Delivery: &simulator.Delivery{Retries: -1}}}).bound()
	err := b.smsc.DeliverPDU(within(t), "", &pdu.DeliverSM{Message: pdu.Message{Source: simulator.Number("27831234567"), Dest: simulator.Number("9292")}})
	if err == nil || !strings.Contains(err.Error(), "ESME_RX_P_APPN") {
		t.Errorf("the SMSC was told %v", err)
	}
	b.says(simulator.Incoming{Data: []byte{0}})
	m := b.line.Next(t)
	if meta := m.TransportMetadata.Object(smpp.DeliverKey); meta.Text("payload") != "AA==" {
		t.Errorf("received %s", m.Encode())
	}

	b = start(t, simulator.Settings{}, func(o *Transport) { o.AllowEmptyMessages = true }).bound()
	b.says(simulator.Incoming{Text: ""})
	if body := string(b.line.Next(t).Encode()); !strings.Contains(body, `"content": ""`) {
		t.Errorf("received %s", body)
	}
	b.says(simulator.Incoming{Text: "hello"})
	if m := b.line.Next(t); m.Content != "hello" {
		t.Errorf("received %s", m.Encode())
	}
}

// A step's data coding scheme 0x0F is the default alphabet; elsewhere the value
// means nothing.
func TestUSSDInTheDefaultAlphabet(t *testing.T) {
	b := start(t, simulator.Settings{}).bound()
	for _, c := range []struct {
		tlvs pdu.TLVs
		want string
	}{
		{pdu.TLVs{pdu.Byte(pdu.TagUSSDServiceOp, pdu.USSDPSSRIndication)}, "*120#@"},
		{nil, ""},
	} {
		err := b.smsc.DeliverPDU(within(t), "", &pdu.DeliverSM{Message: pdu.Message{
			Source: simulator.Number("27831234567"), Dest: simulator.Number("9292"), DataCoding: 0x0F, ShortMessage: []byte("*120#\x00"), TLVs: c.tlvs,
		}})
		if err != nil {
			t.Fatal(err)
		}
		if m := b.line.Next(t); m.Content != c.want {
			t.Errorf("received %s, want %q", m.Encode(), c.want)
		}
	}
}
