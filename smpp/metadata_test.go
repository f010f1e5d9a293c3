package smpp_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"switchboard/smpp"
	"switchboard/smpp/pdu"
)

// What a submit_sm says beside its text is the same after its way through JSON.
func TestMetadataOfASubmit(t *testing.T) {
	s := pdu.Message{
		ServiceType: "WAP", Priority: 2, ProtocolID: 64, ReplaceIfPresent: 1, ValidityPeriod: "000001000000000R",
		Source: pdu.Address{TON: pdu.TONNetworkSpecific, NPI: pdu.NPINational, Addr: "9292"},
		Dest:   pdu.Address{TON: pdu.TONInternational, NPI: pdu.NPIE164, Addr: "27831234567"},
		TLVs: pdu.TLVs{
			{Tag: 0x1400, Value: []byte("1101")},
			pdu.Short(pdu.TagDestinationPort, 8080),
			{Tag: 0x1400, Value: []byte{}},
			{Tag: pdu.TagMessagePayload, Value: []byte("hello")},
		},
	}
	text, err := json.Marshal(map[string]any{smpp.SubmitKey: smpp.SubmitMetadata(&s)})
	if err != nil {
		t.Fatal(err)
	}
	read, ignored, err := smpp.ReadMetadata(string(text))
	if err != nil || len(ignored) > 0 {
		t.Fatalf("%s: %v, ignored %v", text, err, ignored)
	}
	got := pdu.Message{
		Source: smpp.NewAddress(smpp.FormatAddress(s.Source), 0, 0), Dest: smpp.NewAddress(smpp.FormatAddress(s.Dest), 0, 0),
	}
	read.Apply(&got)
	s.TLVs = s.TLVs[:3]
	if !reflect.DeepEqual(got, s) {
		t.Errorf("%s\nmade %+v\nwant %+v", text, got, s)
	}
}

// Parameters are named or numbered, with octets or a text; what is none is named
// in the error.
func TestParameters(t *testing.T) {
	for text, want := range map[string]string{
		`[{"tag": "0x1400", "text": "1101"}]`:                         `[{"tag":"0x1400","value":"31313031"}]`,
		`[{"tag": "5121", "value": ""}]`:                              `[{"tag":"0x1401","value":""}]`,
		`[{"tag": "destination_port", "value": "1F90"}]`:              `[{"tag":"destination_port","value":"1f90"}]`,
		`[{"tag": "destination_prt", "value": "1F90"}]`:               "destination_prt",
		`[{"tag": "destination_port", "value": "1F"}]`:                "1 octets",
		`[{"tag": "0x1400", "value": "xy"}]`:                          "hexadecimal",
		`[{"tag": "0x1400"}]`:                                         "either",
		`[{"tag": "message_payload", "value": "00"}]`:                 "message_payload",
		`{"0x1400": "00"}`:                                            "list",
		`[{"tag": "0x1400", "value": "00"}, {"tag": "0", "text": 1}]`: "list",
	} {
		var l smpp.TLVs
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want it to say %q", text, err, want)
			}
			continue
		}
		if got, _ := json.Marshal(l); string(got) != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
}
