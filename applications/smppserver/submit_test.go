package smppserver

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

func TestSubmitReachesTheFleet(t *testing.T) {
	b := begin(t, func(a *Application) { a.Customers[0].Value.SendVia, a.Customers[0].Value.Endpoint = "smpp_nl", "bulk" })
	c := b.bound(pdu.CmdBindTransceiver)
	id := c.submit(simple("héllo @ {you}"))
	m := b.sent()
	got := []string{m.ID, m.From, m.To, m.Content, m.TransportName, m.TransportType, m.Endpoint()}
	want := []string{id, "9292", "+27831234567", "héllo @ {you}", "smpp_nl", "sms", "bulk"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	from := m.HelperMetadata.Object(helperKey)
	if from.Text("system_id") != "acme" {
		t.Errorf("helper_metadata is %s", m.HelperMetadata.String())
	}
}

// What a submit says beside its text arrives under the keys the SMPP transport
// reads.
func TestSubmitOptions(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransmitter)
	euro, _ := gsm.Encoding{Coding: gsm.UCS2}.Encode("€ 5")
	for name, s := range map[string]struct {
		change  func(*pdu.Message)
		content string
		want    map[string]string
	}{
		"nothing":        {func(m *pdu.Message) { m.RegisteredDelivery = 0 }, "hi", map[string]string{"registered_delivery": ""}},
		"receipts":       {func(m *pdu.Message) { m.RegisteredDelivery = 0x12 }, "hi", map[string]string{"registered_delivery": "17"}},
		"validity":       {func(m *pdu.Message) { m.ValidityPeriod = "000001000000000R" }, "hi", map[string]string{"validity": `"000001000000000R"`}},
		"schedule":       {func(m *pdu.Message) { m.ScheduleDeliveryTime = "330101120000000+" }, "hi", map[string]string{"schedule": `"330101120000000+"`}},
		"priority":       {func(m *pdu.Message) { m.Priority = 2 }, "hi", map[string]string{"priority": "2"}},
		"service type":   {func(m *pdu.Message) { m.ServiceType = "WAP" }, "hi", map[string]string{"service_type": `"WAP"`}},
		"protocol":       {func(m *pdu.Message) { m.ProtocolID = 64 }, "hi", map[string]string{"protocol_id": "64"}},
		"replace":        {func(m *pdu.Message) { m.ReplaceIfPresent = 1 }, "hi", map[string]string{"replace": "true"}},
		"flash":          {func(m *pdu.Message) { m.DataCoding = 0x10 }, "hi", map[string]string{"flash": "true", "data_coding": ""}},
		"flash in UCS2":  {func(m *pdu.Message) { m.DataCoding, m.ShortMessage = 0x18, euro }, "€ 5", map[string]string{"flash": "true"}},
		"UCS2":           {func(m *pdu.Message) { m.DataCoding, m.ShortMessage = 8, euro }, "€ 5", map[string]string{"data_coding": "", "payload": ""}},
		"Latin-1":        {func(m *pdu.Message) { m.DataCoding, m.ShortMessage = 3, []byte("caf\xe9") }, "café", map[string]string{"payload": ""}},
		"class 2":        {func(m *pdu.Message) { m.DataCoding = 0xF2 }, "hi", map[string]string{"data_coding": "242", "flash": ""}},
		"octets":         {func(m *pdu.Message) { m.DataCoding, m.ShortMessage = 4, []byte{0, 1, 255} }, "", map[string]string{"payload": `"AAH/"`, "data_coding": "4", "udhi": ""}},
		"no septets":     {func(m *pdu.Message) { m.ShortMessage = []byte{'a', 0xE9} }, "a\uFFFD", map[string]string{"payload": `"Yek="`, "data_coding": "0"}},
		"empty":          {func(m *pdu.Message) { m.ShortMessage = nil }, "", map[string]string{"payload": ""}},
		"ports":          {func(m *pdu.Message) { m.ESMClass, m.ShortMessage = pdu.ESMUDHI, []byte{6, 5, 4, 0x15, 0x81, 0, 0, 'x'} }, "", map[string]string{"payload": `"BgUEFYEAAHg="`, "udhi": "true"}},
		"a broken UDH":   {func(m *pdu.Message) { m.ESMClass, m.ShortMessage = pdu.ESMUDHI, []byte{9, 1} }, "", map[string]string{"payload": `"CQE="`, "udhi": "true"}},
		"user reference": {func(m *pdu.Message) { m.TLVs.Set(pdu.Short(pdu.TagUserMessageReference, 7)) }, "hi", map[string]string{"user_message_reference": "7"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.submit(simple("hi", s.change))
			m := b.sent()
			if m.Content != s.content {
				t.Errorf("content is %q, want %q", m.Content, s.content)
			}
			for key, want := range s.want {
				if got := m.TransportMetadata.Raw(key); got != want {
					t.Errorf("%s is %s, want %s", key, got, want)
				}
			}
		})
	}
}

// What a data_coding means to a customer may be the customer's own.
func TestDataCodingOverrides(t *testing.T) {
	b := begin(t, func(a *Application) {
		a.Customers[0].Value.DataCodingOverrides = map[string]string{"1": "gsm0338"}
		a.Customers[0].Value.DefaultAlphabet = "latin1"
	})
	c := b.bound(pdu.CmdBindTransceiver)
	c.submit(simple("{Müller} @ €", func(m *pdu.Message) { m.DataCoding = pdu.DataCodingASCII }))
	if m := b.sent(); m.Content != "{Müller} @ €" {
		t.Errorf("data_coding 1 became %q", m.Content)
	}
	c.submit(simple("", func(m *pdu.Message) { m.ShortMessage = []byte("caf\xe9 @") }))
	if m := b.sent(); m.Content != "café @" {
		t.Errorf("data_coding 0 became %q", m.Content)
	}
	b.says("tschüß @")
	if m := c.delivered(); m.DataCoding != 0 || string(m.ShortMessage) != "tsch\xfc\xdf @" {
		t.Errorf("a person's message became %d %q", m.DataCoding, m.ShortMessage)
	}
}

func TestUSSD(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransceiver)
	c.submit(simple("bye", func(m *pdu.Message) {
		m.TLVs = pdu.TLVs{pdu.Byte(pdu.TagUSSDServiceOp, 2), pdu.ITSSession{Number: 3, Sequence: 4, End: true}.TLV()}
	}))
	m := b.sent()
	if m.TransportType != "ussd" || m.SessionEvent != message.SessionClose || m.TransportMetadata.Text("its_session_info") != "0309" {
		t.Errorf("got %s", m.Encode())
	}
}

// A long message is one message, however its parts are numbered and whatever
// their order.
func TestLongMessages(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransceiver)
	long := strings.Repeat("0123456789 €uro {} ", 30)
	for name, method := range map[string]gsm.Method{"UDH": gsm.UDH8, "UDH of 16 bits": gsm.UDH16, "SAR": gsm.SAR, "message_payload": gsm.Payload} {
		t.Run(name, func(t *testing.T) {
			written, err := gsm.Splitter{Method: method}.Text(long, 77)
			if err != nil {
				t.Fatal(err)
			}
			ids := map[string]bool{}
			for i := range slices.Backward(written.Segments) {
				if i == 0 {
					b.none()
				}
				ids[c.submit(&pdu.SubmitSM{Message: smpp.Segment(simple("").Message, &written, i, smpp.MaxShortMessage)})] = true
			}
			m := b.sent()
			if m.Content != long || len(ids) != len(written.Segments) || !ids[m.ID] {
				t.Errorf("got %q with %d ids for %d parts", m.Content, len(ids), len(written.Segments))
			}
			b.event(report(m, message.Delivered))
			for range written.Segments {
				receipted, _ := c.delivered().TLVs.Text(pdu.TagReceiptedMessageID)
				if !ids[receipted] {
					t.Errorf("a receipt for %q, or two", receipted)
				}
				delete(ids, receipted)
			}
		})
	}
}

// A part that comes again gets the same answer; one of another message with the
// same reference gives the first up.
func TestPartsAgain(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransceiver)
	part := func(text string, seq byte) *pdu.SubmitSM {
		return simple("", func(m *pdu.Message) {
			m.ESMClass, m.ShortMessage = pdu.ESMUDHI, append([]byte{5, 0, 3, 9, 2, seq}, text...)
		})
	}
	first := c.submit(part("one ", 1))
	if again := c.submit(part("one ", 1)); again != first {
		t.Errorf("the same part got %s, then %s", first, again)
	}
	c.send(part("other ", 1))
	var answer, receipt *pdu.PDU
	for range 2 {
		if p := c.next(); p.Command() == pdu.CmdDeliverSM {
			receipt = p
			c.write(p.Respond(pdu.StatusOK))
		} else {
			answer = p
		}
	}
	if answer == nil || answer.Status != pdu.StatusOK || receipt == nil {
		t.Fatal("an answer and the receipt of the part that is given up were to come")
	}
	m := receipt.Body.(*pdu.DeliverSM).Message
	if !strings.Contains(string(m.ShortMessage), "id:"+first) || !strings.Contains(string(m.ShortMessage), "stat:EXPIRED") {
		t.Errorf("the receipt is %q", m.ShortMessage)
	}
	c.submit(part("message", 2))
	if m := b.sent(); m.Content != "other message" {
		t.Errorf("got %q", m.Content)
	}
}

func TestPartsThatNeverCome(t *testing.T) {
	b := begin(t, func(a *Application) { a.ReassemblyTTL = options.Duration(time.Millisecond) })
	c := b.bound(pdu.CmdBindTransceiver)
	alone := simple("", func(m *pdu.Message) { m.ESMClass, m.ShortMessage = pdu.ESMUDHI, []byte{5, 0, 3, 9, 2, 1, 'x'} })
	id := c.submit(alone)
	if m := c.delivered(); !strings.Contains(string(m.ShortMessage), "id:"+id) || !strings.Contains(string(m.ShortMessage), "stat:EXPIRED") {
		t.Errorf("the receipt is %q", m.ShortMessage)
	}
	b.none()
}

// Each part of a long message is decoded by its own coding.
func TestPartsInDifferentCodings(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransmitter)
	c.submit(simple("", func(m *pdu.Message) {
		m.ESMClass, m.ShortMessage = pdu.ESMUDHI, []byte("\x05\x00\x03\x11\x02\x01latin ")
	}))
	c.submit(simple("", func(m *pdu.Message) {
		m.ESMClass, m.DataCoding, m.ShortMessage = pdu.ESMUDHI, pdu.DataCodingUCS2, []byte("\x05\x00\x03\x11\x02\x02\x04\x3a\x04\x38\x04\x40")
	}))
	if m := b.sent(); m.Content != "latin кир" || m.TransportMetadata.Raw("data_coding") != "" {
		t.Errorf("got %s", m.Encode())
	}
}

// The process that took a part need not be the one that gives it up.
func TestPartsThatNeverComeAfterARestart(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransmitter)
	c.submit(simple("", func(m *pdu.Message) { m.ESMClass, m.ShortMessage = pdu.ESMUDHI, []byte{5, 0, 3, 8, 2, 2, 'e'} }))
	id := c.submit(simple("", func(m *pdu.Message) { m.ESMClass, m.ShortMessage = pdu.ESMUDHI, []byte{5, 0, 3, 9, 2, 1, 'x'} }))
	_ = c.conn.Close()
	b.stop()
	b.run()
	c = b.bound(pdu.CmdBindTransceiver)
	c.submit(simple("", func(m *pdu.Message) { m.ESMClass, m.ShortMessage = pdu.ESMUDHI, []byte{5, 0, 3, 8, 2, 1, 'w'} }))
	if m := b.sent(); m.Content != "we" {
		t.Errorf("got %q", m.Content)
	}
	e, err := b.app.engine.Get(within(t))
	if err != nil {
		t.Fatal(err)
	}
	b.eventually("the group is known", func() bool { return e.open() == 1 })
	e.giveUpParts(b.Context(), time.Now().Add(2*time.Hour))
	if m := c.delivered(); !strings.Contains(string(m.ShortMessage), "id:"+id) {
		t.Errorf("the receipt is %q", m.ShortMessage)
	}
}

func TestDataSMAndSubmitMulti(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransceiver)
	s := simple("to one")
	id := c.submit(&pdu.DataSM{Source: s.Source, Dest: s.Dest, TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: s.ShortMessage}}})
	if m := b.sent(); m.Content != "to one" || m.ID != id {
		t.Errorf("got %s", m.Encode())
	}
	many := &pdu.SubmitMulti{Message: simple("to many").Message, Dests: []pdu.Destination{
		{Address: pdu.Address{Addr: "111"}}, {List: "friends"}, {Address: pdu.Address{Addr: "222"}}, {Address: pdu.Address{Addr: "nobody"}},
	}}
	answer := c.ask(many)
	body := answer.Body.(*pdu.SubmitMultiResp)
	if answer.Status != pdu.StatusOK || len(body.Unsuccessful) != 2 || body.MessageID == "" {
		t.Fatalf("got %s %+v", answer, body)
	}
	for _, to := range []string{"111", "222"} {
		m := b.sent()
		if m.To != to || m.Content != "to many" {
			t.Errorf("got %s", m.Encode())
		}
		b.event(report(m, message.Delivered))
		if r := c.delivered(); r.Source.Addr != to || !strings.Contains(string(r.ShortMessage), "id:"+body.MessageID) {
			t.Errorf("the receipt from %s is %q", r.Source.Addr, r.ShortMessage)
		}
	}
}

func TestRefusedSubmits(t *testing.T) {
	b := begin(t, func(a *Application) {
		a.Customers[0].Value.AllowedSources = options.Names{"ACME", "92*", "/x[0-9]{3}/"}
		a.RefusedTLVs = options.Names{"0x1402"}
	})
	c := b.bound(pdu.CmdBindTransceiver)
	for name, s := range map[string]struct {
		change func(*pdu.Message)
		want   pdu.Status
	}{
		"a sender in full":          {func(m *pdu.Message) { m.Source = toSMPP("ACME") }, pdu.StatusOK},
		"more than it":              {func(m *pdu.Message) { m.Source = toSMPP("ACMEX") }, pdu.StatusInvSrcAdr},
		"a beginning":               {func(m *pdu.Message) { m.Source = toSMPP("+9234") }, pdu.StatusOK},
		"a pattern":                 {func(m *pdu.Message) { m.Source = toSMPP("x123") }, pdu.StatusOK},
		"more than a pattern":       {func(m *pdu.Message) { m.Source = toSMPP("x1234") }, pdu.StatusInvSrcAdr},
		"no sender":                 {func(m *pdu.Message) { m.Source = pdu.Address{} }, pdu.StatusInvSrcAdr},
		"nobody":                    {func(m *pdu.Message) { m.Dest = pdu.Address{} }, pdu.StatusInvDstAdr},
		"a name":                    {func(m *pdu.Message) { m.Dest.Addr = "alice" }, pdu.StatusInvDstAdr},
		"a long number":             {func(m *pdu.Message) { m.Dest.Addr = strings.Repeat("1", 40) }, pdu.StatusInvDstAdr},
		"a receipt":                 {func(m *pdu.Message) { m.ESMClass = pdu.ESMReceipt }, pdu.StatusInvEsmClass},
		"a priority there is not":   {func(m *pdu.Message) { m.Priority = 9 }, pdu.StatusInvPrtFlg},
		"a time that is none":       {func(m *pdu.Message) { m.ValidityPeriod = "tomorrow" }, pdu.StatusInvExpiry},
		"a schedule that is none":   {func(m *pdu.Message) { m.ScheduleDeliveryTime = "99" }, pdu.StatusInvSched},
		"a long service type":       {func(m *pdu.Message) { m.ServiceType = "CMTCMT" }, pdu.StatusInvSerTyp},
		"a parameter not allowed":   {func(m *pdu.Message) { m.TLVs = pdu.TLVs{{Tag: 0x1402}} }, pdu.StatusOptParNotAllwd},
		"a parameter of a bad size": {func(m *pdu.Message) { m.TLVs = pdu.TLVs{pdu.Byte(pdu.TagDestinationPort, 1)} }, pdu.StatusInvOptParamVal},
		"a message kept at an SMSC": {func(m *pdu.Message) { m.DefaultMsgID = 3 }, pdu.StatusInvDftMsgID},
	} {
		t.Run(name, func(t *testing.T) {
			if p := c.ask(simple("hi", s.change)); p.Status != s.want {
				t.Errorf("got %s, want %s", p.Status, s.want)
			}
		})
	}
	if n := b.metric("switchboard_smpp_server_submits_total", map[string]string{"status": "ESME_RINVSRCADR", "customer": "acme"}); n != 3 {
		t.Errorf("%v submits were counted as refused for their sender, want 3", n)
	}
}

func TestCancelReplaceAndQuery(t *testing.T) {
	b := begin(t)
	c := b.bound(pdu.CmdBindTransceiver)
	id := c.submit(simple("hi"))
	m := b.sent()
	if p := c.ask(&pdu.CancelSM{MessageID: id}); p.Status != pdu.StatusCancelFail {
		t.Errorf("cancel_sm got %s", p.Status)
	}
	if p := c.ask(&pdu.ReplaceSM{MessageID: id}); p.Status != pdu.StatusReplaceFail {
		t.Errorf("replace_sm got %s", p.Status)
	}
	state := func(id string) (pdu.Status, pdu.MessageState, string) {
		p := c.ask(&pdu.QuerySM{MessageID: id})
		body := p.Body.(*pdu.QuerySMResp)
		return p.Status, body.State, body.FinalDate
	}
	if s, at, final := state(id); s != pdu.StatusOK || at != pdu.StateAccepted || final != "" {
		t.Errorf("before an event: %s %s %q", s, at, final)
	}
	b.event(report(m, message.Delivered))
	c.delivered()
	if s, at, final := state(id); s != pdu.StatusOK || at != pdu.StateDelivered || final == "" {
		t.Errorf("after it: %s %s %q", s, at, final)
	}
	if s, _, _ := state("nonsense"); s != pdu.StatusQueryFail {
		t.Errorf("an unknown id: %s", s)
	}
}

func TestTPS(t *testing.T) {
	b := begin(t, func(a *Application) { a.Customers[0].Value.TPS = 3 })
	one, two := b.bound(pdu.CmdBindTransceiver), b.bound(pdu.CmdBindTransmitter)
	began := time.Now()
	var statuses []pdu.Status
	for i := range 8 {
		c := one
		if i%2 == 1 {
			c = two
		}
		statuses = append(statuses, c.ask(simple("hi")).Status)
	}
	took, passed := time.Since(began), 0
	for i, s := range statuses {
		switch {
		case s == pdu.StatusOK:
			passed++
		case s != pdu.StatusThrottled || i < 3:
			t.Errorf("submit %d got %s", i, s)
		}
	}
	if most := 3 * (1 + int(took/time.Second)); passed > most {
		t.Errorf("%d submits passed in %s, want at most %d", passed, took, most)
	}
}

// gate is a state that keeps everybody waiting until it is opened.
type gate struct {
	store.State
	open chan struct{}
}

func (g gate) Set(ctx context.Context, entries ...store.Entry) error {
	select {
	case <-g.open:
		return g.State.Set(ctx, entries...)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestWindow(t *testing.T) {
	b := begin(t)
	b.stop()
	opened := make(chan struct{})
	b.state = gate{b.state, opened}
	b.run(func(a *Application) { a.Customers[0].Value.Window = 2 })
	c := b.bound(pdu.CmdBindTransceiver)
	for range 3 {
		c.send(simple("hi"))
	}
	if p := c.next(); p.Status != pdu.StatusMsgQFul {
		t.Errorf("the third of a window of two got %s", p.Status)
	}
	if p := c.ask(new(pdu.EnquireLink)); p.Status != pdu.StatusOK {
		t.Errorf("enquire_link got %s", p.Status)
	}
	close(opened)
	for range 2 {
		if p := c.next(); p.Status != pdu.StatusOK {
			t.Errorf("one within the window got %s", p.Status)
		}
	}
}

// away is a state that is out of reach.
type away struct{ store.State }

func (away) Set(context.Context, ...store.Entry) error { return errors.New("the database is away") }

func TestWithoutAStoreCustomersAreAskedToWait(t *testing.T) {
	b := begin(t)
	b.stop()
	b.state = away{b.state}
	b.run()
	c := b.bound(pdu.CmdBindTransceiver)
	if p := c.ask(simple("hi")); p.Status != pdu.StatusMsgQFul {
		t.Errorf("got %s", p.Status)
	}
	b.none()
}

func TestWithoutABrokerCustomersAreAskedToWait(t *testing.T) {
	b := begin(t, func(a *Application) { a.SubmitTimeout = options.Duration(50 * time.Millisecond) })
	c := b.bound(pdu.CmdBindTransceiver)
	c.submit(simple("hi"))
	e, err := b.app.engine.Get(within(t))
	if err != nil {
		t.Fatal(err)
	}
	e.out = never{}
	if p := c.ask(simple("hi")); p.Status != pdu.StatusMsgQFul {
		t.Errorf("got %s", p.Status)
	}
}

// never is a broker that does not come back.
type never struct{}

func (never) Send(ctx context.Context, _ *message.Message) error { <-ctx.Done(); return ctx.Err() }

// What goes to one person stays in order, though many are in flight.
func TestOrder(t *testing.T) {
	b := begin(t, func(a *Application) { a.Customers[0].Value.Window = 100 })
	c := b.bound(pdu.CmdBindTransmitter)
	const n = 100
	for i := range n {
		c.send(simple(string(rune('A'+i%26)), func(m *pdu.Message) { m.Dest.Addr = "27" + string(rune('0'+i%3)) }))
	}
	for range n {
		if p := c.next(); p.Status != pdu.StatusOK {
			t.Fatalf("got %s", p)
		}
	}
	got := map[string]string{}
	for range n {
		m := b.sent()
		got[m.To] += m.Content
	}
	for to, text := range got {
		for i := 1; i < len(text); i++ {
			if (int(text[i])-int(text[i-1])+26)%26 != 3 {
				t.Fatalf("%s got %s", to, text)
			}
		}
	}
}

func report(m *message.Message, status message.DeliveryStatus) *message.Event {
	return message.NewDeliveryReport(m, status)
}
