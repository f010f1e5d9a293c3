package smpp

import (
	"fmt"
	"strings"
	"testing"

	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp"
	"switchboard/smpp/pdu"
	"switchboard/transports/smpp/binds"
	"switchboard/transports/transporttest"
)

// planned encodes a message as Send would and reads what goes out.
func planned(t *testing.T, m *message.Message, options ...func(*Transport)) (list []*pdu.SubmitSM, err error) {
	t.Helper()
	tr := connected(t, "127.0.0.1:1", remember(t), nil, options...)
	r, err := newRun(tr, transporttest.NewPublisher())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.state.Close() })
	p, err := r.sender.plan(m, 1)
	if err != nil {
		return nil, err
	}
	for _, body := range p.bodies {
		frame, err := (&pdu.PDU{Body: &pdu.Raw{ID: pdu.CmdSubmitSM, Data: body}}).AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		read, err := pdu.Decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, read.Body.(*pdu.SubmitSM))
	}
	return list, nil
}

// show is what of a submit_sm the tables look at.
func show(s *pdu.SubmitSM) string {
	text := fmt.Sprintf("dc=%d esm=%02x len=%d", s.DataCoding, uint8(s.ESMClass), len(s.ShortMessage))
	for _, tlv := range s.TLVs {
		if tlv.Tag != pdu.TagUserMessageReference {
			text += " " + tlv.String()
		}
	}
	return text
}

func TestTextsGoOut(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		options func(*Transport)
		want    string // the first segment
		n       int
	}{
		"short":           {"hello", nil, "dc=0 esm=00 len=5", 1},
		"empty":           {"", nil, "dc=0 esm=00 len=0", 1},
		"160":             {strings.Repeat("x", 160), nil, "dc=0 esm=00 len=160", 1},
		"161":             {strings.Repeat("x", 161), nil, "dc=0 esm=40 len=159", 2},
		"161, wide":       {strings.Repeat("x", 161), func(o *Transport) { o.MultipartReferenceBits = 16 }, "dc=0 esm=40 len=159", 2},
		"ucs2":            {"☃", nil, "dc=8 esm=00 len=2", 1},
		"71 of ucs2":      {strings.Repeat("☃", 71), nil, "dc=8 esm=40 len=140", 2},
		"10,000":          {strings.Repeat("x", 10_000), nil, "dc=0 esm=40 len=159", 66},
		"latin1":          {"é", func(o *Transport) { o.SubmitSMEncoding = "latin1" }, "dc=3 esm=00 len=1", 1},
		"Vumi's defaults": {"é", func(o *Transport) { o.SubmitSMEncoding, o.SubmitSMDataCoding = "utf-8", new(uint8) }, "dc=0 esm=00 len=2", 1},
		"packed":          {"hellohello", func(o *Transport) { o.SubmitSMEncoding = "gsm0338-packed" }, "dc=0 esm=00 len=9", 1},
		"a short payload": {"hello", func(o *Transport) { o.SendLongMessages = true }, "dc=0 esm=00 len=5", 1},
		"a long payload": {
			strings.Repeat("x", 200), func(o *Transport) { o.SendLongMessages = true }, "dc=0 esm=00 len=0 message_payload of 200 octets", 1,
		},
		"turkish": {strings.Repeat("ş", 100), func(o *Transport) { o.NationalLanguages = []string{"turkish"} }, "dc=0 esm=40 len=104", 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := outgoing(c.text)
			list, err := planned(t, m, func(o *Transport) {
				if c.options != nil {
					c.options(o)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := show(list[0]); got != c.want || len(list) != c.n {
				t.Errorf("%d segments, the first %s; want %d, %s", len(list), got, c.n, c.want)
			}
		})
	}
}

func TestSARParts(t *testing.T) {
	list, err := planned(t, outgoing(strings.Repeat("x", 161)), func(o *Transport) { o.SendMultipartSAR = true })
	if err != nil || len(list) != 2 {
		t.Fatalf("%d segments, %v", len(list), err)
	}
	for i, s := range list {
		total, _ := s.TLVs.Uint(pdu.TagSarTotalSegments)
		seq, _ := s.TLVs.Uint(pdu.TagSarSegmentSeqnum)
		if total != 2 || int(seq) != i+1 || s.ESMClass.UDHI() {
			t.Errorf("segment %d: %s", i+1, show(s))
		}
	}
}

// To an SMSC of version 3.3 there are no optional parameters.
func TestVersion33HasNoParameters(t *testing.T) {
	tr := connected(t, "127.0.0.1:1", remember(t), nil, func(o *Transport) { o.SendLongMessages = true })
	tr.InterfaceVersion = binds.Version(pdu.Version33)
	r, err := newRun(tr, transporttest.NewPublisher())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.state.Close() }()
	p, err := r.sender.plan(outgoing(strings.Repeat("x", 161)), 1)
	if err != nil || len(p.bodies) != 2 {
		t.Errorf("%d bodies, %v; want 2 segments", len(p.bodies), err)
	}
}

func TestSubmitOptions(t *testing.T) {
	for metadata, want := range map[string]string{
		`{"flash": true}`:                           "DataCoding:16",
		`{"priority": 3}`:                           "Priority:3",
		`{"validity": 3600}`:                        "ValidityPeriod:000000010000000R",
		`{"validity": "90m"}`:                       "ValidityPeriod:000000013000000R",
		`{"validity": "991231235959000+"}`:          "ValidityPeriod:991231235959000+",
		`{"schedule": "2h"}`:                        "ScheduleDeliveryTime:000000020000000R",
		`{"service_type": "WAP"}`:                   "ServiceType:WAP",
		`{"registered_delivery": false}`:            "RegisteredDelivery:0",
		`{"registered_delivery": 17}`:               "RegisteredDelivery:17",
		`{"replace": true}`:                         "ReplaceIfPresent:1",
		`{"protocol_id": 65}`:                       "ProtocolID:65",
		`{"data_coding": 8}`:                        "ShortMessage:[0 104 0 105]",
		`{"payload": "AAEC"}`:                       "ShortMessage:[0 1 2]",
		`{"payload": "BgUECwALAGhp", "udhi": true}`: "ESMClass:64",
		`{"unknown": {"of": "others"}}`:             "ShortMessage:[104 105]",
	} {
		m := outgoing("hi")
		if err := m.TransportMetadata.UnmarshalJSON([]byte(metadata)); err != nil {
			t.Fatal(err)
		}
		list, err := planned(t, m)
		if err != nil {
			t.Errorf("%s: %v", metadata, err)
			continue
		}
		if got := fmt.Sprintf("%+v", list[0].Message); !strings.Contains(got, want) {
			t.Errorf("%s: %s\nwant %s in it", metadata, got, want)
		}
	}
}

// askFor asks for something meant for SMPP alone.
func askFor(m *message.Message, key string, value any) {
	m.TransportMetadata.Set(smpp.SubmitKey, map[string]any{key: value})
}

// What is meant for others has other meanings, and nobody's message dies of it.
func TestForeignMetadata(t *testing.T) {
	plain, err := planned(t, outgoing("hello"))
	if err != nil {
		t.Fatal(err)
	}
	for _, metadata := range []string{
		`{"priority": "high"}`, `{"priority": 7}`, `{"payload": {"a": 1}}`, `{"payload": "not base64!"}`, `{"payload": ""}`,
		`{"validity": 3.2e9}`, `{"validity": 1e300}`, `{"validity": -1e300}`, `{"validity": null}`, `{"schedule": "soon"}`,
		`{"user_message_reference": 70000}`, `{"data_coding": "utf-8"}`, `{"protocol_id": 256}`, `{"service_type": "a long one"}`,
		`{"registered_delivery": "yes"}`, `{"registered_delivery": 300}`, `{"flash": "gordon"}`, `{"replace": 1}`,
	} {
		m := outgoing("hello")
		if err := m.TransportMetadata.UnmarshalJSON([]byte(metadata)); err != nil {
			t.Fatal(err)
		}
		list, err := planned(t, m)
		if err != nil {
			t.Errorf("%s: %v", metadata, err)
			continue
		}
		if got, want := fields(list[0]), fields(plain[0]); got != want {
			t.Errorf("%s: %s, want %s", metadata, got, want)
		}
	}
	m := outgoing("hello")
	m.TransportMetadata.Set("priority", "high")
	askFor(m, "priority", 2)
	if list, err := planned(t, m); err != nil || list[0].Priority != 2 {
		t.Errorf("%+v, %v; want what SMPP is asked for", list, err)
	}
}

// Parameters and types of number that a message asks for go into every segment,
// unless the operator refuses them.
func TestParametersOfAMessage(t *testing.T) {
	m := outgoing(strings.Repeat("hello ", 30))
	m.TransportMetadata.Set(smpp.SubmitKey, map[string]any{
		"source_addr_ton": 3, "source_addr_npi": 8, "dest_addr_ton": 2,
		"tlvs": []any{map[string]any{"tag": "0x1400", "text": "1101"}, map[string]any{"tag": "destination_port", "value": "1f90"}},
	})
	list, err := planned(t, m)
	if err != nil || len(list) != 2 {
		t.Fatalf("%d segments, %v", len(list), err)
	}
	for _, s := range list {
		vendor, _ := s.TLVs.Get(0x1400)
		port, _ := s.TLVs.Uint(pdu.TagDestinationPort)
		if string(vendor) != "1101" || port != 8080 || s.Source.TON != 3 || s.Source.NPI != 8 || s.Dest.TON != 2 {
			t.Errorf("a segment is %+v", s.Message)
		}
	}
	_, err = planned(t, m, func(o *Transport) { o.RefusedTLVs = options.Names{"0x1400"} })
	if err == nil || !strings.Contains(err.Error(), "0x1400") {
		t.Errorf("a refused parameter: %v", err)
	}
	_, err = planned(t, m, func(o *Transport) { o.InterfaceVersion, o.BindMode = 0x33, binds.ModeTransmitter })
	if err == nil || !strings.Contains(err.Error(), "parameters") {
		t.Errorf("with SMPP 3.3: %v", err)
	}
}

// fields are a submit_sm's but for our reference, which is each message's own.
func fields(s *pdu.SubmitSM) string {
	m := s.Message
	m.TLVs = nil
	return fmt.Sprintf("%+v %d", m, len(s.TLVs))
}

// SMPP 3.3 has no parameters, and so no USSD, and no data longer than
// short_message.
func TestVersion33HasNoRoom(t *testing.T) {
	old := func(o *Transport) { o.InterfaceVersion, o.BindMode = 0x33, binds.ModeTransmitter }
	step := outgoing("1. Balance")
	step.TransportType = typeUSSD
	if _, err := planned(t, step, old); err == nil || !strings.Contains(err.Error(), "USSD") {
		t.Errorf("a USSD step: %v", err)
	}
	for octets, fits := range map[int]bool{200: true, 255: false} {
		m := outgoing("")
		askFor(m, "payload", make([]byte, octets))
		m.TransportMetadata.Set("udhi", true)
		list, err := planned(t, m, old)
		if (err == nil) != fits || fits && (len(list[0].ShortMessage) != octets || len(list[0].TLVs) > 0) {
			t.Errorf("%d octets: %v", octets, err)
		}
	}
}

// What cannot be sent is refused for good, with a reason an application's
// author understands.
func TestWhatCannotBeSent(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*message.Message)
		want   string
	}{
		"no to":            {func(m *message.Message) { m.To = "" }, "to_addr"},
		"to a word":        {func(m *message.Message) { m.To = "ann@example.com" }, "no telephone number"},
		"to too many":      {func(m *message.Message) { m.To = strings.Repeat("1", 21) }, "20"},
		"long sender":      {func(m *message.Message) { m.From = "TwelveLetter" }, "at most 11"},
		"foreign sender":   {func(m *message.Message) { m.From = "Ştefan" }, "no sender can have"},
		"no UTF-8":         {func(m *message.Message) { m.Content = "\xff" }, "content"},
		"too long":         {func(m *message.Message) { m.Content = strings.Repeat("x", 50_000) }, "255"},
		"bad priority":     {func(m *message.Message) { askFor(m, "priority", 4) }, "0 to 3"},
		"bad validity":     {func(m *message.Message) { askFor(m, "validity", "soon") }, "validity"},
		"bad payload":      {func(m *message.Message) { askFor(m, "payload", "!") }, "payload"},
		"bad type":         {func(m *message.Message) { askFor(m, "flash", "yes") }, "transport_metadata"},
		"after 2099":       {func(m *message.Message) { askFor(m, "validity", 3.2e9) }, "two digits"},
		"unknown key":      {func(m *message.Message) { askFor(m, "colour", "red") }, "colour"},
		"bad service type": {func(m *message.Message) { askFor(m, "service_type", "toolong") }, "service_type"},
	} {
		m := outgoing("hello")
		c.change(m)
		if _, err := planned(t, m); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want it to say %q", name, err, c.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	o := defaultOptions()
	for addr, want := range map[string]pdu.Address{
		"9292":        {Addr: "9292"},
		"+2783123":    {TON: pdu.TONInternational, NPI: pdu.NPIE164, Addr: "2783123"},
		"Switchboard": {TON: pdu.TONAlphanumeric, Addr: "Switchboard"},
		"":            {},
	} {
		if got, err := o.source(addr); got != want || err != nil {
			t.Errorf("from %q: %+v, %v; want %+v", addr, got, err, want)
		}
	}
	for addr, want := range map[string]pdu.Address{
		"2783123":  {NPI: pdu.NPIE164, Addr: "2783123"},
		"+2783123": {TON: pdu.TONInternational, NPI: pdu.NPIE164, Addr: "2783123"},
		"*120#":    {NPI: pdu.NPIE164, Addr: "*120#"},
	} {
		if got, err := o.dest(addr); got != want || err != nil {
			t.Errorf("to %q: %+v, %v; want %+v", addr, got, err, want)
		}
	}
}
