package pdu_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"switchboard/smpp/pdu"
)

func drawMessage(t *rapid.T) pdu.Message {
	text := rapid.StringMatching(`[^\x00]{0,30}`)
	octet := rapid.Byte()
	addr := func(label string) pdu.Address {
		return address(pdu.TON(octet.Draw(t, label)), pdu.NPI(octet.Draw(t, label)), text.Draw(t, label))
	}
	m := pdu.Message{
		ServiceType: text.Draw(t, "service_type"), Source: addr("source"), Dest: addr("dest"),
		ESMClass: pdu.ESMClass(octet.Draw(t, "esm_class")), ProtocolID: octet.Draw(t, "protocol_id"),
		Priority: octet.Draw(t, "priority"), ScheduleDeliveryTime: text.Draw(t, "schedule"), ValidityPeriod: text.Draw(t, "validity"),
		RegisteredDelivery: pdu.RegisteredDelivery(octet.Draw(t, "registered")), ReplaceIfPresent: octet.Draw(t, "replace"),
		DataCoding: pdu.DataCoding(octet.Draw(t, "data_coding")), DefaultMsgID: octet.Draw(t, "default"),
		ShortMessage: rapid.SliceOfN(octet, 0, 255).Draw(t, "short_message"),
	}
	for range rapid.IntRange(0, 4).Draw(t, "parameters") {
		m.TLVs = append(m.TLVs, pdu.TLV{
			Tag:   pdu.Tag(rapid.Uint16().Draw(t, "tag")),
			Value: rapid.SliceOfN(octet, 0, 300).Draw(t, "value"),
		})
	}
	return m
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		body := rapid.SampledFrom([]pdu.Body{
			&pdu.SubmitSM{Message: m}, &pdu.DeliverSM{Message: m},
			&pdu.SubmitMulti{Message: m, Dests: []pdu.Destination{{Address: m.Dest}, {List: "l" + m.ServiceType}}},
			&pdu.DataSM{Source: m.Source, Dest: m.Dest, DataCoding: m.DataCoding, TLVs: m.TLVs},
			&pdu.SubmitSMResp{MessageID: m.ServiceType, TLVs: m.TLVs},
		}).Draw(t, "body")
		if multi, ok := body.(*pdu.SubmitMulti); ok {
			multi.Dest = pdu.Address{}
		}
		want := &pdu.PDU{Sequence: rapid.Uint32().Draw(t, "sequence"), Status: pdu.Status(rapid.Uint32().Draw(t, "status")), Body: body}
		b, err := want.AppendTo([]byte("before"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := pdu.Decode(b[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestWriteRefusesWhatTheWireCannotCarry(t *testing.T) {
	for name, test := range map[string]struct {
		body  pdu.Body
		field string
	}{
		"NUL in an address":    {&pdu.SubmitSM{Message: pdu.Message{Dest: address(0, 0, "12\x003")}}, "destination_addr"},
		"short_message":        {&pdu.SubmitSM{Message: pdu.Message{ShortMessage: make([]byte, 256)}}, "short_message"},
		"parameter":            {&pdu.SubmitSMResp{TLVs: pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: make([]byte, 65536)}}}, "message_payload"},
		"many destinations":    {&pdu.SubmitMulti{Dests: make([]pdu.Destination, 256)}, "number_of_dests"},
		"NUL in a list's name": {&pdu.SubmitMulti{Dests: []pdu.Destination{{List: "a\x00"}}}, "dl_name"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := (&pdu.PDU{Sequence: 3, Body: test.body}).AppendTo([]byte("kept"))
			var field *pdu.FieldError
			if !errors.As(err, &field) || field.Field != test.field {
				t.Errorf("got %v", err)
			}
			if string(b) != "kept" {
				t.Errorf("left %q", b)
			}
			var out bytes.Buffer
			if n, err := (&pdu.PDU{Body: test.body}).WriteTo(&out); err == nil || n != 0 || out.Len() != 0 {
				t.Errorf("wrote %d octets, %v", n, err)
			}
		})
	}
}

func TestValidateNamesTheField(t *testing.T) {
	submit := func(m pdu.Message) pdu.Body { return &pdu.SubmitSM{Message: m} }
	for field, body := range map[string]pdu.Body{
		"password":             &pdu.Bind{ID: pdu.CmdBindReceiver, Password: "ninechars"},
		"system_id":            &pdu.Outbind{SystemID: strings.Repeat("s", 16)},
		"source_addr":          submit(pdu.Message{Source: address(0, 0, strings.Repeat("1", 21))}),
		"validity_period":      submit(pdu.Message{ValidityPeriod: "3600"}),
		"short_message":        submit(pdu.Message{ShortMessage: make([]byte, 255)}),
		"message_state":        submit(pdu.Message{TLVs: pdu.TLVs{pdu.Short(pdu.TagMessageState, 2)}}),
		"receipted_message_id": submit(pdu.Message{TLVs: pdu.TLVs{{Tag: pdu.TagReceiptedMessageID, Value: []byte("abc")}}}),
		"number_of_dests":      &pdu.SubmitMulti{Dests: make([]pdu.Destination, 255)},
	} {
		err := (&pdu.PDU{Body: body}).Validate()
		var got *pdu.FieldError
		if !errors.As(err, &got) || got.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestPasswordsAreNotPrinted(t *testing.T) {
	for _, body := range []pdu.Body{&pdu.Bind{ID: pdu.CmdBindReceiver, Password: "hunter2"}, &pdu.Outbind{Password: "hunter2"}} {
		p := &pdu.PDU{Body: body}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if s := fmt.Sprintf(verb+verb, p, body); strings.Contains(s, "hunter2") {
				t.Errorf("%s: %s", verb, s)
			}
		}
	}
}

func TestRespond(t *testing.T) {
	for name, p := range samples() {
		if p.Command().IsResponse() {
			continue
		}
		want := p.Command() | 0x80000000
		if p.Command() == pdu.CmdOutbind || p.Command() == pdu.CmdAlertNotification {
			want = pdu.CmdGenericNack
		}
		if got := p.Respond(pdu.StatusSysErr); got.Command() != want || got.Sequence != p.Sequence || got.Status != pdu.StatusSysErr {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		pdu.CmdSubmitSMResp.String():                         "submit_sm_resp",
		pdu.CmdGenericNack.String():                          "generic_nack",
		pdu.CommandID(0x111).String():                        "broadcast_sm",
		pdu.CommandID(0x42).String():                         "command 0x00000042",
		pdu.StatusThrottled.String():                         "ESME_RTHROTTLED",
		pdu.Status(0x405).String():                           "0x00000405",
		pdu.StatusAlyBnd.String():                            "ESME_RALYBND",
		pdu.TagMessagePayload.String():                       "message_payload",
		pdu.Tag(0x1501).String():                             "vendor tag 0x1501",
		pdu.StateUndeliverable.String():                      "UNDELIVERABLE",
		pdu.Byte(pdu.TagSetDPF, 1).String():                  "set_dpf=1",
		pdu.CString(pdu.TagReceiptedMessageID, "a").String(): `receipted_message_id="a"`,
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if words := pdu.Status(0x405).Words(); !strings.Contains(words, "vendor") {
		t.Errorf("%q", words)
	}
}

func TestTimes(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	now := at("2026-01-31T10:00:00Z")
	for in, want := range map[string]time.Time{
		"020610233429000R": at("2028-08-10T00:00:00Z").Add(9*time.Hour+34*time.Minute+29*time.Second).AddDate(0, 0, 1),
		"000001000000000R": now.AddDate(0, 0, 1),
		"261121143015500+": at("2026-11-21T14:30:15.5Z"),
		"261121143015008+": at("2026-11-21T12:30:15Z"),
		"261121143015022-": at("2026-11-21T20:00:15Z"),
		"261121143015":     at("2026-11-21T14:30:15Z"),
	} {
		got, err := pdu.ParseTime(in)
		if err != nil || !got.At(now).Equal(want) {
			t.Errorf("%s: %v, %v, want %v", in, got.At(now), err, want)
		}
	}
	for _, bad := range []string{"", "261121", "26112114301500R!", "261321143015000+", "260230000000000+", "2611211430150x0+", "261121143015099+", "261121143015000Z", "2611211430é5000+"} {
		if got, err := pdu.ParseTime(bad); err == nil {
			t.Errorf("%q is taken for %v", bad, got)
		}
	}
}

func TestTimesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := time.FixedZone("", rapid.IntRange(-48, 48).Draw(t, "quarters")*900)
		// The years 2001 to 2096: a century has only two digits.
		tenths := rapid.Int64Range(9800000000, 40000000000).Draw(t, "tenths")
		want := time.UnixMilli(tenths * 100).In(zone)
		got, err := pdu.ParseTime(pdu.FormatAbsolute(want))
		if err != nil || !got.Moment.Equal(want) {
			t.Fatal(want, pdu.FormatAbsolute(want), got, err)
		}
		d := time.Duration(rapid.Int64Range(1, int64(pdu.MaxRelative/time.Second)).Draw(t, "seconds")) * time.Second
		s, err := pdu.FormatRelative(d)
		if err != nil {
			t.Fatal(err)
		}
		if got, err = pdu.ParseTime(s); err != nil || !got.Relative || !got.At(want.UTC()).Equal(want.Add(d)) {
			t.Fatal(d, s, got, err)
		}
	})
	for _, d := range []time.Duration{0, -time.Second, pdu.MaxRelative + 1} {
		if s, err := pdu.FormatRelative(d); err == nil {
			t.Errorf("%s: %s", d, s)
		}
	}
}

func TestITSSession(t *testing.T) {
	want := pdu.ITSSession{Number: 200, Sequence: 127, End: true}
	if got, ok := (pdu.TLVs{want.TLV()}).ITSSession(); !ok || got != want {
		t.Errorf("got %+v, %v", got, ok)
	}
	if got, ok := (pdu.TLVs{{Tag: pdu.TagITSSessionInfo, Value: []byte{1}}}).ITSSession(); ok {
		t.Errorf("one octet is taken for %+v", got)
	}
}
